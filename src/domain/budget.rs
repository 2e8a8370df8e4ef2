//! Budgets as configured, and their state: used, limit, utilization, status.

use serde::{Deserialize, Serialize};

use super::counter::CounterFamily;
use super::operation::Adjustment;
use super::plan::PlanStanding;
pub use super::scope::Scope;
use super::time::Timestamp;
use super::usage::{Amount, Usage};
use super::window::{Period, Window, WindowRule};

/// The unit in which a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens of the classes in [`Budget::count`].
    Tokens,
    /// Model responses.
    Requests,
    /// Distinct tool calls.
    ToolCalls,
    /// Dollars, counted in nano-dollars.
    Usd,
    /// Percent of a window of the subscription, in hundredths. The client says how much is used; nothing is counted.
    Percent,
}

impl Unit {
    /// Every unit and its name in the configuration.
    pub const ALL: [(&'static str, Self); 5] = [
        ("tokens", Self::Tokens),
        ("requests", Self::Requests),
        ("tool_calls", Self::ToolCalls),
        ("usd", Self::Usd),
        ("percent", Self::Percent),
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, u)| *u == self).map_or("tokens", |(n, _)| n)
    }

    /// The name in text: `tokens`, `requests`, `tool calls`, `dollars`, `percent`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::ToolCalls => "tool calls",
            Self::Usd => "dollars",
            Self::Percent => "percent",
        }
    }
}

/// Token classes that a token budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenClasses {
    /// Fresh input.
    pub input: bool,
    /// Output.
    pub output: bool,
    /// Cache writes of both lifetimes.
    pub cache_write: bool,
    /// Cache reads. Off by default: every call reads the same context again, which would dwarf the rest.
    pub cache_read: bool,
}

impl TokenClasses {
    /// Fresh tokens: input, output and cache writes.
    pub const FRESH: Self = Self { input: true, output: true, cache_write: true, cache_read: false };

    /// The tokens of these classes.
    pub fn tokens(self, usage: Usage) -> u64 {
        let pick = |on: bool, n: u64| if on { n } else { 0 };
        pick(self.input, usage.input)
            .saturating_add(pick(self.output, usage.output))
            .saturating_add(pick(self.cache_write, usage.cache_write_5m.saturating_add(usage.cache_write_1h)))
            .saturating_add(pick(self.cache_read, usage.cache_read))
    }
}

/// What happens when the limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLimit {
    /// A warning only.
    Warn,
    /// Denies tool calls; after `wrap_up` more responses, stops the turn.
    Pause,
    /// Stops the turn at once.
    Stop,
}

/// Whether a budget enforces its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Only reports what it would have done.
    Shadow,
    /// Enforces the limit.
    Enforce,
}

/// What a budget does while its store is unreachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreDown {
    /// Allows every call.
    Allow,
    /// Decides by the counts in the session cache, which continue.
    #[default]
    Local,
    /// Denies every call.
    Deny,
}

/// A budget as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Unique name.
    pub name: String,
    /// What it counts over.
    pub scope: Scope,
    /// Which values of the scope it applies to (glob with `*` and `?`). Each value is counted separately.
    pub matches: String,
    /// What it counts.
    pub unit: Unit,
    /// Token classes that count, if the unit is tokens.
    pub count: TokenClasses,
    /// At this many units the budget is paused.
    pub limit: u64,
    /// At this many units the budget is exhausted and cannot be extended. `None`: no hard limit.
    pub hard_limit: Option<u64>,
    /// When the count restarts.
    pub window: WindowRule,
    /// Alert thresholds as fractions of the limit, ascending, in 0–1.
    pub thresholds: Vec<f64>,
    /// What happens at the limit.
    pub on_limit: OnLimit,
    /// Responses that each agent may still make past the limit, for `pause`.
    pub wrap_up: u32,
    /// Whether it enforces the limit.
    pub mode: Mode,
    /// What happens while the store is unreachable.
    #[serde(default)]
    pub store_down: StoreDown,
    /// What is known about its window, for a budget in percent. Not configured: each process looks it up.
    #[serde(skip)]
    pub plan: Option<PlanStanding>,
}

impl Budget {
    /// Placeholder for a budget stored elsewhere. It applies to no value, so it has no state.
    pub const fn placeholder() -> Self {
        Self {
            name: String::new(),
            scope: Scope::Session,
            matches: String::new(),
            unit: Unit::Tokens,
            count: TokenClasses::FRESH,
            limit: 0,
            hard_limit: None,
            window: WindowRule::LIFETIME,
            thresholds: Vec::new(),
            on_limit: OnLimit::Warn,
            wrap_up: 0,
            mode: Mode::Shadow,
            store_down: StoreDown::Local,
            plan: None,
        }
    }

    /// Whether this is the [`placeholder`](Self::placeholder).
    pub fn is_placeholder(&self) -> bool {
        *self == Self::placeholder()
    }

    /// The units of `amount` that this budget counts.
    pub fn measure(&self, amount: &Amount) -> u64 {
        match self.unit {
            Unit::Tokens => self.count.tokens(amount.usage),
            Unit::Requests => amount.requests,
            Unit::ToolCalls => amount.tool_calls,
            Unit::Usd => amount.nano_usd,
            Unit::Percent => 0,
        }
    }

    /// Whether it has a state at `now`: of a budget in percent, only what the client said is known.
    pub fn is_known(&self, now: Timestamp) -> bool {
        self.unit != Unit::Percent || self.plan.is_some_and(|plan| now < plan.reading.resets_at)
    }

    /// The window that contains `now`.
    pub fn window_at(&self, now: Timestamp) -> Window {
        match (self.window.period, self.plan) {
            (Period::Plan(window), Some(PlanStanding { reading, .. })) => Window {
                start: reading.resets_at.plus_millis(-window.length_ms()),
                end: Some(reading.resets_at),
            },
            _ => self.window.at(now),
        }
    }

    /// The counter families that this budget reads.
    pub fn counters(&self) -> Vec<CounterFamily> {
        let of = |scope| CounterFamily { scope, rule: self.window.clone() };
        match self.scope {
            _ if self.unit == Unit::Percent => Vec::new(),
            Scope::Session => vec![of(Scope::Session), of(Scope::History)],
            scope => vec![of(scope)],
        }
    }
}

/// The status of a budget. Always derived from used, limit and thresholds, never stored, so it cannot disagree with
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Below the first threshold.
    Active,
    /// At or past the first threshold.
    Warning,
    /// At or past the limit.
    Paused,
    /// At or past the hard limit.
    Exhausted,
}

impl Status {
    /// The name in output and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Warning => "warning",
            Self::Paused => "paused",
            Self::Exhausted => "exhausted",
        }
    }
}

/// The state of a budget for one value of its scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetState {
    /// The budget as configured. Omitted in JSON if it [is a placeholder](Budget::is_placeholder).
    #[serde(default = "Budget::placeholder", skip_serializing_if = "Budget::is_placeholder")]
    pub budget: Budget,
    /// The value of the scope, such as a session id.
    pub value: String,
    /// The current window.
    pub window: Window,
    /// Units counted in this window since the last reset.
    pub used: u64,
    /// Units added to the limit by extensions.
    pub extension: u64,
    /// Units that the session used before Fusebox watched it. Included in `used` and added to the limit.
    pub history: u64,
    /// Operations on this value in this window. Part of the cause of a stop.
    pub operations: u32,
    /// Last reset in this window, if any.
    pub since: Option<Timestamp>,
}

impl BudgetState {
    /// The state of a budget with nothing counted and no operations.
    pub fn new(budget: &Budget, value: &str, window: Window) -> Self {
        let used = budget.plan.map_or(0, |plan| plan.reading.used);
        let (budget, value) = (budget.clone(), value.to_owned());
        Self { budget, value, window, used, extension: 0, history: 0, operations: 0, since: None }
    }

    /// An earlier state at `now`, of the budget as it is configured and known now. In another window, nothing is
    /// counted yet.
    pub fn renewed(&self, budget: &Budget, now: Timestamp) -> Self {
        let new = Self::new(budget, &self.value, budget.window_at(now));
        if new.window.start != self.window.start {
            return new;
        }
        let used = if budget.unit == Unit::Percent { new.used } else { self.used };
        Self { budget: new.budget, window: new.window, used, ..self.clone() }
    }

    /// Applies the operations on this value.
    pub fn adjusted(self, adjustment: &Adjustment) -> Self {
        Self {
            extension: adjustment.extension,
            operations: adjustment.count,
            since: adjustment.since,
            ..self
        }
    }

    /// Sets the counts from the counters listed by [`Budget::counters`].
    pub fn with_counters(mut self, counters: impl IntoIterator<Item = (Scope, Amount)>) -> Self {
        for (scope, amount) in counters {
            let units = self.budget.measure(&amount);
            match scope {
                Scope::History => self.history = units,
                _ => self.used = units,
            }
        }
        self
    }

    /// The limit in force: configured limit, extensions and history, capped at the hard limit in force.
    pub fn limit(&self) -> u64 {
        let raised = self.budget.limit.saturating_add(self.extension).saturating_add(self.history);
        self.hard_limit().map_or(raised, |hard| raised.min(hard))
    }

    /// The hard limit in force.
    pub fn hard_limit(&self) -> Option<u64> {
        self.budget.hard_limit.map(|hard| hard.saturating_add(self.history))
    }

    /// Units left until the limit; 0 past it.
    pub fn remaining(&self) -> u64 {
        self.limit().saturating_sub(self.used)
    }

    /// Used ÷ limit. 1 if the limit is 0, which counts as reached (see [`Self::status`]).
    pub fn utilization(&self) -> f64 {
        match self.limit() {
            0 => 1.0,
            limit => self.used as f64 / limit as f64,
        }
    }

    /// The status, by levels: active < first threshold ≤ warning < limit ≤ paused < hard limit ≤ exhausted.
    pub fn status(&self) -> Status {
        if self.hard_limit().is_some_and(|hard| self.used >= hard) {
            Status::Exhausted
        } else if self.used >= self.limit() {
            Status::Paused
        } else if self
            .budget
            .thresholds
            .first()
            .is_some_and(|t| self.used >= threshold_units(*t, self.limit()))
        {
            Status::Warning
        } else {
            Status::Active
        }
    }

    /// Thresholds in `before < threshold ≤ used`, ascending: those that this step crossed. (No step changes a budget in
    /// percent: for one, those since alerts were last raised.)
    pub fn crossed(&self, before: u64) -> Vec<f64> {
        let before = self.budget.plan.map_or(before, |plan| plan.noticed);
        let at = |t: &&f64| {
            let units = threshold_units(**t, self.limit());
            before < units && units <= self.used
        };
        self.budget.thresholds.iter().filter(at).copied().collect()
    }

    /// Whether it blocks tool calls: at its limit, enforced, and not only warning.
    pub fn blocks(&self) -> bool {
        self.budget.mode == Mode::Enforce
            && self.budget.on_limit != OnLimit::Warn
            && self.status() >= Status::Paused
    }
}

/// The smallest count at or past `threshold` (a fraction) of `limit`, at least 1.
pub fn threshold_units(threshold: f64, limit: u64) -> u64 {
    // In millionths: in floating point, 0.55 × 100 is slightly above 55 and would round up to 56.
    let millionths = (threshold * 1e6).round() as u128;
    let units = (millionths * u128::from(limit)).div_ceil(1_000_000);
    u64::try_from(units).unwrap_or(u64::MAX).max(1)
}
