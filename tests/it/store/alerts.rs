//! Alerts: raised once, in the step that crosses a threshold, and kept until a person acknowledges them.

use fusebox::domain::alert::{Acknowledgement, AlertLevel, AlertRecord, BudgetAlert};
use fusebox::domain::budget::{Budget, Mode, OnLimit, Scope, Unit};
use fusebox::domain::time::Timestamp;
use fusebox::domain::window::Period;
use fusebox::store::Store;
use fusebox::transcript::Fact;

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, every, session};
use super::facts::{NOW, cut, facts, response, said, second, usage};

conformance!(
    raised_by_the_charge_that_crosses,
    a_jump_raises_all_between,
    an_alert_has_every_part,
    an_import_raises_none_then_or_later,
    sixteen_at_once_raise_each_once,
    raised_once_though_use_fell_in_between,
    each_value_has_its_own,
    each_window_has_its_own,
    another_limit_has_its_own,
    a_budget_that_nobody_watches_raises_none,
    newest_first,
    acknowledged_once,
    acknowledged_by_one_of_many_at_once,
);

fn charge(id: &str, tokens: u64) -> Vec<Fact> {
    facts([response(id, tokens)])
}

/// Spends tokens in session `s`, under these budgets.
fn spend(store: &mut dyn Store, budgets: &[&Budget], facts: &[Fact], now: Timestamp) {
    let budgets: Vec<_> = budgets.iter().map(|budget| budget_key(budget, "s")).collect();
    BatchBuilder::new(&session("s")).facts(facts).for_budgets(&budgets).at(now).apply(store);
}

fn hundred() -> Budget {
    budget(Scope::Session, 100)
}

/// Thresholds and usage of all alerts, oldest first.
fn raised(store: &mut dyn Store) -> Vec<(f64, u64)> {
    let all = store.alerts().expect("an answer");
    all.iter().rev().map(|record| (record.alert.threshold, record.alert.used)).collect()
}

fn raised_by_the_charge_that_crosses(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for (n, expected) in [(49, 0), (1, 1), (29, 1), (1, 2), (9, 2), (1, 3), (9, 3), (1, 4), (500, 4)] {
        let id = format!("m{}-{n}", raised(store).len());
        spend(store, &[&hundred()], &charge(&id, n), NOW);
        assert_eq!(raised(store).len(), expected, "after {id}");
    }
    assert_eq!(raised(store), [(0.5, 50), (0.8, 80), (0.9, 90), (1.0, 100)]);
}

fn a_jump_raises_all_between(backend: &dyn Backend) {
    let store = &mut *backend.open();
    spend(store, &[&hundred()], &charge("a", 85), NOW);
    assert_eq!(raised(store), [(0.5, 85), (0.8, 85)]);
    spend(store, &[&hundred()], &charge("b", 400), NOW);
    assert_eq!(raised(store)[2..], [(0.9, 485), (1.0, 485)]);
}

fn an_alert_has_every_part(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let calls = Budget {
        unit: Unit::Requests,
        window: every(Period::Day),
        mode: Mode::Shadow,
        on_limit: OnLimit::Stop,
        thresholds: vec![0.333_333],
        ..budget(Scope::User, 3)
    };
    let step =
        BatchBuilder::new(&session("s")).facts(&charge("a", 1)).for_budgets(&[budget_key(&calls, "ann")]);
    step.at(second(7)).apply(store);
    let mut all = store.alerts().expect("an answer");
    let record = all.remove(0);
    let alert = BudgetAlert {
        id: record.alert.id,
        budget: "user".into(),
        scope: Scope::User,
        value: "ann".into(),
        window_start: every(Period::Day).at(NOW).start,
        threshold: 0.333_333,
        level: AlertLevel::Info,
        used: 1,
        limit: 3,
        unit: Unit::Requests,
        mode: Mode::Shadow,
        on_limit: OnLimit::Stop,
        at: second(7),
    };
    assert!(all.is_empty() && alert.id > 0);
    assert_eq!(record, AlertRecord { alert, acknowledged: None });
}

fn an_import_raises_none_then_or_later(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let budgets = [budget_key(&hundred(), "s")];
    BatchBuilder::new(&session("s"))
        .facts(&charge("a", 85))
        .for_budgets(&budgets)
        .without_alerts()
        .apply(store);
    assert_eq!(raised(store), []);
    spend(store, &[&hundred()], &charge("b", 6), NOW);
    assert_eq!(raised(store), [(0.9, 91)]);
}

fn sixteen_at_once_raise_each_once(backend: &dyn Backend) {
    let budget = Budget { limit: 160, ..hundred() };
    at_once(backend, 16, |thread, store| {
        for n in 0..10 {
            spend(store, &[&budget], &charge(&format!("{thread}-{n}"), 1), NOW);
        }
    });
    // The exact charges that crossed.
    assert_eq!(raised(&mut *backend.open()), [(0.5, 80), (0.8, 128), (0.9, 144), (1.0, 160)]);
}

fn raised_once_though_use_fell_in_between(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let budget = [&hundred()];
    spend(store, &budget, &facts([cut("a", second(0), 0, 1, 240)]), NOW);
    assert_eq!(raised(store), [(0.5, 60)]);
    spend(store, &budget, &facts([said("a", second(0), usage(0, 2, 0))]), NOW);
    spend(store, &budget, &charge("b", 70), NOW);
    assert_eq!(raised(store), [(0.5, 60)], "it was told already");
    spend(store, &budget, &charge("c", 10), NOW);
    assert_eq!(raised(store), [(0.5, 60), (0.8, 82)]);
}

fn each_value_has_its_own(backend: &dyn Backend) {
    let store = &mut *backend.open();
    for id in ["a", "b"] {
        let step = BatchBuilder::new(&session(id)).facts(&charge(id, 60));
        step.for_budgets(&[budget_key(&hundred(), id), budget_key(&budget(Scope::User, 200), "ann")])
            .apply(store);
    }
    let all = store.alerts().expect("an answer");
    let values: Vec<_> = all.iter().rev().map(|r| (r.alert.value.as_str(), r.alert.used)).collect();
    assert_eq!(values, [("a", 60), ("b", 60), ("ann", 120)]);
}

fn each_window_has_its_own(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let day = Budget { window: every(Period::Day), ..hundred() };
    let tomorrow = NOW.plus_millis(86_400_000);
    spend(store, &[&day], &charge("a", 60), NOW);
    spend(store, &[&day], &facts([said("b", tomorrow, usage(70, 0, 0))]), tomorrow);
    // A late charge for yesterday's counter, which is not watched.
    spend(store, &[&day], &charge("c", 30), tomorrow);
    assert_eq!(raised(store), [(0.5, 60), (0.5, 70)]);
}

fn another_limit_has_its_own(backend: &dyn Backend) {
    let store = &mut *backend.open();
    spend(store, &[&hundred()], &charge("a", 60), NOW);
    let raised_limit = Budget { limit: 200, ..hundred() };
    spend(store, &[&raised_limit], &charge("b", 39), NOW);
    assert_eq!(raised(store), [(0.5, 60)]);
    spend(store, &[&raised_limit], &charge("c", 1), NOW);
    assert_eq!(raised(store), [(0.5, 60), (0.5, 100)]);
    assert_eq!(store.alerts().expect("an answer")[0].alert.limit, 200);
}

fn a_budget_that_nobody_watches_raises_none(backend: &dyn Backend) {
    let store = &mut *backend.open();
    spend(store, &[&hundred()], &charge("a", 10), NOW);
    spend(store, &[], &charge("b", 50), NOW);
    assert_eq!(raised(store), []);
    spend(store, &[&hundred()], &charge("c", 20), NOW);
    assert_eq!(raised(store), [(0.8, 80)], "only what this charge crossed");
}

fn newest_first(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let (a, b) = (hundred(), Budget { name: "other".into(), ..hundred() });
    spend(store, &[&b, &a], &charge("a", 55), second(100));
    // A clock set back does not make an alert older.
    spend(store, &[&a], &charge("b", 30), second(50));
    let all = store.alerts().expect("an answer");
    let names: Vec<_> = all.iter().map(|r| (r.alert.budget.as_str(), r.alert.at)).collect();
    assert_eq!(names, [("session", second(50)), ("session", second(100)), ("other", second(100))]);
    assert!(all.windows(2).all(|pair| pair[0].alert.id > pair[1].alert.id));
}

fn notice(by: &str, reason: Option<&str>) -> Acknowledgement {
    Acknowledgement { by: by.into(), at: second(9), reason: reason.map(str::to_owned) }
}

fn acknowledged_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    spend(store, &[&hundred()], &charge("a", 100), NOW);
    let ids: Vec<i64> = store.alerts().expect("an answer").iter().rev().map(|r| r.alert.id).collect();
    let (ann, bea) = (notice("ann", None), notice("bea", Some("all \"fine\"")));
    assert_eq!(store.acknowledge(&ids[1..3], &ann).expect("noted"), ids[1..3]);
    assert_eq!(store.acknowledge(&[ids[1], ids[0], 999_999, ids[3]], &bea).expect("noted"), [ids[0], ids[3]]);
    assert_eq!(store.acknowledge(&ids, &ann).expect("noted"), [0; 0]);
    assert_eq!(store.acknowledge(&[], &ann).expect("noted"), [0; 0]);
    let all = store.alerts().expect("an answer");
    let by: Vec<_> = all.iter().rev().map(|record| record.acknowledged.clone()).collect();
    assert_eq!(by, [Some(bea.clone()), Some(ann.clone()), Some(ann), Some(bea)]);
}

fn acknowledged_by_one_of_many_at_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    spend(store, &[&hundred()], &charge("a", 100), NOW);
    let ids: Vec<i64> = store.alerts().expect("an answer").iter().map(|r| r.alert.id).collect();
    let done = at_once(backend, 8, |n, store| {
        store.acknowledge(&ids, &notice(&format!("p{n}"), None)).expect("noted").len()
    });
    assert_eq!(done.iter().sum::<usize>(), ids.len(), "{done:?}");
}
