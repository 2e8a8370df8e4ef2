//! Budgets in percent: what the client's status line said about the windows of the subscription.
//!
//! The reading is not part of the configuration, which hooks keep in the session's cache: each process looks it up. The
//! stores get it with the budget. A budget without a reading has no state: nothing is known, so nothing is denied.

use serde::Serialize;

use crate::config::Config;
use crate::domain::amount::Count;
use crate::domain::budget::{Budget, BudgetState, Unit};
use crate::domain::plan::{PlanStanding, PlanUsage, PlanWindow, UNITS_PER_PERCENT};
use crate::domain::time::Timestamp;
use crate::domain::window::Period;
use crate::platform::Env;
use crate::store::plan_file::Plan;
use crate::store::session_cache::SessionCache;

/// Looks up where the windows of a configuration's budgets stand. (Reads the file only if there is such a budget.)
pub fn look_up(config: &mut Config, env: &Env) {
    if config.budgets.iter().all(|budget| budget.unit != Unit::Percent) {
        return;
    }
    let plan = read(env);
    for budget in &mut config.budgets {
        if let Period::Plan(window) = budget.window.period {
            budget.plan = plan.usage(window).and_then(|usage| usage.standing(window, env.now));
        }
    }
}

/// The same for a session, whose last answer of the store tells which alerts were raised.
pub fn look_up_for_session(config: &mut Config, cache: &SessionCache, env: &Env) {
    look_up(config, env);
    for budget in config.budgets.iter_mut().filter(|budget| budget.plan.is_some()) {
        let start = budget.window_at(env.now).start;
        let is_it = |state: &&BudgetState| state.budget.name == budget.name && state.window.start == start;
        let noticed = cache.states.iter().find(is_it).map_or(0, |state| state.used);
        budget.plan = budget.plan.map(|plan| PlanStanding { noticed, ..plan });
    }
}

/// Updates the states in a session's cache: the client may have said more since the store was asked.
pub fn update_states(config: &Config, cache: &mut SessionCache, now: Timestamp) {
    let of_plan = |budget: &Budget| budget.unit == Unit::Percent;
    let SessionCache { states, offline_counts, session, .. } = cache;
    if session.id.is_empty() || !config.budgets.iter().any(of_plan) {
        return;
    }
    let offline = offline_counts.as_mut().map(|counted| &mut counted.states);
    for states in [Some(states), offline].into_iter().flatten() {
        let old: Vec<BudgetState> = states.extract_if(.., |state| of_plan(&state.budget)).collect();
        for budget in config.budgets.iter().filter(|budget| of_plan(budget) && budget.is_known(now)) {
            let known = old.iter().find(|state| state.budget.name == budget.name);
            states.push(match known {
                Some(state) => state.renewed(budget, now),
                // There was no reading, or the budget was deleted. The store knows, and is asked before any denial.
                None => BudgetState::new(budget, &session.user, budget.window_at(now)),
            });
        }
    }
}

fn read(env: &Env) -> Plan {
    env.state_dir().map(|dir| Plan::read(&dir)).unwrap_or_default()
}

/// A budget in percent whose window nothing is known about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownBudget {
    /// Name.
    pub name: String,
    /// Scope.
    pub scope: &'static str,
    /// Value of the scope.
    pub value: String,
    /// Unit of the limit.
    pub unit: Unit,
    /// Window.
    pub window: String,
    /// The configured limit.
    pub limit: Count,
    /// `unknown`.
    pub status: &'static str,
    /// Why nothing is known.
    pub reason: String,
}

impl UnknownBudget {
    /// `plan (user ann): unknown: …`.
    pub fn line(&self) -> String {
        let Self { name, scope, value, reason, .. } = self;
        format!("{name} ({scope} {value}): unknown, so it allows everything: {reason}. {SOURCE}")
    }
}

/// Who says what is used.
const SOURCE: &str = "Fusebox's status line, which `fusebox init` sets, learns it from the client with the first response in a \
                      terminal session of a Pro or Max account";

/// The budgets in percent whose window nothing is known about, for this user.
pub fn unknown_budgets(config: &Config, user: &str, env: &Env) -> Vec<UnknownBudget> {
    let unknown: Vec<&Budget> = config.budgets.iter().filter(|budget| !budget.is_known(env.now)).collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let plan = read(env);
    unknown.into_iter().map(|budget| unknown_budget(budget, user, &plan, env.now)).collect()
}

/// Why nothing is known about one of them.
pub fn unknown(budget: &Budget, user: &str, env: &Env) -> UnknownBudget {
    unknown_budget(budget, user, &read(env), env.now)
}

fn unknown_budget(budget: &Budget, user: &str, plan: &Plan, now: Timestamp) -> UnknownBudget {
    UnknownBudget {
        name: budget.name.clone(),
        scope: budget.scope.name(),
        value: user.to_owned(),
        unit: budget.unit,
        window: budget.window.period.to_string(),
        limit: Count::new(budget.limit, budget.unit),
        status: "unknown",
        reason: reason(budget, plan, now),
    }
}

/// Why nothing is known about a budget's window.
fn reason(budget: &Budget, plan: &Plan, now: Timestamp) -> String {
    let Period::Plan(window) = budget.window.period else { return "it has no window".to_owned() };
    match plan.usage(window) {
        None => "the client has not said anything about this window yet".to_owned(),
        Some(usage) if usage.current(now).is_none() => {
            let end = usage.reading.resets_at.to_rfc3339();
            format!("the window that the client last spoke of ended at {end}")
        }
        Some(usage) if usage.standing(window, now).is_none() => "the last reading cannot be right".to_owned(),
        Some(_) => "what is known here is of another user's account".to_owned(),
    }
}

/// What the client last said about both windows, in `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlanStatus {
    /// The window of five hours; `null`: unknown.
    pub five_hour: Option<PlanWindowStatus>,
    /// The window of seven days; `null`: unknown.
    pub seven_day: Option<PlanWindowStatus>,
}

/// What the client last said about a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanWindowStatus {
    /// Percent used.
    pub used_percentage: f64,
    /// When the window ends (RFC 3339, UTC).
    pub resets_at: String,
    /// When all of it will be used, and since when that is known.
    #[serde(flatten)]
    pub forecast: PlanForecast,
}

/// A forecast from the last reading.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanForecast {
    /// When the client said it (RFC 3339, UTC).
    pub at: String,
    /// Percent per hour; `null`: too early to tell.
    pub pace_per_hour: Option<f64>,
    /// When the limit will be reached at this pace (RFC 3339, UTC); `null`: not before the window ends.
    pub limit_reached_at: Option<String>,
}

impl PlanForecast {
    /// The forecast for a limit.
    pub fn new(standing: &PlanStanding, limit: u64) -> Self {
        Self {
            at: standing.reading.at.to_rfc3339(),
            // In hundredths, as everything else.
            pace_per_hour: standing.pace.map(|units| units.round() / UNITS_PER_PERCENT as f64),
            limit_reached_at: standing.limit_reached_at(limit).map(Timestamp::to_rfc3339),
        }
    }
}

impl PlanStatus {
    /// What this machine knows.
    pub fn read(env: &Env) -> Self {
        let plan = read(env);
        let of = |window: PlanWindow| {
            let standing =
                plan.usage(window).and_then(|usage: &PlanUsage| usage.standing(window, env.now))?;
            Some(PlanWindowStatus {
                used_percentage: standing.reading.used as f64 / UNITS_PER_PERCENT as f64,
                resets_at: standing.reading.resets_at.to_rfc3339(),
                forecast: PlanForecast::new(&standing, 100 * UNITS_PER_PERCENT),
            })
        };
        Self { five_hour: of(PlanWindow::FiveHours), seven_day: of(PlanWindow::Week) }
    }
}
