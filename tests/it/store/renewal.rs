//! The identity of a store: its id, the mark of one to be refilled, and resetting one that went back in time.

use std::collections::BTreeSet;

use fusebox::domain::budget::{BudgetState, Scope};
use fusebox::domain::operation::{Operation, OperationKind};
use fusebox::domain::window::WindowRule;
use fusebox::store::Store;

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, record, running_counter, session, state};
use super::facts::{NOW, facts, response};

conformance!(
    one_epoch_for_all_handles,
    stores_have_epochs_of_their_own,
    a_new_store_is_not_to_be_filled,
    marked_and_unmarked,
    recovering_while_marked,
    renewed_it_is_another_store,
    renewed_once_by_many_at_once,
    renewed_it_counts_the_same,
);

fn one_epoch_for_all_handles(backend: &dyn Backend) {
    let mut epochs = at_once(backend, 8, |n, store| match n % 2 {
        0 => store.store_id().expect("an epoch"),
        _ => record(store, "s", &[]).store_id,
    });
    epochs.push(backend.open().store_id().expect("an epoch"));
    assert_eq!(BTreeSet::from_iter(&epochs).len(), 1, "{epochs:?}");
    assert!(!epochs[0].is_empty());
}

fn stores_have_epochs_of_their_own(backend: &dyn Backend) {
    let other = backend.fresh();
    assert_ne!(backend.open().store_id().expect("an epoch"), other.open().store_id().expect("an epoch"));
    record(&mut *backend.open(), "s", &facts([response("a", 10)]));
    assert_eq!(other.open().sessions().expect("an answer"), []);
}

fn a_new_store_is_not_to_be_filled(backend: &dyn Backend) {
    assert!(!backend.open().is_rebuilding().expect("an answer"));
}

fn marked_and_unmarked(backend: &dyn Backend) {
    let (store, other) = (&mut *backend.open(), &mut *backend.open());
    let epoch = store.store_id().expect("an epoch");
    for mark in [true, true, false, false, true] {
        store.set_rebuilding(mark).expect("noted");
        assert_eq!(
            (store.is_rebuilding().expect("an answer"), other.is_rebuilding().expect("an answer")),
            (mark, mark)
        );
    }
    assert_eq!(store.store_id().expect("an epoch"), epoch, "it is the same store");
}

fn recovering_while_marked(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.touch_session(&session("s"), NOW, false).expect("noted");
    assert_eq!(store.rebuilding_machines(NOW).expect("an answer"), [""; 0]);
    store.set_rebuilding(true).expect("noted");
    assert_eq!(store.rebuilding_machines(NOW).expect("an answer").len(), 1);
    store.set_rebuilding(false).expect("noted");
    assert_eq!(store.rebuilding_machines(NOW).expect("an answer"), [""; 0]);
    let epoch = store.store_id().expect("an epoch");
    store.reset_store(&epoch).expect("renewed");
    assert_eq!(store.rebuilding_machines(NOW).expect("an answer").len(), 1);
}

fn renewed_it_is_another_store(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let old = store.store_id().expect("an epoch");
    let new = store.reset_store(&old).expect("renewed");
    assert_ne!(new, old);
    assert_eq!(store.store_id().expect("an epoch"), new);
    assert_eq!(record(store, "s", &[]).store_id, new);
    assert!(store.is_rebuilding().expect("an answer"));
    store.set_rebuilding(false).expect("noted");
    // A caller with the old id is too late.
    assert_eq!(store.reset_store(&old).expect("left alone"), new);
    assert_eq!(store.reset_store("").expect("left alone"), new);
    assert!(!store.is_rebuilding().expect("an answer"));
}

fn renewed_once_by_many_at_once(backend: &dyn Backend) {
    let old = backend.open().store_id().expect("an epoch");
    let named = at_once(backend, 8, |_, store| store.reset_store(&old).expect("renewed"));
    assert_eq!(BTreeSet::from_iter(&named).len(), 1, "{named:?}");
    assert_ne!(named[0], old);
}

fn renewed_it_counts_the_same(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(NOW.plus_millis(-1)).expect("noted");
    let budgets = [budget_key(&budget(Scope::Session, 100), "s")];
    BatchBuilder::new(&session("s")).facts(&facts([response("a", 60)])).for_budgets(&budgets).apply(store);
    let stood = BudgetState::new(&budgets[0].budget, "s", WindowRule::LIFETIME.at(NOW));
    let operation = Operation {
        id: "e".into(),
        kind: OperationKind::Extend { amount: 50 },
        budget: "session".into(),
        value: "s".into(),
        window_start: stood.window.start,
        reason: "nearly done".into(),
        actor: "ann".into(),
        at: NOW,
    };
    store.add_operation(&operation, &stood).expect("recorded");
    let known = |store: &mut dyn Store| {
        let stands = state(store, &budget(Scope::Session, 100), "s", NOW);
        let counts = [(Scope::Session, "s"), (Scope::User, "ann"), (Scope::Model, "sonnet")];
        let counts = counts.map(|(scope, value)| running_counter(store, scope, value));
        let alerts = store.alerts().expect("an answer");
        let operations = store.operations(None).expect("an answer");
        (
            stands,
            counts,
            alerts,
            operations,
            store.sequences().expect("an answer"),
            store.installed_at().expect("an answer"),
        )
    };
    let before = known(store);
    let epoch = store.store_id().expect("an epoch");
    store.reset_store(&epoch).expect("renewed");
    assert_eq!(known(store), before);
    // Everything is read again, and nothing counts twice.
    record(store, "s", &facts([response("a", 60), response("b", 5)]));
    assert_eq!(running_counter(store, Scope::Session, "s"), [65, 0, 0, 0, 2, 0]);
    assert_eq!(running_counter(store, Scope::User, "ann"), [65, 0, 0, 0, 2, 0]);
}
