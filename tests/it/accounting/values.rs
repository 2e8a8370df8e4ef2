//! Budgets, alerts and operations as values: levels, thresholds, JSON.

use fusebox::domain::alert::{AlertLevel, BudgetAlert};
use fusebox::domain::budget::{
    Budget, BudgetState, Mode, OnLimit, Scope, Status, StoreDown, TokenClasses, Unit, threshold_units,
};
use fusebox::domain::operation::{Adjustment, Operation, OperationKind};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::{Amount, Usage};
use fusebox::domain::window::{Period, Window, WindowRule};
use proptest::prelude::*;

use super::test_store::{NOW, budget};

fn state(limit: u64, used: u64) -> BudgetState {
    let budget = Budget { hard_limit: None, ..budget("b", Scope::Session, Unit::Tokens, limit) };
    BudgetState {
        window: budget.window.at(NOW),
        budget,
        value: "s".into(),
        used,
        extension: 0,
        history: 0,
        operations: 0,
        since: None,
    }
}

#[test]
fn statuses_by_level() {
    let hard = |used| {
        let mut state = state(100, used);
        state.budget.hard_limit = Some(120);
        state
    };
    let cases = [
        (0, Status::Active),
        (49, Status::Active),
        (50, Status::Warning),
        (99, Status::Warning),
        (100, Status::Paused),
        (119, Status::Paused),
        (120, Status::Exhausted),
        (u64::MAX, Status::Exhausted),
    ];
    for (used, status) in cases {
        assert_eq!(hard(used).status(), status, "{used}");
    }
    assert_eq!(state(100, u64::MAX).status(), Status::Paused, "without a hard limit never exhausted");
    let mut silent = state(100, 99);
    silent.budget.thresholds.clear();
    assert_eq!(silent.status(), Status::Active, "without thresholds there is no warning");
}

#[test]
fn a_limit_of_nothing_is_reached_at_once() {
    let mut none = state(0, 0);
    assert_eq!((none.status(), none.utilization(), none.remaining()), (Status::Paused, 1.0, 0));
    assert!(none.blocks());
    none.used = 1;
    assert_eq!(none.crossed(0), none.budget.thresholds, "all with the first token");
    none.budget.hard_limit = Some(0);
    assert_eq!(none.status(), Status::Exhausted);
}

#[test]
fn extensions_and_history_raise_the_limit_up_to_the_hard_one() {
    let mut raised = state(100, 100);
    raised.extension = 50;
    assert_eq!((raised.limit(), raised.status()), (150, Status::Warning));
    raised.budget.hard_limit = Some(120);
    assert_eq!((raised.limit(), raised.remaining()), (120, 20));
    raised.history = 1000;
    raised.used = 1100;
    assert_eq!((raised.limit(), raised.hard_limit()), (1120, Some(1120)));
    raised.extension = u64::MAX;
    assert_eq!(raised.limit(), 1120, "no overflow");
}

#[test]
fn only_what_acts_blocks() {
    let mut over = state(100, 100);
    assert!(over.blocks());
    over.budget.on_limit = OnLimit::Warn;
    assert!(!over.blocks());
    over.budget.on_limit = OnLimit::Stop;
    over.budget.mode = Mode::Shadow;
    assert!(!over.blocks());
}

#[test]
fn the_smallest_count_at_a_threshold() {
    let cases = [
        (0.55, 100, 55),
        (0.07, 100, 7),
        (0.29, 100, 29),
        (1.0, 100, 100),
        (0.5, 3, 2),
        (0.0, 100, 1),
        (0.000_000_4, 100, 1),
        (1.0, 0, 1),
        (1.0, u64::MAX, u64::MAX),
        (0.5, u64::MAX, u64::MAX / 2 + 1),
        (0.8, 1_000_000, 800_000),
    ];
    for (threshold, limit, units) in cases {
        assert_eq!(threshold_units(threshold, limit), units, "{threshold} of {limit}");
    }
}

#[test]
fn levels_by_threshold() {
    let levels = [0.5, 0.69, 0.7, 0.89, 0.9, 1.0].map(AlertLevel::from_threshold);
    use AlertLevel::{Critical, Info, Warning};
    assert_eq!(levels, [Info, Info, Warning, Warning, Critical, Critical]);
}

#[test]
fn what_a_budget_measures() {
    let usage = Usage { input: 1, output: 10, cache_write_5m: 100, cache_write_1h: 1000, cache_read: 10_000 };
    let amount = Amount { usage, requests: 7, tool_calls: 9, nano_usd: 12, nano_usd_estimated: 5 };
    let mut b = budget("b", Scope::Session, Unit::Tokens, 1);
    assert_eq!(b.measure(&amount), 1111);
    b.count = TokenClasses { input: false, output: false, cache_write: false, cache_read: true };
    assert_eq!(b.measure(&amount), 10_000);
    b.unit = Unit::Requests;
    assert_eq!(b.measure(&amount), 7);
    b.unit = Unit::ToolCalls;
    assert_eq!(b.measure(&amount), 9);
    b.unit = Unit::Usd;
    assert_eq!(b.measure(&amount), 12);
}

#[test]
fn decisions_add_up_in_their_order() {
    let extend = |amount| OperationKind::Extend { amount };
    let reset = OperationKind::Reset { baseline: Timestamp(5) };
    let effect = Adjustment::from_operations([extend(10), extend(20)]);
    assert_eq!((effect.extension, effect.since, effect.deleted, effect.count), (30, None, false, 2));
    let effect = Adjustment::from_operations([extend(10), reset, extend(1)]);
    assert_eq!((effect.extension, effect.since, effect.count), (1, Some(Timestamp(5)), 3));
    assert!(Adjustment::from_operations([reset, OperationKind::Delete]).deleted);
    assert!(!Adjustment::from_operations([OperationKind::Delete, reset]).deleted);
    assert_eq!(Adjustment::from_operations([extend(u64::MAX), extend(1)]).extension, u64::MAX);
}

fn thresholds() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::btree_set(1..=1_000_000u32, 0..6)
        .prop_map(|all| all.into_iter().map(|t| f64::from(t) / 1e6).collect())
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..200u64, 0..10_000_000u64, any::<u64>()]
}

prop_compose! {
    fn any_budget()(
        name in "[a-z\"\\\\é ]{0,8}",
        (scope, unit) in (prop::sample::select(&Scope::ALL[..]), prop::sample::select(&Unit::ALL[..])),
        matches in ".{0,8}",
        classes in any::<[bool; 4]>(),
        (limit, hard_limit) in (count(), prop::option::of(count())),
        (_, period) in prop::sample::select(&Period::ALL[..]),
        zone in prop::sample::select(&["UTC", "Etc/GMT+5", "Europe/Berlin", "Pacific/Apia"][..]),
        thresholds in thresholds(),
        on_limit in prop::sample::select(&[OnLimit::Warn, OnLimit::Pause, OnLimit::Stop][..]),
        (wrap_up, shadow) in any::<(u32, bool)>(),
        store_down in prop::sample::select(&[StoreDown::Allow, StoreDown::Local, StoreDown::Deny][..]),
    ) -> Budget {
        let [input, output, cache_write, cache_read] = classes;
        Budget {
            name,
            scope: scope.1,
            matches,
            unit: unit.1,
            count: TokenClasses { input, output, cache_write, cache_read },
            limit,
            hard_limit,
            window: WindowRule { period, zone: fusebox::zoneinfo::zone(zone).expect("tzdata is installed") },
            thresholds,
            on_limit,
            wrap_up,
            mode: if shadow { Mode::Shadow } else { Mode::Enforce },
            store_down,
            plan: None,
        }
    }
}

prop_compose! {
    fn any_state()(
        budget in any_budget(),
        value in ".{0,12}",
        at in 0..4_102_444_800_000i64,
        counts in prop::array::uniform3(count()),
        operations in any::<u32>(),
        since in prop::option::of(any::<i64>()),
    ) -> BudgetState {
        let [used, extension, history] = counts;
        let (window, since) = (budget.window.at(Timestamp(at)), since.map(Timestamp));
        BudgetState { budget, value, window, used, extension, history, operations, since }
    }
}

fn round_trip<T>(value: &T) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let text = serde_json::to_string(value).expect("it can be written");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

proptest! {
    #[test]
    fn states_survive_json(state in any_state()) {
        prop_assert_eq!(round_trip(&state), state);
    }

    #[test]
    fn alerts_survive_json(state in any_state(), threshold in 0..=1_000_000u32, id in any::<i64>(), at in any::<i64>()) {
        let alert = BudgetAlert { id, ..BudgetAlert::new(&state, f64::from(threshold) / 1e6, Timestamp(at)) };
        prop_assert_eq!(round_trip(&alert), alert);
    }

    #[test]
    fn operations_survive_json(
        texts in prop::array::uniform5(".{0,10}"),
        kind in prop_oneof![
            any::<u64>().prop_map(|amount| OperationKind::Extend { amount }),
            any::<i64>().prop_map(|at| OperationKind::Reset { baseline: Timestamp(at) }),
            Just(OperationKind::Delete),
        ],
        start in prop_oneof![Just(i64::MIN), any::<i64>()],
        at in any::<i64>(),
    ) {
        let [id, budget, value, reason, actor] = texts;
        let window_start = Timestamp(start);
        let operation = Operation { id, kind, budget, value, window_start, reason, actor, at: Timestamp(at) };
        prop_assert_eq!(round_trip(&operation), operation);
    }

    #[test]
    fn every_threshold_is_crossed_once(
        budget in any_budget(),
        limit in 0..2_000u64,
        steps in prop::collection::vec(0..700u64, 1..12),
    ) {
        let mut state = BudgetState {
            window: Window { start: Timestamp(0), end: None },
            budget: Budget { limit, hard_limit: None, ..budget },
            value: "s".into(),
            used: 0, extension: 0, history: 0, operations: 0, since: None,
        };
        let mut crossed = Vec::new();
        for step in steps {
            let before = state.used;
            state.used += step;
            crossed.extend(state.crossed(before));
        }
        let reached = |t: &&f64| state.used >= threshold_units(**t, limit);
        let expected: Vec<f64> = state.budget.thresholds.iter().filter(reached).copied().collect();
        prop_assert_eq!(crossed, expected);
    }

    #[test]
    fn a_status_never_falls_while_use_grows(state in any_state(), more in count()) {
        let later = BudgetState { used: state.used.saturating_add(more), ..state.clone() };
        prop_assert!(later.status() >= state.status());
        prop_assert!(later.remaining() <= state.remaining());
        prop_assert_eq!(state.remaining() == 0, state.used >= state.limit());
        prop_assert_eq!(state.status() >= Status::Paused, state.remaining() == 0);
    }

    #[test]
    fn a_threshold_is_reached_at_its_units_and_not_before(t in 1..=1_000_000u64, limit in 1..10_000_000u64) {
        // In integers: units × 10⁶ ≥ t × limit.
        let units = threshold_units(t as f64 / 1e6, limit);
        prop_assert!(units * 1_000_000 >= t * limit);
        prop_assert!(units == 1 || (units - 1) * 1_000_000 < t * limit);
        prop_assert!(units <= limit);
    }
}

#[test]
fn a_lifetime_window_survives_json() {
    let window = WindowRule::LIFETIME.at(NOW);
    assert_eq!(window.start, Timestamp(i64::MIN));
    assert_eq!(round_trip(&window), window);
    assert_eq!(serde_json::to_string(&window).expect("JSON"), r#"{"start":-9223372036854775808,"end":null}"#);
    let mut stored = state(10, 3);
    stored.since = Some(Timestamp(i64::MIN));
    assert_eq!(round_trip(&stored), stored);
}

#[test]
fn the_history_scope_cannot_be_configured() {
    assert!(serde_json::from_str::<Scope>("\"history\"").is_err());
    assert!(Scope::ALL.iter().all(|(_, scope)| *scope != Scope::History));
}
