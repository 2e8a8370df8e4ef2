//! History: what a session used before Fusebox was installed counts separately, and raises that session's limits.

use fusebox::domain::budget::{Budget, BudgetState, Scope, Status};
use fusebox::domain::message::Message;
use fusebox::domain::window::Period;
use fusebox::store::Store;

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, child, every, record, session, state};
use super::facts::{NOW, facts, said, second, usage};

conformance!(
    none_without_an_installation,
    installed_once,
    before_the_installation_is_history,
    an_installation_noted_late_counts_anew,
    an_earlier_date_makes_history,
    what_was_appended_is_none,
    an_installation_in_the_future_makes_none,
    of_sessions_only,
    of_a_window_as_well,
    of_parents_too,
    thresholds_are_of_the_raised_limit,
);

fn at(id: &str, n: i64, tokens: u64) -> Message {
    said(id, second(n), usage(tokens, 0, 0))
}

fn hundred(store: &mut dyn Store) -> BudgetState {
    state(store, &budget(Scope::Session, 100), "s", NOW).expect("a budget")
}

fn none_without_an_installation(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(store.installed_at().expect("an answer"), None);
    record(store, "s", &facts([at("a", -100, 30)]));
    let stands = hundred(store);
    assert_eq!((stands.used, stands.history, stands.limit()), (30, 0, 100));
}

fn installed_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    at_once(backend, 8, |n, store| store.note_installation(second(n as i64)).expect("noted"));
    let first = store.installed_at().expect("an answer").expect("installed");
    assert!((0..8).any(|n| first == second(n)), "{first:?}");
    store.note_installation(second(-50)).expect("noted");
    store.note_installation(second(50)).expect("noted");
    assert_eq!(store.installed_at().expect("an answer"), Some(first));
    assert_eq!(backend.open().installed_at().expect("an answer"), Some(first));
}

fn before_the_installation_is_history(backend: &dyn Backend) {
    for asked_before in [true, false] {
        let store = &mut *backend.fresh().open();
        store.note_installation(second(0)).expect("noted");
        if asked_before {
            assert_eq!(hundred(store).history, 0);
        }
        record(store, "s", &facts([at("a", -100, 30), at("b", 0, 20), at("c", 1, 5)]));
        let stands = hundred(store);
        assert_eq!((stands.used, stands.history, stands.limit()), (55, 30, 130), "{asked_before}");
        assert_eq!(stands.status(), Status::Active);
    }
}

fn an_installation_noted_late_counts_anew(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record(store, "s", &facts([at("a", -100, 30), at("b", 5, 20)]));
    assert_eq!(hundred(store).history, 0);
    store.note_installation(second(0)).expect("noted");
    assert_eq!((hundred(store).used, hundred(store).history), (50, 30));
    record(store, "s", &facts([at("c", -50, 7)]));
    assert_eq!((hundred(store).used, hundred(store).history), (57, 37));
}

fn an_earlier_date_makes_history(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(0)).expect("noted");
    record(store, "s", &facts([at("a", 5, 30)]));
    assert_eq!((hundred(store).used, hundred(store).history), (30, 0));
    record(store, "s", &facts([at("a", -5, 20)]));
    assert_eq!((hundred(store).used, hundred(store).history), (30, 30));
    record(store, "s", &facts([at("a", 5, 40)]));
    assert_eq!((hundred(store).used, hundred(store).history), (40, 40));
}

/// Whatever its date, and in whatever order the same message is read.
fn what_was_appended_is_none(backend: &dyn Backend) {
    for held_first in [true, false] {
        let store = &mut *backend.fresh().open();
        store.note_installation(second(0)).expect("noted");
        let held = facts([at("a", -100, 30)]);
        let appended =
            facts([Message { held: false, ..at("a", -100, 30) }, Message { held: false, ..at("b", -90, 7) }]);
        let readings = if held_first { [&held, &appended] } else { [&appended, &held] };
        readings.into_iter().for_each(|facts| drop(record(store, "s", facts)));
        assert_eq!((hundred(store).used, hundred(store).history), (37, 30), "{held_first}");
        // Counted again from the messages.
        let renamed = Budget { window: every(Period::Month), ..budget(Scope::Session, 100) };
        let stands = state(store, &renamed, "s", NOW).expect("a budget");
        assert_eq!((stands.used, stands.history), (37, 30), "{held_first}");
    }
}

/// Installed while the clock was ahead: what is used counts, then and afterwards.
fn an_installation_in_the_future_makes_none(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(1000)).expect("noted");
    record(store, "s", &facts([at("a", -100, 30), at("b", 5, 20)]));
    assert_eq!((hundred(store).used, hundred(store).history, hundred(store).limit()), (50, 0, 100));
    let later = second(2000);
    let stands = state(store, &budget(Scope::Session, 100), "s", later).expect("a budget");
    assert_eq!((stands.used, stands.history), (50, 0));
}

fn of_sessions_only(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(0)).expect("noted");
    let budgets =
        [budget_key(&budget(Scope::User, 100), "ann"), budget_key(&budget(Scope::Project, 100), "/project")];
    let step = BatchBuilder::new(&session("s")).facts(&facts([at("a", -5, 30)])).for_budgets(&budgets);
    let stand: Vec<_> = step.apply(store).states.iter().map(|s| (s.used, s.history)).collect();
    assert_eq!(stand, [(30, 0), (30, 0)]);
}

fn of_a_window_as_well(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(0)).expect("noted");
    record(store, "s", &facts([at("a", -86_400, 10), at("b", -5, 20), at("c", 5, 40)]));
    let day = Budget { window: every(Period::Day), ..budget(Scope::Session, 100) };
    let stands = state(store, &day, "s", NOW).expect("a budget");
    assert_eq!((stands.used, stands.history), (60, 20));
    assert_eq!((hundred(store).used, hundred(store).history), (70, 30));
}

fn of_parents_too(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(0)).expect("noted");
    store.touch_session(&child("c", "s"), second(-50), false).expect("noted");
    BatchBuilder::new(&child("c", "s")).facts(&facts([at("a", -5, 30), at("b", 5, 20)])).apply(store);
    assert_eq!((hundred(store).used, hundred(store).history), (50, 30));
}

fn thresholds_are_of_the_raised_limit(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(0)).expect("noted");
    let budgets = [budget_key(&budget(Scope::Session, 100), "s")];
    let mut spend = |message| {
        let step = BatchBuilder::new(&session("s")).facts(&facts([message])).for_budgets(&budgets).claiming();
        step.apply(store).alerts.iter().map(|a| (a.threshold, a.used, a.limit)).collect::<Vec<_>>()
    };
    // 60 of 100 were before: half of 160 is 80.
    assert_eq!(spend(at("a", -5, 60)), []);
    assert_eq!(spend(at("b", 1, 19)), []);
    assert_eq!(spend(at("c", 2, 1)), [(0.5, 80, 160)]);
}
