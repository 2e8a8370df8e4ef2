//! Budgets as configured, and the state of one: used, limit, utilization, status.

use serde::{Deserialize, Serialize};

use super::counter::CounterFamily;
use super::operation::Adjustment;
pub use super::scope::Scope;
use super::time::Timestamp;
use super::usage::{Amount, Usage};
use super::window::{Window, WindowRule};

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens of the classes in [`Budget::count`].
    Tokens,
    /// Model responses.
    Requests,
    /// Distinct tool calls.
    ToolCalls,
}

impl Unit {
    /// Every unit with the name it has in the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("tokens", Self::Tokens), ("requests", Self::Requests), ("tool_calls", Self::ToolCalls)];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, u)| *u == self).map_or("tokens", |(n, _)| n)
    }

    /// How a person reads it: `tokens`, `requests`, `tool calls`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::ToolCalls => "tool calls",
        }
    }
}

/// The largest amount that a person can enter: past it, a number in JSON is no longer exact.
const MAX_AMOUNT: u64 = 1 << 53;

/// An amount of units as people write it: `200000`, `200_000`, `200,000`, `200k`, `1M`.
pub fn parse_amount(text: &str) -> Option<u64> {
    let plain = text.replace(['_', ','], "");
    let (digits, factor) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => plain.strip_suffix('M').map_or((plain.as_str(), 1), |digits| (digits, 1_000_000)),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| *n <= MAX_AMOUNT)
}

/// Token classes that a budget in tokens counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenClasses {
    /// Fresh input.
    pub input: bool,
    /// Output.
    pub output: bool,
    /// Cache writes of both lifetimes.
    pub cache_write: bool,
    /// Cache reads. Off by default: they repeat the same context on every call and would dwarf the rest.
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

/// What happens at the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLimit {
    /// A warning only.
    Warn,
    /// Tool calls are denied, the agent may close its work in `wrap_up` responses, then the turn is stopped.
    Pause,
    /// The turn is stopped at once.
    Stop,
}

/// Whether a budget acts or only says what it would have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Says what it would have done.
    Shadow,
    /// Acts.
    Enforce,
}

/// What a budget does while its store is out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreDown {
    /// Every call is let through.
    Allow,
    /// The session cache goes on counting, and decides.
    #[default]
    Local,
    /// Every call is denied.
    Deny,
}

/// A budget as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Unique name.
    pub name: String,
    /// What it counts over.
    pub scope: Scope,
    /// Which values of the scope it applies to (glob with `*` and `?`); each value has a count of its own.
    pub matches: String,
    /// What it counts.
    pub unit: Unit,
    /// Token classes, for a budget in tokens.
    pub count: TokenClasses,
    /// From here on it is paused, in units.
    pub limit: u64,
    /// From here on it is exhausted and cannot be extended; `None`: never.
    pub hard_limit: Option<u64>,
    /// When the count starts afresh.
    pub window: WindowRule,
    /// Fractions of the limit that raise an alert, ascending, in 0–1.
    pub thresholds: Vec<f64>,
    /// What happens at the limit.
    pub on_limit: OnLimit,
    /// Responses allowed to each agent after the limit, to close its work (for `pause`).
    pub wrap_up: u32,
    /// Whether it acts.
    pub mode: Mode,
    /// What happens while the store is out of reach.
    #[serde(default)]
    pub store_down: StoreDown,
}

impl Budget {
    /// Stands for a budget that is stored elsewhere. It applies to no value, so it has no state.
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
        }
    }

    /// Whether this stands for a budget that is stored elsewhere.
    pub fn is_placeholder(&self) -> bool {
        *self == Self::placeholder()
    }

    /// What this budget counts of `amount`.
    pub fn measure(&self, amount: &Amount) -> u64 {
        match self.unit {
            Unit::Tokens => self.count.tokens(amount.usage),
            Unit::Requests => amount.requests,
            Unit::ToolCalls => amount.tool_calls,
        }
    }

    /// The families of counters that it reads.
    pub fn counters(&self) -> Vec<CounterFamily> {
        let of = |scope| CounterFamily { scope, rule: self.window.clone() };
        match self.scope {
            Scope::Session => vec![of(Scope::Session), of(Scope::History)],
            scope => vec![of(scope)],
        }
    }
}

/// The status of a budget. Derived from used, limit and thresholds and never stored, so it cannot disagree with them.
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
    /// The name that people and JSON see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Warning => "warning",
            Self::Paused => "paused",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A budget for one value of its scope, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetState {
    /// The budget as configured. Left out in JSON where it [is a placeholder](Budget::is_placeholder).
    #[serde(default = "Budget::placeholder", skip_serializing_if = "Budget::is_placeholder")]
    pub budget: Budget,
    /// The value of the scope, such as a session id.
    pub value: String,
    /// The window in force.
    pub window: Window,
    /// What was counted in the window, since the last reset.
    pub used: u64,
    /// What was added to the limit by extensions, in units.
    pub extension: u64,
    /// What the session held before Fusebox watched it, in units: part of `used`, and added to the limit.
    pub history: u64,
    /// Operations on this value in this window: names the cause of a stop.
    pub operations: u32,
    /// Last reset in this window.
    pub since: Option<Timestamp>,
}

impl BudgetState {
    /// A budget for one value in a window in which nothing was counted or decided yet.
    pub fn new(budget: &Budget, value: &str, window: Window) -> Self {
        let (budget, value) = (budget.clone(), value.to_owned());
        Self { budget, value, window, used: 0, extension: 0, history: 0, operations: 0, since: None }
    }

    /// The state, adjusted by what people decided about it.
    pub fn adjusted(self, adjustment: &Adjustment) -> Self {
        Self {
            extension: adjustment.extension,
            operations: adjustment.count,
            since: adjustment.since,
            ..self
        }
    }

    /// The state, with the values of its counters (see [`Budget::counters`]).
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

    /// The limit in force: configured, extended, and raised by history. At most the hard limit in force.
    pub fn limit(&self) -> u64 {
        let raised = self.budget.limit.saturating_add(self.extension).saturating_add(self.history);
        self.hard_limit().map_or(raised, |hard| raised.min(hard))
    }

    /// The hard limit in force.
    pub fn hard_limit(&self) -> Option<u64> {
        self.budget.hard_limit.map(|hard| hard.saturating_add(self.history))
    }

    /// What is left until the limit; 0 past it.
    pub fn remaining(&self) -> u64 {
        self.limit().saturating_sub(self.used)
    }

    /// Used ÷ limit; a limit of 0 counts as reached: 1 (see [`Self::status`]).
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

    /// Thresholds that lie in `before < threshold ≤ used`, ascending: those that this step crossed.
    pub fn crossed(&self, before: u64) -> Vec<f64> {
        let at = |t: &&f64| {
            let units = threshold_units(**t, self.limit());
            before < units && units <= self.used
        };
        self.budget.thresholds.iter().filter(at).copied().collect()
    }

    /// Whether it blocks tool calls: it is at the limit, enforced, and does more than warn.
    pub fn blocks(&self) -> bool {
        self.budget.mode == Mode::Enforce
            && self.budget.on_limit != OnLimit::Warn
            && self.status() >= Status::Paused
    }
}

/// The smallest count that is at or past `threshold` (a fraction) of `limit`, at least 1.
pub fn threshold_units(threshold: f64, limit: u64) -> u64 {
    // In millionths: 0.55 × 100 in floating point is a little more than 55, and its ceiling 56.
    let millionths = (threshold * 1e6).round() as u128;
    let units = (millionths * u128::from(limit)).div_ceil(1_000_000);
    u64::try_from(units).unwrap_or(u64::MAX).max(1)
}
