//! Reservations: never more than the limit, each ended once, whoever asks at the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fusebox::domain::budget::{Budget, OnLimit, Scope, Unit};
use fusebox::domain::operation::{Operation, OperationKind};
use fusebox::domain::reservation::{AtExpiry, OnExcess, ReservationState, reserved_units};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::{Amount, Usage};
use fusebox::domain::window::Period;
use fusebox::store::quota::{
    NewReservation, NotDone, QuotaAction, QuotaRequest, QuotaResult, ReservationName,
};
use fusebox::store::{BudgetKey, Session, Store};
use fusebox::transcript::Fact;

use super::backend::{Backend, at_once};
use super::batch_builder::{BatchBuilder, budget, budget_key, every, session, state};
use super::facts::{NOW, said, second, usage};
use crate::random::Random;

conformance!(
    granted_up_to_the_limit,
    the_same_key_is_the_same_request,
    recorded_as_less_equal_or_more,
    more_than_reserved_can_be_refused,
    it_ends_once,
    expired_it_is_released_or_charged,
    what_is_recorded_late_replaces_the_estimate,
    all_or_none,
    each_counts_in_the_window_it_was_made_in,
    a_reset_forgets_what_was_before,
    dollars_and_tokens,
    a_budget_that_only_warns_refuses_nothing,
    each_threshold_is_raised_once,
    a_chain_counts_responses_and_calls,
    a_budget_that_is_new_counts_what_was_before,
    sixty_four_at_the_edge,
    many_life_cycles_equal_a_model,
);

/// A daily budget of this many requests.
fn daily(limit: u64) -> Budget {
    Budget { unit: Unit::Requests, window: every(Period::Day), ..budget(Scope::Platform, limit) }
}

fn requests(requests: u64) -> Amount {
    Amount { requests, ..Amount::default() }
}

/// Whether to run many rounds: `FUSEBOX_TEST_SEEDS` is set (`tests/long faults`).
fn is_long() -> bool {
    std::env::var_os("FUSEBOX_TEST_SEEDS").is_some()
}

static NEXT: AtomicU64 = AtomicU64::new(1);

fn new(key: &str, amount: u64) -> NewReservation {
    let unique = || format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    NewReservation {
        nonce: unique(),
        key: if key.is_empty() { unique() } else { key.to_owned() },
        platform: "gemini".into(),
        chain: String::new(),
        session: String::new(),
        amount: requests(amount),
        ttl_ms: 60_000,
        at_expiry: AtExpiry::Release,
    }
}

fn keyed(key: &str) -> ReservationName {
    ReservationName::Key { platform: "gemini".into(), key: key.into() }
}

/// A store with one budget of the platform.
struct Quotas<'s> {
    store: &'s mut dyn Store,
    budgets: Vec<BudgetKey>,
    on_excess: OnExcess,
}

impl<'s> Quotas<'s> {
    fn new(store: &'s mut dyn Store, budget: &Budget) -> Self {
        let budgets = vec![budget_key(budget, "gemini")];
        Self { store, budgets, on_excess: OnExcess::Charge }
    }

    fn act(&mut self, action: &QuotaAction, now: Timestamp) -> QuotaResult {
        let request = QuotaRequest { budgets: &self.budgets, action, on_excess: self.on_excess };
        self.store.quota(&request, now).expect("an answer")
    }

    fn reserve(&mut self, one: NewReservation, now: Timestamp) -> QuotaResult {
        self.act(&QuotaAction::Reserve(vec![one]), now)
    }

    fn record(&mut self, key: &str, used: Option<u64>, now: Timestamp) -> QuotaResult {
        let used = used.map(requests);
        self.act(&QuotaAction::Record { name: keyed(key), used, or_new: None }, now)
    }

    fn release(&mut self, key: &str, now: Timestamp) -> QuotaResult {
        self.act(&QuotaAction::Release(keyed(key)), now)
    }

    /// Used and reserved.
    fn standing(&mut self, now: Timestamp) -> (u64, u64) {
        let BudgetKey { budget, value } = self.budgets[0].clone();
        let state = state(self.store, &budget, &value, now).expect("a state");
        let open = self.store.open_reservations().expect("an answer");
        (state.used, reserved_units(&state, &open, now))
    }
}

fn state_of(result: &QuotaResult) -> (ReservationState, u64) {
    let all = result.as_ref().expect("done");
    assert_eq!(all.len(), 1);
    (all[0].state, all[0].used.requests)
}

fn is_refused(result: &QuotaResult) -> bool {
    matches!(result, Err(NotDone::Refused(_)))
}

fn granted_up_to_the_limit(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(10));
    assert!(quotas.reserve(new("a", 4), NOW).is_ok());
    assert!(quotas.reserve(new("b", 6), NOW).is_ok());
    let Err(NotDone::Refused(refusal)) = quotas.reserve(new("c", 1), NOW) else { panic!("granted") };
    assert_eq!((refusal.state.used, refusal.reserved, refusal.asked), (0, 10, 1));
    assert_eq!(quotas.standing(NOW), (0, 10));
    assert_eq!(state_of(&quotas.release("a", NOW)), (ReservationState::Released, 0));
    assert_eq!(quotas.standing(NOW), (0, 6));
    assert_eq!(state_of(&quotas.record("b", None, NOW)), (ReservationState::Used, 6));
    assert_eq!(quotas.standing(NOW), (6, 0));
    assert!(is_refused(&quotas.reserve(new("d", 5), NOW)));
    assert!(quotas.reserve(new("d", 4), NOW).is_ok());
    assert_eq!(quotas.standing(NOW), (6, 4));
}

fn the_same_key_is_the_same_request(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(3));
    let first = quotas.reserve(new("job", 2), NOW).expect("granted");
    assert_eq!(quotas.reserve(new("job", 2), second(5)).expect("granted"), first);
    assert_eq!(quotas.standing(NOW), (0, 2));
    // Another amount is another request.
    let other = quotas.reserve(new("job", 1), NOW);
    assert!(matches!(other, Err(NotDone::Conflict(known)) if known.id == first[0].id));
    quotas.record("job", None, NOW).expect("recorded");
    let again = quotas.reserve(new("job", 2), NOW).expect("the same answer");
    assert_eq!((again[0].id.as_str(), again[0].state), (first[0].id.as_str(), ReservationState::Used));
    assert_eq!(quotas.standing(NOW), (2, 0));
    // Another platform has keys of its own.
    let elsewhere = NewReservation { platform: "codex".into(), ..new("job", 7) };
    assert_ne!(quotas.reserve(elsewhere, NOW).expect("granted")[0].id, first[0].id);
}

fn recorded_as_less_equal_or_more(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(10));
    for (key, used, sum) in [("less", 1, 1), ("equal", 3, 4), ("more", 9, 13), ("none", 0, 13)] {
        let budgets = std::mem::take(&mut quotas.budgets);
        assert!(quotas.reserve(new(key, 3), NOW).is_ok(), "no budget limits it");
        quotas.budgets = budgets;
        assert_eq!(state_of(&quotas.record(key, Some(used), NOW)), (ReservationState::Used, used));
        assert_eq!(quotas.standing(NOW), (sum, 0), "{key}");
    }
    // Without a reservation.
    let direct =
        QuotaAction::Record { name: keyed("direct"), used: None, or_new: Some(Box::new(new("direct", 2))) };
    for _ in 0..2 {
        assert_eq!(state_of(&quotas.act(&direct, NOW)), (ReservationState::Used, 2));
        assert_eq!(quotas.standing(NOW), (15, 0));
    }
}

fn more_than_reserved_can_be_refused(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas { on_excess: OnExcess::Refuse, ..Quotas::new(store, &daily(10)) };
    quotas.reserve(new("a", 3), NOW).expect("granted");
    quotas.reserve(new("b", 3), NOW).expect("granted");
    assert!(is_refused(&quotas.record("a", Some(8), NOW)), "3 + 8 is more than 10");
    assert_eq!(quotas.standing(NOW), (0, 6), "the reservation stays");
    assert_eq!(state_of(&quotas.record("a", Some(7), NOW)), (ReservationState::Used, 7));
    assert_eq!(quotas.standing(NOW), (7, 3));
    let direct = QuotaAction::Record { name: keyed("c"), used: None, or_new: Some(Box::new(new("c", 1))) };
    assert!(is_refused(&quotas.act(&direct, NOW)));
    assert_eq!(quotas.act(&QuotaAction::Release(keyed("c")), NOW), Err(NotDone::NotFound));
}

fn it_ends_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(10));
    assert_eq!(quotas.record("a", Some(1), NOW), Err(NotDone::NotFound));
    quotas.reserve(new("a", 2), NOW).expect("granted");
    quotas.record("a", Some(1), NOW).expect("recorded");
    quotas.record("a", Some(1), NOW).expect("the same again");
    assert!(matches!(quotas.record("a", Some(2), NOW), Err(NotDone::Conflict(_))));
    assert!(matches!(quotas.release("a", NOW), Err(NotDone::Conflict(_))));
    quotas.reserve(new("b", 2), NOW).expect("granted");
    quotas.release("b", NOW).expect("released");
    quotas.release("b", NOW).expect("the same again");
    assert!(matches!(quotas.record("b", Some(2), NOW), Err(NotDone::Conflict(_))));
    assert_eq!(quotas.standing(NOW), (1, 0));
}

fn expired_it_is_released_or_charged(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(10));
    quotas.reserve(new("free", 4), NOW).expect("granted");
    let charged = NewReservation { at_expiry: AtExpiry::Charge, ..new("charged", 6) };
    quotas.reserve(charged, NOW).expect("granted");
    assert!(is_refused(&quotas.reserve(new("x", 1), second(59))));
    // One is free, the other one holds its amount until it is charged.
    assert_eq!(quotas.standing(second(60)), (0, 6));
    assert!(is_refused(&quotas.reserve(new("x", 5), second(60))));
    assert_eq!(quotas.standing(second(60)), (6, 0), "a refusal also settles what has expired");
    assert!(quotas.reserve(new("x", 4), second(60)).is_ok());
    let find =
        |store: &mut dyn Store, key| store.reservation(&keyed(key)).expect("an answer").expect("known").state;
    assert_eq!(find(quotas.store, "free"), ReservationState::Expired);
    assert_eq!(find(quotas.store, "charged"), ReservationState::Estimated);
}

fn what_is_recorded_late_replaces_the_estimate(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(10));
    for (key, at_expiry) in [("a", AtExpiry::Charge), ("b", AtExpiry::Charge), ("c", AtExpiry::Release)] {
        quotas.reserve(NewReservation { at_expiry, ..new(key, 3) }, NOW).expect("granted");
    }
    quotas.act(&QuotaAction::Sweep, second(60)).expect("settled");
    assert_eq!(quotas.standing(second(60)), (6, 0));
    assert_eq!(state_of(&quotas.record("a", Some(1), second(70))), (ReservationState::Used, 1));
    assert_eq!(quotas.standing(second(70)), (4, 0));
    assert_eq!(state_of(&quotas.release("b", second(70))), (ReservationState::Released, 0));
    assert_eq!(quotas.standing(second(70)), (1, 0));
    assert_eq!(state_of(&quotas.record("c", None, second(70))), (ReservationState::Used, 3));
    assert_eq!(quotas.standing(second(70)), (4, 0));
}

fn all_or_none(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(2));
    let codex = || NewReservation { platform: "codex".into(), ..new("k", 1) };
    let both = QuotaAction::Reserve(vec![codex(), new("k", 3)]);
    assert!(is_refused(&quotas.act(&both, NOW)));
    assert_eq!(quotas.store.open_reservations().expect("an answer"), []);
    assert_eq!(quotas.act(&QuotaAction::Reserve(vec![codex(), new("k", 2)]), NOW).expect("granted").len(), 2);
    assert_eq!(quotas.standing(NOW), (0, 2));
}

/// Midnight after [`NOW`], and one second before it.
fn midnight() -> (Timestamp, Timestamp) {
    let end = every(Period::Day).at(NOW).end.expect("an end");
    (end.plus_millis(-1000), end)
}

fn each_counts_in_the_window_it_was_made_in(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(2));
    let (before, after) = midnight();
    quotas.reserve(new("a", 2), before).expect("granted");
    assert!(is_refused(&quotas.reserve(new("b", 1), before)));
    assert_eq!(quotas.standing(after), (0, 0), "a new day");
    quotas.reserve(new("b", 2), after).expect("granted");
    // Recorded after midnight, it counts in the day before.
    quotas.record("a", Some(2), after).expect("recorded");
    assert_eq!((quotas.standing(before), quotas.standing(after)), ((2, 0), (0, 2)));
}

fn a_reset_forgets_what_was_before(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let budget = daily(4);
    let mut quotas = Quotas::new(store, &budget);
    quotas.reserve(new("used", 2), NOW).expect("granted");
    quotas.record("used", None, NOW).expect("recorded");
    quotas.reserve(new("open", 2), NOW).expect("granted");
    let state = state(quotas.store, &budget, "gemini", second(5)).expect("a state");
    let operation = Operation {
        id: "reset".into(),
        budget: budget.name.clone(),
        value: "gemini".into(),
        window_start: state.window.start,
        kind: OperationKind::Reset { baseline: second(5) },
        actor: "ann".into(),
        reason: "test".into(),
        at: second(5),
    };
    quotas.store.add_operation(&operation, &state).expect("reset");
    assert_eq!(quotas.standing(second(5)), (0, 0));
    quotas.reserve(new("new", 4), second(6)).expect("granted");
    quotas.record("open", None, second(7)).expect("recorded");
    assert_eq!(quotas.standing(second(7)), (0, 4), "made before the reset");
}

fn dollars_and_tokens(backend: &dyn Backend) {
    let amount = |tokens: u64, nano_usd: u64| {
        let usage = Usage { input: tokens / 2, output: tokens - tokens / 2, ..Usage::default() };
        Amount { usage, requests: 1, nano_usd, ..Amount::default() }
    };
    for (unit, limit, asked, left) in
        [(Unit::Tokens, 100, amount(60, 0), 40), (Unit::Usd, 5_000, amount(0, 3_000), 2_000)]
    {
        let store = &mut *backend.fresh().open();
        let mut quotas = Quotas::new(store, &Budget { unit, ..daily(limit) });
        quotas.reserve(NewReservation { amount: asked, ..new("a", 0) }, NOW).expect("granted");
        assert!(is_refused(&quotas.reserve(NewReservation { amount: asked, ..new("b", 0) }, NOW)));
        assert_eq!(quotas.standing(NOW), (0, limit - left));
        // A call that says nothing of the unit is not held back.
        quotas.reserve(new("c", 1), NOW).expect("granted");
        quotas.record("a", None, NOW).expect("recorded");
        assert_eq!(quotas.standing(NOW), (limit - left, 0));
    }
}

fn a_budget_that_only_warns_refuses_nothing(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &Budget { on_limit: OnLimit::Warn, ..daily(1) });
    for key in ["a", "b", "c"] {
        quotas.reserve(new(key, 1), NOW).expect("granted");
    }
    assert_eq!(quotas.standing(NOW), (0, 3));
}

fn each_threshold_is_raised_once(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let budget = Budget { thresholds: vec![0.5, 0.8, 0.9], ..daily(10) };
    let mut quotas = Quotas::new(store, &budget);
    let mut seen = Vec::new();
    for n in 1..=10 {
        let key = format!("k{n}");
        quotas.reserve(new(&key, 1), NOW).expect("granted");
        quotas.record(&key, None, NOW).expect("recorded");
        let alerts = quotas.store.alerts().expect("an answer");
        seen.push(alerts.iter().map(|record| record.alert.threshold).collect::<Vec<_>>());
    }
    assert_eq!(seen[3], [0.0; 0]);
    assert_eq!((&seen[4], &seen[7], &seen[8]), (&vec![0.5], &vec![0.8, 0.5], &vec![0.9, 0.8, 0.5]));
    assert_eq!(seen[9], seen[8]);
}

fn a_chain_counts_responses_and_calls(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let chain = Budget { window: every(Period::Day), ..budget(Scope::Chain, 100) };
    let key = budget_key(&chain, "nightly");
    let of = |id: &str| Session { chain: "nightly".into(), ..session(id) };
    let tokens =
        |n| Amount { usage: Usage { input: n, ..Usage::default() }, requests: 1, ..Amount::default() };
    for asked_before in [true, false] {
        let suffix = if asked_before { "1" } else { "2" };
        if asked_before {
            assert_eq!(state(store, &chain, "nightly", NOW).expect("a state").used, 0);
        }
        let say = said(&format!("m{suffix}"), second(0), usage(10, 0, 0));
        BatchBuilder::new(&of(&format!("s{suffix}"))).facts(&[Fact::Message(say)]).apply(store);
        let one =
            NewReservation { chain: "nightly".into(), amount: tokens(20), ..new(&format!("c{suffix}"), 0) };
        let budgets = [key.clone()];
        let reserve = QuotaAction::Reserve(vec![one.clone()]);
        let request = |action| QuotaRequest { budgets: &budgets, action, on_excess: OnExcess::Charge };
        store.quota(&request(&reserve), NOW).expect("an answer").expect("granted");
        let record = QuotaAction::Record { name: keyed(&one.key), used: None, or_new: None };
        store.quota(&request(&record), NOW).expect("an answer").expect("recorded");
        let times = if asked_before { 1 } else { 2 };
        assert_eq!(state(store, &chain, "nightly", NOW).expect("a state").used, 30 * times);
        let counted_anew = store.states_before(&budgets, second(100)).expect("an answer");
        assert_eq!(counted_anew[0].used, 30 * times);
    }
    assert_eq!(store.values(Scope::Chain, second(-10)).expect("an answer"), ["nightly"]);
    assert_eq!(store.values(Scope::Platform, second(-10)).expect("an answer"), ["gemini"]);
    let refused = NewReservation { chain: "nightly".into(), amount: tokens(41), ..new("c3", 0) };
    let budgets = [key];
    let request = QuotaRequest {
        budgets: &budgets,
        action: &QuotaAction::Reserve(vec![refused]),
        on_excess: OnExcess::Charge,
    };
    assert!(is_refused(&store.quota(&request, NOW).expect("an answer")));
}

fn a_budget_that_is_new_counts_what_was_before(backend: &dyn Backend) {
    let store = &mut *backend.open();
    let mut quotas = Quotas::new(store, &daily(10));
    quotas.budgets.clear();
    quotas.reserve(new("a", 3), NOW).expect("granted");
    quotas.record("a", Some(2), NOW).expect("recorded");
    for period in [Period::Month, Period::Day] {
        let budget = Budget { window: every(period), ..daily(3) };
        quotas.budgets = vec![budget_key(&budget, "gemini")];
        assert_eq!(quotas.standing(NOW), (2, 0));
        assert!(is_refused(&quotas.reserve(new("", 2), NOW)));
    }
}

fn sixty_four_at_the_edge(backend: &dyn Backend) {
    let rounds = if is_long() { 1000 } else { 2 };
    let budget = daily(u64::MAX / 2);
    for round in 0..rounds {
        let platform = format!("p{round}");
        let budget = Budget { limit: 20, ..budget.clone() };
        let granted = at_once(backend, 64, |_, store| {
            let budgets = [budget_key(&budget, &platform)];
            let one = NewReservation { platform: platform.clone(), ..new("", 1) };
            let action = QuotaAction::Reserve(vec![one]);
            let request = QuotaRequest { budgets: &budgets, action: &action, on_excess: OnExcess::Charge };
            u64::from(store.quota(&request, NOW).expect("an answer").is_ok())
        });
        assert_eq!(granted.iter().sum::<u64>(), 20, "round {round}");
    }
}

/// What an independent count says about one reservation.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Open,
    Used(u64),
    Estimated,
    Gone,
}

struct Modelled {
    amount: u64,
    at: Timestamp,
    expires: Timestamp,
    at_expiry: AtExpiry,
    fate: Fate,
}

#[derive(Default)]
struct Model(BTreeMap<String, Modelled>);

impl Model {
    fn expire(&mut self, now: Timestamp) {
        for one in self.0.values_mut().filter(|one| one.fate == Fate::Open && one.expires <= now) {
            one.fate = if one.at_expiry == AtExpiry::Charge { Fate::Estimated } else { Fate::Gone };
        }
    }

    /// Used and reserved in the day of `now`.
    fn standing(&self, now: Timestamp) -> (u64, u64) {
        let today = every(Period::Day).at(now);
        let (mut used, mut reserved) = (0, 0);
        for one in self.0.values().filter(|one| today.contains(one.at)) {
            match one.fate {
                Fate::Open => reserved += one.amount,
                Fate::Used(n) => used += n,
                Fate::Estimated => used += one.amount,
                Fate::Gone => {}
            }
        }
        (used, reserved)
    }
}

fn many_life_cycles_equal_a_model(backend: &dyn Backend) {
    let seeds = if is_long() { 20 } else { 3 };
    for seed in 1..=seeds {
        let (mut random, mut model) = (Random::new(seed), Model::default());
        let mut now = NOW;
        let limit = 12;
        let fresh = backend.fresh();
        for step in 0..150 {
            // Each step in another process, as it were.
            let store = &mut *fresh.open();
            let mut quotas = Quotas::new(store, &daily(limit));
            now = now.plus_millis(i64::try_from(random.below(40_000)).expect("small"));
            if random.chance(4) {
                now = midnight_after(now);
            }
            let key = format!("k{}", random.below(30));
            let amount = random.within(1, 4);
            let at_expiry = *random.pick(&[AtExpiry::Charge, AtExpiry::Release]);
            model.expire(now);
            let (used, reserved) = model.standing(now);
            match random.weighted(&[(5, 0), (4, 1), (2, 2), (1, 3)]) {
                0 => {
                    let one = NewReservation { at_expiry, ..new(&key, amount) };
                    let answer = quotas.reserve(one, now);
                    // After a release, or an expiry without a charge, the key is free again.
                    match model.0.get(&key).filter(|known| known.fate != Fate::Gone) {
                        Some(known) => assert_eq!(answer.is_ok(), known.amount == amount, "{seed}:{step}"),
                        None => {
                            let fits = used + reserved + amount <= limit;
                            assert_eq!(answer.is_ok(), fits, "{seed}:{step}");
                            if fits {
                                let expires = now.plus_millis(60_000);
                                let fate = Fate::Open;
                                model.0.insert(key, Modelled { amount, at: now, expires, at_expiry, fate });
                            }
                        }
                    }
                }
                1 => {
                    let answer = quotas.record(&key, Some(amount), now);
                    let known = model.0.get_mut(&key);
                    let may = known.as_ref().is_some_and(|one| match one.fate {
                        Fate::Open | Fate::Estimated => true,
                        Fate::Used(n) => n == amount,
                        // Released, or expired: only the latter can still be recorded.
                        Fate::Gone => answer.is_ok(),
                    });
                    assert_eq!(answer.is_ok(), may, "{seed}:{step}");
                    if let Some(one) = known.filter(|_| may) {
                        one.fate = Fate::Used(amount);
                    }
                }
                2 => {
                    let answer = quotas.release(&key, now);
                    let known = model.0.get_mut(&key);
                    let may = known.as_ref().is_some_and(|one| !matches!(one.fate, Fate::Used(_)));
                    assert_eq!(answer.is_ok(), may, "{seed}:{step}");
                    if let Some(one) = known.filter(|_| may) {
                        one.fate = Fate::Gone;
                    }
                }
                _ => drop(quotas.act(&QuotaAction::Sweep, now)),
            }
            let (used, reserved) = quotas.standing(now);
            assert_eq!((used, reserved), model.standing(now), "seed {seed}, step {step}");
            let counted_anew =
                quotas.store.states_before(&quotas.budgets, now.plus_millis(1)).expect("an answer");
            assert_eq!(counted_anew[0].used, used, "seed {seed}, step {step}: counted anew");
        }
    }
}

fn midnight_after(now: Timestamp) -> Timestamp {
    every(Period::Day).at(now).end.expect("an end")
}
