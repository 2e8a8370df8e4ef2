//! Shorthands for batches, budgets and queries in tests.

use std::time::Instant;

use fusebox::domain::budget::{Budget, BudgetState, Mode, OnLimit, Scope, StoreDown, TokenClasses, Unit};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::domain::window::{Period, WindowRule, Zone};
use fusebox::prices::Prices;
use fusebox::store::{
    AgentObservation, Applied, BackendErrorKind, Batch, BudgetKey, Session, Store, StoreError,
};
use fusebox::transcript::Fact;

use super::facts::NOW;
use crate::redis::PATIENCE;

/// A session of the test's user and project.
pub fn session(id: &str) -> Session {
    Session { id: id.into(), project: "/project".into(), user: "ann".into(), ..Session::default() }
}

/// A child session.
pub fn child(id: &str, parent: &str) -> Session {
    Session { parent: Some(parent.into()), ..session(id) }
}

/// A rule with midnight in UTC.
pub fn every(period: Period) -> WindowRule {
    WindowRule { period, zone: Zone::utc() }
}

/// A lifetime budget for fresh tokens, named after its scope.
pub fn budget(scope: Scope, limit: u64) -> Budget {
    Budget {
        name: scope.name().into(),
        scope,
        matches: "*".into(),
        unit: Unit::Tokens,
        count: TokenClasses::FRESH,
        limit,
        hard_limit: None,
        window: WindowRule::LIFETIME,
        thresholds: vec![0.5, 0.8, 0.9, 1.0],
        on_limit: OnLimit::Pause,
        wrap_up: 1,
        mode: Mode::Enforce,
        store_down: StoreDown::Local,
        plan: None,
    }
}

/// A budget for one value.
pub fn budget_key(budget: &Budget, value: &str) -> BudgetKey {
    BudgetKey { budget: budget.clone(), value: value.into() }
}

/// Builds a batch: initially empty, for a session at [`NOW`], that may raise alerts and claims none.
pub struct BatchBuilder<'a> {
    session: Session,
    facts: Vec<Fact>,
    budgets: Vec<BudgetKey>,
    alert: bool,
    claim: bool,
    seen: Option<Timestamp>,
    observation: Option<AgentObservation<'a>>,
    now: Timestamp,
}

impl<'a> BatchBuilder<'a> {
    pub fn new(session: &Session) -> Self {
        let (session, facts, budgets) = (session.clone(), Vec::new(), Vec::new());
        Self { session, facts, budgets, alert: true, claim: false, seen: None, observation: None, now: NOW }
    }

    pub fn facts(self, facts: &[Fact]) -> Self {
        Self { facts: facts.to_vec(), ..self }
    }

    pub fn for_budgets(self, budgets: &[BudgetKey]) -> Self {
        Self { budgets: budgets.to_vec(), ..self }
    }

    /// It must not raise alerts.
    pub fn without_alerts(self) -> Self {
        Self { alert: false, ..self }
    }

    /// It can show alerts and events.
    pub fn claiming(self) -> Self {
        Self { claim: true, ..self }
    }

    /// Its session was not seen now, but at this time.
    pub fn seen_at(self, seen: Timestamp) -> Self {
        Self { seen: Some(seen), ..self }
    }

    pub fn with_observation(self, observed: AgentObservation<'a>) -> Self {
        Self { observation: Some(observed), ..self }
    }

    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    pub fn apply(self, store: &mut dyn Store) -> Applied {
        let batch = Batch {
            session: &self.session,
            facts: &self.facts,
            budgets: &self.budgets,
            alert: self.alert,
            claim: self.claim,
            seen: self.seen.unwrap_or(self.now),
            observation: self.observation,
            now: self.now,
            prices: &Prices::default(),
        };
        // On a busy machine, others can hold the database for longer than a hook waits. Hooks then record later.
        let end = Instant::now() + PATIENCE;
        loop {
            match store.apply(&batch) {
                Err(StoreError::Backend(error))
                    if error.kind == BackendErrorKind::Busy && Instant::now() < end => {}
                applied => return applied.expect("the store records a batch"),
            }
        }
    }
}

/// Records facts of a session of the test's user.
pub fn record(store: &mut dyn Store, id: &str, facts: &[Fact]) -> Applied {
    BatchBuilder::new(&session(id)).facts(facts).apply(store)
}

/// The state of one budget; `None` if it was deleted.
pub fn state(store: &mut dyn Store, budget: &Budget, value: &str, now: Timestamp) -> Option<BudgetState> {
    let states = store.states(&[budget_key(budget, value)], now).expect("the store answers");
    assert!(states.len() <= 1, "one answer to one question");
    states.into_iter().next()
}

/// Lifetime fresh tokens of a value.
pub fn used(store: &mut dyn Store, scope: Scope, value: &str) -> u64 {
    state(store, &budget(scope, 1), value, NOW).expect("no deleted budget").used
}

/// The classes of a counter: input, output, cache writes, cache reads, requests, tool calls.
pub fn counter_parts(
    store: &mut dyn Store,
    scope: Scope,
    rule: &WindowRule,
    value: &str,
    now: Timestamp,
) -> [u64; 6] {
    let none = TokenClasses { input: false, output: false, cache_write: false, cache_read: false };
    let of =
        |unit, count| budget_key(&Budget { unit, count, window: rule.clone(), ..budget(scope, 1) }, value);
    let budgets = [
        of(Unit::Tokens, TokenClasses { input: true, ..none }),
        of(Unit::Tokens, TokenClasses { output: true, ..none }),
        of(Unit::Tokens, TokenClasses { cache_write: true, ..none }),
        of(Unit::Tokens, TokenClasses { cache_read: true, ..none }),
        of(Unit::Requests, none),
        of(Unit::ToolCalls, none),
    ];
    let states = store.states(&budgets, now).expect("the store answers");
    let parts: Vec<u64> = states.iter().map(|state| state.used).collect();
    parts.try_into().expect("six budgets")
}

/// The lifetime counter, which batches change once it was read.
pub fn running_counter(store: &mut dyn Store, scope: Scope, value: &str) -> [u64; 6] {
    counter_parts(store, scope, &WindowRule::LIFETIME, value, NOW)
}

/// The same, but computed from the messages: another zone has the same lifetime window, but another counter.
pub fn recounted(store: &mut dyn Store, scope: Scope, value: &str) -> [u64; 6] {
    let zone = fusebox::zoneinfo::zone("Asia/Tokyo").expect("tzdata is installed");
    counter_parts(store, scope, &WindowRule { period: Period::Lifetime, zone }, value, NOW)
}

/// Tokens by class charged to a session, and the number of its estimated messages.
pub fn session_usage(store: &mut dyn Store, id: &str) -> (Usage, u64) {
    let total = store.session_total(id).expect("the store answers").unwrap_or_default();
    (total.amount.usage, total.estimated_messages)
}
