//! Claims: an alert is given to one hook that can show it, and released if that hook did not.

use std::collections::BTreeSet;

use fusebox::domain::budget::{Budget, Scope};
use fusebox::domain::message::Message;
use fusebox::domain::operation::{Operation, OperationKind};
use fusebox::domain::time::Timestamp;
use fusebox::store::Store;
use fusebox::transcript::Fact;

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, session, state};
use super::facts::{NOW, facts, response};

conformance!(
    claimed_until_confirmed,
    given_back_after_its_time,
    who_cannot_show_leaves_it_to_the_next,
    of_the_watched_budgets_only,
    oldest_first,
    many_at_once_show_each_once,
    a_clock_that_ran_ahead_holds_nothing_back,
    a_hook_that_was_faster_holds_its_claim,
    void_after_an_extension,
    not_void_after_an_extension_that_was_known,
    above_the_new_utilization_after_an_extension,
    anew_after_a_reset,
    confirmed_by_another_handle,
    confirming_what_is_not_there_does_nothing,
);

fn hundred() -> Budget {
    budget(Scope::Session, 100)
}

fn charge(id: &str, tokens: u64) -> Vec<Fact> {
    facts([response(id, tokens)])
}

/// The alerts that a hook of session `s` can show: thresholds and ids.
fn claim(store: &mut dyn Store, facts: &[Fact], now: Timestamp) -> Vec<(f64, i64)> {
    let step =
        BatchBuilder::new(&session("s")).facts(facts).for_budgets(&[budget_key(&hundred(), "s")]).claiming();
    step.at(now).apply(store).alerts.iter().map(|alert| (alert.threshold, alert.id)).collect()
}

fn thresholds(claimed: &[(f64, i64)]) -> Vec<f64> {
    claimed.iter().map(|(threshold, _)| *threshold).collect()
}

/// The same, and confirms them.
fn show(store: &mut dyn Store, facts: &[Fact], now: Timestamp) -> Vec<f64> {
    let claimed = claim(store, facts, now);
    let ids: Vec<i64> = claimed.iter().map(|(_, id)| *id).collect();
    store.confirm_shown(&ids, &[]).expect("confirmed");
    thresholds(&claimed)
}

/// Records facts as a hook that cannot show anything.
fn record_silently(store: &mut dyn Store, facts: &[Fact]) {
    let step = BatchBuilder::new(&session("s")).facts(facts).for_budgets(&[budget_key(&hundred(), "s")]);
    assert_eq!(step.apply(store).alerts, []);
}

fn decide(store: &mut dyn Store, id: &str, kind: OperationKind) {
    let before = state(store, &hundred(), "s", NOW).expect("a budget");
    let operation = Operation {
        id: id.into(),
        kind,
        budget: before.budget.name.clone(),
        value: "s".into(),
        window_start: before.window.start,
        reason: "test".into(),
        actor: "ann".into(),
        at: NOW,
    };
    store.add_operation(&operation, &before).expect("recorded");
}

fn claimed_until_confirmed(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let claimed = claim(store, &charge("a", 85), NOW);
    assert_eq!(thresholds(&claimed), [0.5, 0.8]);
    assert_eq!(claim(store, &[], NOW), [], "somebody is showing them");
    store.confirm_shown(&[claimed[0].1], &[]).expect("confirmed");
    let later = NOW.plus_millis(3_600_000);
    assert_eq!(claim(store, &[], later), claimed[1..], "the other one was not shown");
    store.confirm_shown(&[claimed[1].1, claimed[1].1], &[]).expect("confirmed");
    assert_eq!(claim(store, &[], later.plus_millis(3_600_000)), []);
    assert_eq!(store.alerts().expect("an answer").len(), 2, "shown is not forgotten");
}

fn given_back_after_its_time(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut at = |millis, facts: &[Fact]| thresholds(&claim(store, facts, NOW.plus_millis(millis)));
    assert_eq!(at(0, &charge("a", 60)), [0.5]);
    assert_eq!(at(1, &[]), [0.0; 0], "somebody is showing it");
    assert_eq!(at(4_999, &[]), [0.0; 0]);
    assert_eq!(at(5_000, &[]), [0.5], "who claimed it died");
    assert_eq!(at(5_001, &[]), [0.0; 0]);
    assert_eq!(at(20_000, &charge("b", 25)), [0.5, 0.8], "both still unseen");
}

fn who_cannot_show_leaves_it_to_the_next(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record_silently(store, &charge("a", 60));
    record_silently(store, &charge("b", 1));
    let other = &mut *backend.open();
    assert_eq!(show(other, &charge("c", 1), NOW), [0.5]);
    assert_eq!(show(store, &charge("d", 1), NOW), [0.0; 0]);
}

fn of_the_watched_budgets_only(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let both = [budget_key(&hundred(), "s"), budget_key(&budget(Scope::User, 100), "ann")];
    BatchBuilder::new(&session("s")).facts(&charge("a", 60)).for_budgets(&both).apply(store);
    let claimed = BatchBuilder::new(&session("t")).for_budgets(&both[1..]).claiming().apply(store).alerts;
    let names: Vec<_> = claimed.iter().map(|alert| (alert.budget.as_str(), alert.value.as_str())).collect();
    assert_eq!(names, [("user", "ann")]);
    let other = [budget_key(&hundred(), "t")];
    assert_eq!(BatchBuilder::new(&session("t")).for_budgets(&other).claiming().apply(store).alerts, []);
    assert_eq!(thresholds(&claim(store, &[], NOW)), [0.5]);
}

fn oldest_first(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record_silently(store, &charge("a", 60));
    record_silently(store, &charge("b", 30));
    let claimed = claim(store, &charge("c", 10), NOW);
    assert_eq!(thresholds(&claimed), [0.5, 0.8, 0.9, 1.0]);
    assert!(claimed.windows(2).all(|pair| pair[0].1 < pair[1].1), "{claimed:?}");
    let listed: Vec<i64> = store.alerts().expect("an answer").iter().rev().map(|r| r.alert.id).collect();
    assert_eq!(claimed.iter().map(|(_, id)| *id).collect::<Vec<_>>(), listed);
}

fn many_at_once_show_each_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record_silently(store, &charge("a", 49));
    let shown: Vec<i64> = at_once(backend, 16, |thread, store| {
        let mut shown = Vec::new();
        for n in 0..4 {
            let claimed = claim(store, &charge(&format!("{thread}-{n}"), 1), NOW);
            let ids: Vec<i64> = claimed.iter().map(|(_, id)| *id).collect();
            store.confirm_shown(&ids, &[]).expect("confirmed");
            shown.extend(ids);
        }
        shown
    })
    .concat();
    let distinct: BTreeSet<i64> = shown.iter().copied().collect();
    assert_eq!((shown.len(), distinct.len()), (4, 4), "{shown:?}");
    assert_eq!(claim(store, &[], NOW.plus_millis(3_600_000)), []);
}

fn a_clock_that_ran_ahead_holds_nothing_back(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let ahead = NOW.plus_millis(86_400_000);
    let claimed = claim(store, &charge("a", 60), ahead);
    assert_eq!(thresholds(&claimed), [0.5]);
    assert_eq!(claim(store, &[], NOW), claimed, "a claim of tomorrow is none of today");
    assert_eq!(claim(store, &[], NOW), []);
}

fn a_hook_that_was_faster_holds_its_claim(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(thresholds(&claim(store, &charge("a", 60), NOW.plus_millis(3_000))), [0.5]);
    assert_eq!(claim(store, &[], NOW), [], "it started later, and came first");
}

fn void_after_an_extension(backend: &dyn Backend) {
    let store = &mut *backend.open();
    record_silently(store, &charge("a", 95));
    decide(store, "e", OperationKind::Extend { amount: 900 });
    assert_eq!(show(store, &charge("b", 1), NOW), [0.0; 0], "96 of 1,000 is nothing to warn of");
    assert_eq!(store.alerts().expect("an answer").len(), 3, "it stays on record");
}

fn not_void_after_an_extension_that_was_known(backend: &dyn Backend) {
    let store = &mut *backend.open();
    decide(store, "e", OperationKind::Extend { amount: 100 });
    record_silently(store, &charge("a", 110));
    decide(store, "e", OperationKind::Extend { amount: 100 });
    assert_eq!(
        show(store, &charge("b", 1), NOW),
        [0.5],
        "it changed nothing, so the alert is still to be shown"
    );
}

fn above_the_new_utilization_after_an_extension(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(show(store, &charge("a", 95), NOW), [0.5, 0.8, 0.9]);
    decide(store, "e", OperationKind::Extend { amount: 10 });
    // 95 of 110 was already past 80 %, which is not reported again; 99 is 90 %.
    assert_eq!(show(store, &charge("b", 1), NOW), [0.0; 0]);
    assert_eq!(show(store, &charge("c", 3), NOW), [0.9]);
    assert_eq!(show(store, &charge("d", 11), NOW), [1.0]);
    let limits: Vec<u64> = store.alerts().expect("an answer").iter().rev().map(|r| r.alert.limit).collect();
    assert_eq!(limits, [100, 100, 100, 110, 110]);
}

fn anew_after_a_reset(backend: &dyn Backend) {
    let store = &mut *backend.open();
    assert_eq!(show(store, &charge("a", 85), NOW), [0.5, 0.8]);
    for (n, reset) in ["r1", "r2"].iter().enumerate() {
        let baseline = NOW.plus_millis(1 + n as i64 * 1000);
        decide(store, reset, OperationKind::Reset { baseline });
        let spend = |tokens: u64| {
            let message = response(&format!("{reset}-{tokens}"), tokens);
            facts([Message { at: baseline, ..message }])
        };
        assert_eq!(show(store, &spend(49), NOW), [0.0; 0], "{reset}");
        assert_eq!(show(store, &spend(2), NOW), [0.5], "{reset}");
    }
}

/// A hook closes the store while it waits for something, and opens it again.
fn confirmed_by_another_handle(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let claimed = claim(store, &charge("a", 60), NOW);
    assert_eq!(thresholds(&claimed), [0.5]);
    backend.open().confirm_shown(&[claimed[0].1], &[]).expect("confirmed");
    assert_eq!(claim(store, &[], NOW.plus_millis(3_600_000)), []);
}

fn confirming_what_is_not_there_does_nothing(backend: &dyn Backend) {
    let store = &mut *backend.open();
    store.confirm_shown(&[], &[]).expect("nothing to do");
    store.confirm_shown(&[1, 77], &[2]).expect("nothing to do");
    record_silently(store, &charge("a", 60));
    store.confirm_shown(&[999_999], &[999_999]).expect("nothing to do");
    assert_eq!(thresholds(&claim(store, &[], NOW)), [0.5]);
}
