//! Made-up data.

use std::collections::BTreeMap;

use crate::app::overview::{Overview, SessionOverview};
use crate::app::plan::PlanStatus;
use crate::app::status::{AgentStatus, CircuitStatus, CostStatus, SessionStatus, ThrottleStatus};
use crate::app::store_status::StoreStatus;
use crate::domain::alert::{AlertRecord, BudgetAlert};
use crate::domain::budget::{Budget, BudgetState, Mode, OnLimit, Scope, Unit};
use crate::domain::event::{Denial, DenialReason, Event, EventData};
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::domain::window::{Period, WindowRule, Zone};
use crate::store::{Session, SessionRow, SessionTotal};

/// 2026-11-30T12:00:00Z.
pub const NOW: Timestamp = Timestamp(1_796_040_000_000);

/// A session.
pub const FIRST: &str = "3f2a1b2c-3473-4bd3-b05f-e73c943b62e9";
/// Another session.
pub const SECOND: &str = "67393810-0000-4bd3-b05f-000000000002";

pub fn state(name: &str, scope: Scope, value: &str, used: u64, limit: u64, period: Period) -> BudgetState {
    let window = WindowRule { period, zone: Zone::utc() };
    let budget = Budget {
        name: name.into(),
        scope,
        unit: if name == "dollars" { Unit::Usd } else { Unit::Tokens },
        limit,
        window: window.clone(),
        thresholds: vec![0.5, 0.9],
        on_limit: OnLimit::Pause,
        mode: Mode::Enforce,
        ..Budget::placeholder()
    };
    BudgetState { used, ..BudgetState::new(&budget, value, window.at(NOW)) }
}

pub fn circuit(state: &'static str, reason: Option<&str>) -> CircuitStatus {
    CircuitStatus {
        state,
        reason: reason.map(str::to_owned),
        rule: None,
        iterations: Some(12),
        max_iterations: Some(1000),
        tripped_at_call: None,
        tool: None,
        count: None,
        limit: None,
        signature: None,
        since: None,
    }
}

pub fn session(id: &str, project: &str, states: Vec<BudgetState>) -> SessionOverview {
    let store = StoreStatus {
        kind: "embedded",
        epoch: "e".into(),
        recovering: Vec::new(),
        reachable: true,
        error: None,
        as_of: None,
    };
    let mut total = SessionTotal::default();
    total.amount.nano_usd = 1_230_000_000;
    let status = SessionStatus {
        session: id.into(),
        tokens: Usage { input: 400_000, output: 12_300, ..Usage::default() },
        requests: 10,
        tool_calls: 20,
        estimated_messages: 0,
        incomplete: false,
        unseen_responses: 0,
        uncharged_responses: 0,
        budgets: Vec::new(),
        unknown_budgets: Vec::new(),
        plan: PlanStatus { five_hour: None, seven_day: None },
        cost: CostStatus::new(total),
        circuit: Some(circuit("closed", None)),
        agents: BTreeMap::new(),
        throttle: Some(ThrottleStatus { live: 2, max: 4, throttled: false, total: 7 }),
        stopped: false,
        held_by: Vec::new(),
        store,
    };
    let session =
        Session { id: id.into(), project: project.into(), user: "alice".into(), ..Session::default() };
    let row = SessionRow { session, last_seen: NOW.plus_millis(-5_000), ended: None, complete: false };
    SessionOverview { row, is_live: true, status, states, last_hour: 500_000_000, events: Vec::new() }
}

/// Two live sessions, the first with an open breaker of a subagent, an alert, a denial and a decision; and an ended one.
pub fn data() -> Overview {
    let own = state("session", Scope::Session, FIRST, 412_300, 1_000_000, Period::Lifetime);
    let daily = state("daily", Scope::User, "alice", 4_900_000, 5_000_000, Period::Day);
    let dollars = state("dollars", Scope::User, "alice", 12_500_000_000, 20_000_000_000, Period::Month);
    let mut first = session(FIRST, "/home/alice/src/payments", vec![own, daily.clone(), dollars]);
    let open =
        circuit("open", Some("the same call with the same result, 5 times in a row (Bash; trips at 5)"));
    first.status.agents.insert("a1b2c3".into(), AgentStatus { circuit: open });
    let reason = DenialReason::Protection { protected: "the configuration".into() };
    let denial = Denial { call: 1, tool: "Bash".into(), stopped: false, reason };
    first.events = vec![Event {
        id: 1,
        session: FIRST.into(),
        agent: String::new(),
        at: NOW.plus_millis(-60_000),
        data: EventData::CallDenied(denial),
    }];
    let spent = state("session", Scope::Session, SECOND, 1_200_000, 1_000_000, Period::Lifetime);
    let mut second = session(SECOND, "/home/alice/src/site", vec![spent]);
    second.status.stopped = true;
    let mut ended = session("ended", "/home/alice/old", Vec::new());
    (ended.is_live, ended.row.ended) = (false, Some(NOW));
    let alert = BudgetAlert { id: 7, ..BudgetAlert::new(&daily, 0.9, NOW.plus_millis(-120_000)) };
    let extended = Operation {
        id: "o".into(),
        kind: OperationKind::Extend { amount: 50_000 },
        budget: "session".into(),
        value: FIRST.into(),
        window_start: Timestamp(i64::MIN),
        reason: "nearly done".into(),
        actor: "bob".into(),
        at: NOW.plus_millis(-180_000),
    };
    let store = first.status.store.clone();
    Overview {
        at: NOW,
        store: Some(store),
        sessions: vec![first, second, ended],
        live: 2,
        today: Some(12_400_000_000),
        last_hour: 1_000_000_000,
        alerts: vec![AlertRecord { alert, acknowledged: None }],
        operations: vec![extended],
        warnings: Vec::new(),
    }
}
