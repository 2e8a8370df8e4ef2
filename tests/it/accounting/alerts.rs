//! Alerts: each threshold is reported once, whoever crosses it, and none is lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Barrier;

use fusebox::domain::alert::BudgetAlert;
use fusebox::domain::budget::{Budget, Scope, Unit};
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::operation::OperationKind;
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::domain::window::{Period, WindowRule, Zone};
use fusebox::prices::Prices;
use fusebox::store::sqlite::{FILE, SqliteStore};
use fusebox::store::{Applied, Batch, BudgetKey, Record};
use fusebox::transcript::Fact;

use super::test_store::{NOW, TestStore, budget, open, session};

fn charge(id: usize, tokens: u64, at: Timestamp) -> Fact {
    let mut message =
        Message::new(MessageKey::from_parts(&["test", &id.to_string()]), UsageSource::Response, at);
    message.recorded = Usage { input: tokens, ..Usage::default() };
    (message.stopped, message.model) = (true, "sonnet".into());
    Fact::Message(message)
}

fn hundred() -> Budget {
    budget("session", Scope::Session, Unit::Tokens, 100)
}

struct Charge<'a> {
    budget: &'a Budget,
    facts: &'a [Fact],
    alert: bool,
    claim: bool,
    now: Timestamp,
}

fn apply_charge(store: &mut SqliteStore, ask: Charge) -> Applied {
    let budgets = [BudgetKey { budget: ask.budget.clone(), value: "s".into() }];
    let (session, facts) = (session("s"), ask.facts);
    let batch = Batch {
        session: &session,
        facts,
        budgets: &budgets,
        alert: ask.alert,
        claim: ask.claim,
        seen: ask.now,
        observation: None,
        now: ask.now,
        prices: &Prices::default(),
    };
    store.apply(&batch).expect("recorded")
}

fn spend(store: &mut SqliteStore, budget: &Budget, id: usize, tokens: u64) -> Vec<f64> {
    let facts = [charge(id, tokens, NOW)];
    let applied = apply_charge(store, Charge { budget, facts: &facts, alert: true, claim: true, now: NOW });
    let ids: Vec<i64> = applied.alerts.iter().map(|a| a.id).collect();
    store.confirm_shown(&ids, &[]).expect("confirmed");
    applied.alerts.iter().map(|a| a.threshold).collect()
}

/// (window start, threshold in millionths, limit, alert) as stored in the database.
fn stored(dir: &Path) -> Vec<(i64, i64, i64, BudgetAlert)> {
    let db = rusqlite::Connection::open(dir.join(FILE)).expect("the database");
    let sql = "SELECT window_start, threshold, in_force, alert FROM alerts ORDER BY id";
    let mut query = db.prepare(sql).expect("a query");
    let rows =
        query.query_map((), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get::<_, String>(3)?))).expect("rows");
    rows.map(|row| {
        let (start, threshold, limit, text) = row.expect("a row");
        (start, threshold, limit, serde_json::from_str(&text).expect("an alert"))
    })
    .collect()
}

#[test]
fn sixteen_at_once_store_each_threshold_once() {
    const THREADS: usize = 16;
    const EACH: usize = 12;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let budget = Budget { limit: (THREADS * EACH) as u64, ..hundred() };
    let barrier = Barrier::new(THREADS);
    let shown: Vec<i64> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let (budget, barrier, dir) = (&budget, &barrier, dir.path());
            move || {
                // Includes the first opening, which creates the database.
                barrier.wait();
                let mut store = open(dir);
                let mut shown = Vec::new();
                for i in 0..EACH {
                    let facts = [charge(thread * EACH + i, 1, NOW)];
                    let applied = apply_charge(
                        &mut store,
                        Charge { budget, facts: &facts, alert: true, claim: true, now: NOW },
                    );
                    let ids: Vec<i64> = applied.alerts.iter().map(|a| a.id).collect();
                    store.confirm_shown(&ids, &[]).expect("confirmed");
                    shown.extend(ids);
                }
                shown
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|t| scope.spawn(run(t))).collect();
        threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
    });
    let alerts = stored(dir.path());
    let thresholds: Vec<i64> = alerts.iter().map(|a| a.1).collect();
    assert_eq!(thresholds, [500_000, 800_000, 900_000, 1_000_000]);
    // Limit 192: the charges that crossed are at 96, 154, 173 and 192.
    let used: Vec<u64> = alerts.iter().map(|a| a.3.used).collect();
    assert_eq!(used, [96, 154, 173, 192]);
    let distinct: BTreeSet<i64> = shown.iter().copied().collect();
    assert_eq!((shown.len(), distinct.len()), (4, 4), "each shown once");
    let mut store = open(dir.path());
    assert_eq!(
        apply_charge(&mut store, Charge { budget: &budget, facts: &[], alert: true, claim: true, now: NOW })
            .states[0]
            .used,
        192
    );
}

#[test]
fn a_claim_that_is_not_confirmed_comes_back() {
    let mut store = TestStore::new();
    let budget = hundred();
    let mut claim = |millis: i64, facts: &[Fact]| {
        let now = NOW.plus_millis(millis);
        let applied =
            apply_charge(&mut store.sqlite, Charge { budget: &budget, facts, alert: true, claim: true, now });
        applied.alerts.iter().map(|a| a.threshold).collect::<Vec<_>>()
    };
    assert_eq!(claim(0, &[charge(1, 60, NOW)]), [0.5]);
    assert_eq!(claim(1, &[]), [0.0; 0], "somebody is showing it");
    assert_eq!(claim(4_999, &[]), [0.0; 0]);
    assert_eq!(claim(5_000, &[]), [0.5], "who claimed it died");
    assert_eq!(claim(5_001, &[]), [0.0; 0]);
    assert_eq!(claim(20_000, &[charge(2, 25, NOW)]), [0.5, 0.8], "both still unseen");
}

#[test]
fn one_that_cannot_speak_leaves_alerts_to_the_next() {
    let mut store = TestStore::new();
    let budget = hundred();
    let facts = [charge(1, 60, NOW)];
    let applied = apply_charge(
        &mut store.sqlite,
        Charge { budget: &budget, facts: &facts, alert: true, claim: false, now: NOW },
    );
    assert!(applied.alerts.is_empty());
    assert_eq!(spend(&mut store.sqlite, &budget, 2, 1), [0.5]);
    assert_eq!(spend(&mut store.sqlite, &budget, 3, 1), [0.0; 0], "shown once");
}

#[test]
fn a_jump_stores_every_threshold_between() {
    let mut store = TestStore::new();
    let budget = hundred();
    assert_eq!(spend(&mut store.sqlite, &budget, 1, 85), [0.5, 0.8]);
    assert_eq!(spend(&mut store.sqlite, &budget, 2, 400), [0.9, 1.0]);
    assert_eq!(spend(&mut store.sqlite, &budget, 3, 400), [0.0; 0]);
    let used: Vec<u64> = stored(store.dir.path()).iter().map(|a| a.3.used).collect();
    assert_eq!(used, [85, 85, 485, 485]);
}

#[test]
fn an_import_raises_nothing_then_or_later() {
    let mut store = TestStore::new();
    let budget = hundred();
    let facts = [charge(1, 85, NOW)];
    apply_charge(
        &mut store.sqlite,
        Charge { budget: &budget, facts: &facts, alert: false, claim: true, now: NOW },
    );
    assert_eq!(stored(store.dir.path()).len(), 0);
    assert_eq!(spend(&mut store.sqlite, &budget, 2, 6), [0.9]);
}

#[test]
fn a_lifetime_begins_before_every_date() {
    let mut store = TestStore::new();
    let budget = hundred();
    assert_eq!(spend(&mut store.sqlite, &budget, 1, 50), [0.5]);
    let alerts = stored(store.dir.path());
    assert_eq!((alerts[0].0, alerts[0].3.window_start), (i64::MIN, Timestamp(i64::MIN)));
    assert_eq!(alerts[0].2, 100);
    // Dates before 1970 count as well.
    let facts = [charge(2, 30, Timestamp(-1_000_000))];
    let applied = apply_charge(
        &mut store.sqlite,
        Charge { budget: &budget, facts: &facts, alert: true, claim: true, now: NOW },
    );
    assert_eq!(applied.states[0].used, 80);
    assert_eq!(applied.alerts[0].threshold, 0.8);
}

#[test]
fn after_a_reset_thresholds_fire_again() {
    let mut store = TestStore::new();
    let budget = hundred();
    assert_eq!(spend(&mut store.sqlite, &budget, 1, 85), [0.5, 0.8]);
    store.add_operation("r", &budget, "s", OperationKind::Reset { baseline: NOW.plus_millis(1) }, NOW);
    let later = |store: &mut SqliteStore, id, tokens| {
        let facts = [charge(id, tokens, NOW.plus_millis(10))];
        let applied = apply_charge(
            store,
            Charge { budget: &budget, facts: &facts, alert: true, claim: true, now: NOW.plus_millis(10) },
        );
        let ids: Vec<i64> = applied.alerts.iter().map(|a| a.id).collect();
        store.confirm_shown(&ids, &[]).expect("confirmed");
        (applied.states[0].used, applied.alerts.iter().map(|a| a.threshold).collect::<Vec<_>>())
    };
    assert_eq!(later(&mut store.sqlite, 2, 49), (49, vec![]));
    assert_eq!(later(&mut store.sqlite, 3, 2), (51, vec![0.5]));
    assert_eq!(stored(store.dir.path()).len(), 3);
}

#[test]
fn after_an_extension_those_above_the_new_utilization_fire() {
    let mut store = TestStore::new();
    let budget = hundred();
    assert_eq!(spend(&mut store.sqlite, &budget, 1, 95), [0.5, 0.8, 0.9]);
    store.add_operation("e", &budget, "s", OperationKind::Extend { amount: 10 }, NOW);
    // 95 of 110 was already past 80 %, which is not reported again; 99 is 90 %.
    assert_eq!(spend(&mut store.sqlite, &budget, 2, 1), [0.0; 0]);
    assert_eq!(spend(&mut store.sqlite, &budget, 3, 3), [0.9]);
    assert_eq!(spend(&mut store.sqlite, &budget, 4, 11), [1.0]);
    assert_eq!(stored(store.dir.path()).iter().map(|a| a.2).collect::<Vec<_>>(), [100, 100, 100, 110, 110]);
}

#[test]
fn an_alert_that_nobody_saw_is_void_after_an_operation() {
    let mut store = TestStore::new();
    let budget = hundred();
    let facts = [charge(1, 95, NOW)];
    apply_charge(
        &mut store.sqlite,
        Charge { budget: &budget, facts: &facts, alert: true, claim: false, now: NOW },
    );
    store.add_operation("e", &budget, "s", OperationKind::Extend { amount: 900 }, NOW);
    assert_eq!(spend(&mut store.sqlite, &budget, 2, 1), [0.0; 0], "96 of 1,000 is nothing to warn of");
}

#[test]
fn each_window_has_alerts_of_its_own() {
    let mut store = TestStore::new();
    let day = WindowRule { period: Period::Day, zone: Zone::utc() };
    let budget = Budget { window: day, ..hundred() };
    assert_eq!(spend(&mut store.sqlite, &budget, 1, 60), [0.5]);
    let tomorrow = NOW.plus_millis(86_400_000);
    let facts = [charge(2, 60, tomorrow)];
    let applied = apply_charge(
        &mut store.sqlite,
        Charge { budget: &budget, facts: &facts, alert: true, claim: true, now: tomorrow },
    );
    assert_eq!(applied.alerts.iter().map(|a| a.threshold).collect::<Vec<_>>(), [0.5]);
    // A late charge for yesterday changes only yesterday's counter.
    let facts = [charge(3, 40, NOW)];
    let applied = apply_charge(
        &mut store.sqlite,
        Charge { budget: &budget, facts: &facts, alert: true, claim: true, now: tomorrow },
    );
    assert_eq!((applied.states[0].used, applied.alerts.len()), (60, 0));
}

#[test]
fn two_hooks_never_claim_the_same_alert() {
    let mut store = TestStore::new();
    let budget = hundred();
    let facts = [charge(1, 100, NOW)];
    apply_charge(
        &mut store.sqlite,
        Charge { budget: &budget, facts: &facts, alert: true, claim: false, now: NOW },
    );
    let claimed: Vec<i64> = std::thread::scope(|scope| {
        let run = || {
            let mut store = open(store.dir.path());
            let applied = apply_charge(
                &mut store,
                Charge { budget: &budget, facts: &[], alert: true, claim: true, now: NOW },
            );
            applied.alerts.iter().map(|a| a.id).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
    });
    let distinct: BTreeSet<i64> = claimed.iter().copied().collect();
    assert_eq!((claimed.len(), distinct.len()), (4, 4), "{claimed:?}");
}
