//! Operations: a person's decisions about a budget, for one value in one window.

use fusebox::domain::budget::{Budget, BudgetState, Scope, Status};
use fusebox::domain::operation::{Operation, OperationKind};
use fusebox::domain::time::Timestamp;
use fusebox::domain::window::Period;
use fusebox::store::{BudgetKey, Store};
use fusebox::transcript::Fact;

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, every, record, session, state, used};
use super::facts::{NOW, said, second, usage};

conformance!(
    an_extension_raises_the_limit,
    the_same_id_counts_once,
    the_same_id_at_once_counts_once,
    a_reset_counts_from_its_baseline,
    a_reset_that_is_known_before_the_session,
    a_reset_ends_extensions,
    resets_follow_each_other,
    told_again_they_count_by_their_dates,
    a_reset_of_history,
    a_deleted_budget_is_left_out,
    a_reset_brings_a_deleted_budget_back,
    of_one_value_and_budget_only,
    of_one_window_only,
    where_budgets_stood_before,
    operations_before_a_moment,
    listed_in_their_order,
);

fn at(id: &str, n: i64, tokens: u64) -> Fact {
    Fact::Message(said(id, second(n), usage(tokens, 0, 0)))
}

fn hundred() -> Budget {
    budget(Scope::Session, 100)
}

/// A decision about a budget in the window of a moment.
fn operation(id: &str, budget: &Budget, value: &str, kind: OperationKind, at: Timestamp) -> Operation {
    Operation {
        id: id.into(),
        kind,
        budget: budget.name.clone(),
        value: value.into(),
        window_start: budget.window.at(at).start,
        reason: format!("because of {id}"),
        actor: "ann".into(),
        at,
    }
}

/// A decision about the hundred tokens of session `s`.
fn decide(store: &mut dyn Store, id: &str, kind: OperationKind, at: Timestamp) -> Option<BudgetState> {
    let before = BudgetState::new(&hundred(), "s", hundred().window.at(at));
    store.add_operation(&operation(id, &hundred(), "s", kind, at), &before).expect("recorded")
}

fn extend(amount: u64) -> OperationKind {
    OperationKind::Extend { amount }
}

fn reset(n: i64) -> OperationKind {
    OperationKind::Reset { baseline: second(n) }
}

fn stands(store: &mut dyn Store) -> Option<BudgetState> {
    state(store, &hundred(), "s", NOW)
}

fn an_extension_raises_the_limit(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record(store, "s", &[at("a", 0, 100)]);
    assert_eq!(stands(store).map(|state| state.status()), Some(Status::Paused));
    let after = decide(store, "e1", extend(50), NOW).expect("not deleted");
    assert_eq!((after.used, after.limit(), after.extension, after.operations), (100, 150, 50, 1));
    assert_eq!(stands(store), Some(after));
    let after = decide(store, "e2", extend(7), NOW).expect("not deleted");
    assert_eq!((after.limit(), after.extension, after.operations, after.since), (157, 57, 2, None));
    let applied = BatchBuilder::new(&session("s")).for_budgets(&[budget_key(&hundred(), "s")]).apply(store);
    assert_eq!(applied.states, [after]);
}

fn the_same_id_counts_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    decide(store, "e", extend(50), NOW);
    let again = decide(store, "e", extend(50), second(9)).expect("not deleted");
    assert_eq!((again.extension, again.operations), (50, 1));
    let other = decide(&mut *backend.open(), "e", OperationKind::Delete, second(10)).expect("not deleted");
    assert_eq!((other.extension, other.operations), (50, 1), "whatever it says the second time");
    let kept = store.operations(None).expect("an answer");
    assert_eq!(kept, [operation("e", &hundred(), "s", extend(50), NOW)]);
}

fn the_same_id_at_once_counts_once(backend: &dyn Backend) {
    at_once(backend, 8, |n, store| {
        decide(store, "same", extend(10), NOW);
        decide(store, &format!("own {n}"), extend(1), NOW);
    });
    let store = &mut *backend.open();
    let after = stands(store).expect("not deleted");
    assert_eq!((after.extension, after.operations), (18, 9));
}

/// A store that lost everything gets the decisions first. Other budgets' counts are not affected.
fn a_reset_that_is_known_before_the_session(backend: &dyn Backend) {
    let store = &mut *backend.open();
    decide(store, "r", reset(10), second(15));
    let other = Budget { name: "other".into(), ..hundred() };
    for (n, sum) in [(20, 4), (30, 8)] {
        let step = BatchBuilder::new(&session("s")).facts(&[at(&format!("at {n}"), n, 4)]);
        let applied = step.for_budgets(&[budget_key(&hundred(), "s"), budget_key(&other, "s")]).apply(store);
        assert_eq!(applied.states.iter().map(|state| state.used).collect::<Vec<_>>(), [sum, sum]);
    }
}

fn a_reset_counts_from_its_baseline(backend: &dyn Backend) {
    for asked_before in [true, false] {
        let store = &mut *backend.fresh().open();
        if asked_before {
            assert_eq!(stands(store).expect("not deleted").used, 0);
        }
        record(store, "s", &[at("a", 0, 1), at("b", 10, 2), at("c", 11, 4)]);
        let after = decide(store, "r", reset(10), second(20)).expect("not deleted");
        assert_eq!((after.used, after.since, after.operations), (6, Some(second(10)), 1));
        record(store, "s", &[at("a", 0, 9), at("d", 9, 16), at("e", 10, 32), at("f", 30, 64)]);
        assert_eq!(stands(store).expect("not deleted").used, 6 + 32 + 64, "by the dates of messages");
        assert_eq!(
            used(store, Scope::User, "ann"),
            9 + 2 + 4 + 16 + 32 + 64,
            "another budget's count goes on"
        );
        // A message that turns out to be older no longer counts.
        record(store, "s", &[at("f", 5, 1)]);
        assert_eq!(stands(store).expect("not deleted").used, 6 + 32);
    }
}

fn a_reset_ends_extensions(backend: &dyn Backend) {
    let store = &mut *backend.open();
    decide(store, "e1", extend(50), second(1));
    assert_eq!(decide(store, "r", reset(2), second(2)).expect("not deleted").limit(), 100);
    let after = decide(store, "e2", extend(5), second(3)).expect("not deleted");
    assert_eq!((after.limit(), after.operations, after.since), (105, 3, Some(second(2))));
}

fn resets_follow_each_other(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record(store, "s", &[at("a", 0, 1), at("b", 10, 2), at("c", 20, 4)]);
    assert_eq!(decide(store, "r1", reset(10), second(15)).expect("not deleted").used, 6);
    assert_eq!(decide(store, "r2", reset(20), second(25)).expect("not deleted").used, 4);
    record(store, "s", &[at("d", 12, 8), at("e", 22, 16)]);
    assert_eq!(stands(store).expect("not deleted").used, 20);
    // Back to an earlier baseline, whose counter was updated meanwhile.
    assert_eq!(decide(store, "r3", reset(10), second(30)).expect("not deleted").used, 30);
}

/// A store that lost decisions gets them again, after newer ones were made.
fn told_again_they_count_by_their_dates(backend: &dyn Backend) {
    let store = &mut *backend.open();
    decide(store, "later", extend(5), second(30));
    decide(store, "first", extend(50), second(1));
    let after = decide(store, "second", reset(2), second(2)).expect("not deleted");
    assert_eq!((after.extension, after.operations, after.since), (5, 3, Some(second(2))));
}

fn a_reset_of_history(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(0)).expect("noted");
    record(store, "s", &[at("a", -10, 30), at("b", 10, 20)]);
    let before = stands(store).expect("not deleted");
    assert_eq!((before.used, before.history, before.limit()), (50, 30, 130));
    let after = decide(store, "r", reset(5), second(20)).expect("not deleted");
    assert_eq!((after.used, after.history, after.limit()), (20, 0, 100));
    record(store, "s", &[at("c", -5, 7)]);
    assert_eq!(stands(store).map(|state| (state.used, state.history)), Some((20, 0)));
}

fn a_deleted_budget_is_left_out(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record(store, "s", &[at("a", 0, 10)]);
    assert_eq!(stands(store).map(|state| state.used), Some(10));
    assert_eq!(decide(store, "d", OperationKind::Delete, second(1)), None);
    assert_eq!(stands(store), None);
    assert_eq!(decide(store, "e", extend(10), second(2)), None, "an extension does not bring it back");
    let both = [
        budget_key(&hundred(), "s"),
        budget_key(&hundred(), "t"),
        budget_key(&budget(Scope::User, 1), "ann"),
    ];
    let applied =
        BatchBuilder::new(&session("s")).facts(&[at("b", 1, 200)]).for_budgets(&both).claiming().apply(store);
    let left: Vec<_> = applied.states.iter().map(|state| (state.value.as_str(), state.used)).collect();
    assert_eq!(left, [("t", 0), ("ann", 210)]);
    assert!(applied.alerts.iter().all(|alert| alert.value == "ann"), "it raises nothing any more");
    assert_eq!(store.states(&both, NOW).expect("an answer"), applied.states);
}

fn a_reset_brings_a_deleted_budget_back(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record(store, "s", &[at("a", 0, 10)]);
    stands(store);
    decide(store, "d", OperationKind::Delete, second(1));
    record(store, "s", &[at("b", 2, 20), at("c", 5, 40)]);
    let after = decide(store, "r", reset(4), second(6)).expect("it is back");
    assert_eq!((after.used, after.operations), (40, 2));
    record(store, "s", &[at("d", 7, 1), at("e", 3, 80)]);
    assert_eq!(stands(store).expect("it is back").used, 41);
}

fn of_one_value_and_budget_only(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let other = Budget { name: "other".into(), ..hundred() };
    decide(store, "e", extend(50), NOW);
    decide(store, "r", reset(0), NOW);
    decide(store, "f", extend(5), NOW);
    let mut of = |budget: &Budget, value: &str| {
        let state = state(store, budget, value, NOW).expect("not deleted");
        (state.extension, state.operations, state.since)
    };
    assert_eq!(of(&hundred(), "s"), (5, 3, Some(second(0))));
    assert_eq!(of(&hundred(), "t"), (0, 0, None));
    assert_eq!(of(&other, "s"), (0, 0, None));
}

fn of_one_window_only(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let day = Budget { window: every(Period::Day), ..budget(Scope::User, 100) };
    let tomorrow = NOW.plus_millis(86_400_000);
    let before = state(store, &day, "ann", NOW).expect("not deleted");
    let extended = operation("e", &day, "ann", extend(50), NOW);
    assert_eq!(store.add_operation(&extended, &before).expect("recorded").expect("there").limit(), 150);
    let deleted = operation("d", &day, "ann", OperationKind::Delete, second(1));
    assert_eq!(store.add_operation(&deleted, &before).expect("recorded"), None);
    let fresh = state(store, &day, "ann", tomorrow).expect("another day");
    assert_eq!((fresh.limit(), fresh.operations), (100, 0));
    // A baseline before the window counts from the window's start.
    record(store, "s", &[at("a", 0, 1), at("b", 86_400, 2)]);
    let early = operation("r", &day, "ann", reset(-5), tomorrow);
    assert_eq!(store.add_operation(&early, &fresh).expect("recorded").expect("there").used, 2);
}

fn before(store: &mut dyn Store, budgets: &[BudgetKey], n: i64) -> Vec<BudgetState> {
    store.states_before(budgets, second(n)).expect("an answer")
}

fn where_budgets_stood_before(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.note_installation(second(-50)).expect("noted");
    record(store, "s", &[at("z", -60, 100), at("a", 0, 1), at("b", 10, 2), at("c", 20, 4)]);
    let day = Budget { window: every(Period::Day), ..budget(Scope::User, 100) };
    let budgets = [budget_key(&hundred(), "s"), budget_key(&day, "ann"), budget_key(&hundred(), "nobody")];
    for (n, stood) in [(-60, 0), (-59, 100), (0, 100), (1, 101), (10, 101), (11, 103), (86_400, 107)] {
        let states = before(store, &budgets[..1], n);
        assert_eq!(
            (states[0].used, states[0].history),
            (stood, if n > -60 { 100 } else { 0 }),
            "before {n} s"
        );
    }
    let states = before(store, &budgets, 11);
    let stood: Vec<_> = states.iter().map(|state| (state.budget.name.as_str(), state.used)).collect();
    assert_eq!(stood, [("session", 103), ("user", 103), ("session", 0)]);
    assert_eq!(before(store, &budgets[1..2], 86_400)[0].used, 0, "the next day began");
    // Uses what is known now: a late message counts by its date.
    record(store, "s", &[at("d", 5, 8)]);
    assert_eq!(before(store, &budgets[..1], 6)[0].used, 109);
    assert_eq!(stands(store).expect("not deleted").used, 115);
}

fn operations_before_a_moment(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let budgets = [budget_key(&hundred(), "s")];
    record(store, "s", &[at("a", 0, 1), at("b", 10, 2), at("c", 20, 4)]);
    decide(store, "e", extend(50), second(5));
    decide(store, "r", reset(10), second(15));
    decide(store, "d", OperationKind::Delete, second(25));
    let mut stood = |n| {
        let states = before(store, &budgets, n);
        states.first().map(|state| (state.used, state.extension, state.operations))
    };
    assert_eq!(stood(5), Some((1, 0, 0)), "just before the extension");
    assert_eq!(stood(6), Some((1, 50, 1)));
    assert_eq!(stood(15), Some((3, 50, 1)));
    assert_eq!(stood(16), Some((2, 0, 2)));
    assert_eq!(stood(25), Some((6, 0, 2)));
    assert_eq!(stood(26), None, "deleted");
}

fn listed_in_their_order(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let user = budget(Scope::User, 100);
    let made = [
        operation("z", &hundred(), "s", extend(u64::MAX), second(9)),
        operation("y", &user, "ann", reset(3), second(5)),
        operation("x", &hundred(), "t", OperationKind::Delete, second(7)),
    ];
    for operation in &made {
        let of = if operation.budget == "user" { &user } else { &hundred() };
        let before = BudgetState::new(of, &operation.value, of.window.at(NOW));
        store.add_operation(operation, &before).expect("recorded");
    }
    assert_eq!(store.operations(None).expect("an answer"), made, "in the order in which they were recorded");
    let of_sessions = [made[0].clone(), made[2].clone()];
    assert_eq!(store.operations(Some("session")).expect("an answer"), of_sessions);
    assert_eq!(store.operations(Some("none")).expect("an answer"), []);
    assert_eq!(backend.open().operations(Some("user")).expect("an answer"), made[1..2]);
}
