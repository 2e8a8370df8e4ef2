//! A person's decisions about budgets: extend, reset, delete. [`circuit_decisions`](super::circuit_decisions) has those about
//! breakers.

use super::operation_ledger::OperationLedger;
use super::store_access::{StoreAccess, Unavailable};
use super::{messages, new_operation, operator, plan};
use crate::config::Config;
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::{Budget, BudgetState, Scope, Status, Unit};
use crate::domain::money::exact_usd;
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::plan::exact_percent;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::BudgetKey;
use crate::store::cache_file::CacheFile;

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no budget of that name.
    #[error("no budget named {name}; budgets: {known}")]
    UnknownBudget {
        /// The name given.
        name: String,
        /// The known names.
        known: String,
    },
    /// The budget does not count this value.
    #[error("budget {name} does not count {scope} {value} (its match is {matches})")]
    NotCounted {
        /// The budget.
        name: String,
        /// Its scope.
        scope: &'static str,
        /// The value given.
        value: String,
        /// Its pattern.
        matches: String,
    },
    /// The amount is 0.
    #[error("the amount must be greater than 0")]
    NoAmount,
    /// No breaker is open.
    #[error("session {session} has no open circuit breaker{of}; `fusebox circuit list` lists the open ones")]
    NotOpen {
        /// The session.
        session: String,
        /// The agent, as part of the message.
        of: String,
    },
    /// The reason is empty.
    #[error("a reason is required: --reason \"why\"")]
    NoReason,
    /// The budget has another unit.
    #[error("budget {name} counts {unit}: use --{option} N")]
    WrongUnit {
        /// The budget.
        name: String,
        /// Its unit.
        unit: &'static str,
        /// The option to use.
        option: String,
    },
    /// The extension would exceed the hard limit.
    #[error(
        "budget {name} can be extended by at most {room} (its hard limit is {hard}); raise hard_limit in the configuration, or \
         reset the budget"
    )]
    HardLimit {
        /// The budget.
        name: String,
        /// What is left until the hard limit, as text.
        room: String,
        /// The hard limit in force, as text.
        hard: String,
    },
    /// The budget was deleted for this value and window.
    #[error("budget {0} was deleted for this value; `fusebox budget reset {0}` restores it")]
    Deleted(String),
    /// The budget has several values in the session, or none.
    #[error("budget {name} counts by {scope} (values of this session: {}): use `fusebox budget` with --value in a terminal",
        if .values.is_empty() { "none" } else { .values })]
    AmbiguousValue {
        /// The budget.
        name: String,
        /// Its scope.
        scope: &'static str,
        /// The session's values.
        values: String,
    },
    /// Nothing is known about the window of a budget in percent.
    #[error("{0}")]
    Unknown(String),
    /// The window of a subscription cannot be reset.
    #[error("budget {0} cannot be reset: what the client says is used stays used. Extend it instead")]
    NotReset(String),
    /// The store's user may record, but not decide.
    #[error("{0}")]
    Denied(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

/// A request to change a budget.
#[derive(Clone, Debug)]
pub struct OperationRequest {
    /// Name of the budget.
    pub budget: String,
    /// Value of its scope.
    pub value: String,
    /// The change.
    pub change: BudgetChange,
    /// The reason.
    pub reason: String,
    /// Who decided.
    pub actor: String,
    /// Identifies the decision: a repeated request with the same key counts once. Empty: every request is a new
    /// decision.
    pub idempotency_key: String,
}

/// A change to a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetChange {
    /// Adds units to the limit.
    Extend {
        /// Units to add.
        amount: WrittenAmount,
        /// The unit that the person named; `None`: the budget's.
        unit: Option<Unit>,
    },
    /// Starts counting again.
    Reset,
    /// Stops applying the budget.
    Delete,
}

impl OperationRequest {
    /// The command line for this request.
    pub fn command(&self, budget: &Budget) -> String {
        let (name, scope, value) = (&budget.name, budget.scope, &self.value);
        match self.change {
            BudgetChange::Extend { amount, unit } => {
                let unit = unit.unwrap_or(budget.unit);
                let amount = amount.in_unit(unit).map_or_else(
                    || "N".to_owned(),
                    |amount| match unit {
                        Unit::Usd => exact_usd(amount),
                        Unit::Percent => exact_percent(amount),
                        Unit::Tokens | Unit::Requests | Unit::ToolCalls => amount.to_string(),
                    },
                );
                messages::extend_command(name, scope, value, unit, &amount)
            }
            BudgetChange::Reset => messages::reset_command(name, scope, value),
            BudgetChange::Delete => messages::delete_command(name, scope, value),
        }
    }
}

/// An operation that was carried out.
#[derive(Clone, Debug)]
pub struct AppliedOperation {
    /// The record.
    pub operation: Operation,
    /// The budget before; `None` if it was deleted.
    pub before: Option<BudgetState>,
    /// The budget after; `None` if it is deleted.
    pub after: Option<BudgetState>,
    /// What failed although the operation is recorded.
    pub warnings: Vec<String>,
}

impl AppliedOperation {
    /// The unit of the budget.
    pub fn unit(&self) -> Unit {
        self.after.as_ref().or(self.before.as_ref()).map_or(Unit::Tokens, |state| state.budget.unit)
    }

    /// Whether it is new. A repeated request changes nothing.
    pub fn is_new(&self) -> bool {
        let count = |state: &Option<BudgetState>| state.as_ref().map(|state| state.operations);
        count(&self.before) != count(&self.after)
    }
}

/// Finds a configured budget by name.
///
/// # Errors
/// There is none.
pub fn find_budget<'b>(budgets: &'b [Budget], name: &str) -> Result<&'b Budget, Refusal> {
    budgets.iter().find(|b| b.name == name).ok_or_else(|| Refusal::UnknownBudget {
        name: name.to_owned(),
        known: budgets.iter().map(|b| b.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// Refuses decisions about a budget in percent that nothing is known about: they would apply to no window.
///
/// # Errors
/// Nothing is known, or only of another user's account.
pub fn ensure_known(env: &Env, budget: &Budget, value: &str) -> Result<(), Refusal> {
    if budget.unit != Unit::Percent || (budget.is_known(env.now) && value == env.user()) {
        return Ok(());
    }
    Err(Refusal::Unknown(plan::unknown(budget, value, env).line()))
}

/// Carries out a decision about a budget of this configuration.
///
/// # Errors
/// Why it was refused; nothing was changed.
pub fn operate(
    env: &Env,
    config: &Config,
    store: &mut StoreAccess,
    request: &OperationRequest,
) -> Result<AppliedOperation, Refusal> {
    let mut done = apply(env, config, store, request)?;
    done.warnings.extend(expire_caches(env));
    Ok(done)
}

/// Carries out decisions, each by itself. The results are in the order of the requests.
pub fn operate_each(
    env: &Env,
    config: &Config,
    store: &mut StoreAccess,
    requests: &[OperationRequest],
) -> Vec<Result<AppliedOperation, Refusal>> {
    let mut all: Vec<_> = requests.iter().map(|request| apply(env, config, store, request)).collect();
    // Once for all of them: there may be many sessions.
    if let Some(last) = all.iter_mut().rev().find_map(|done| done.as_mut().ok()) {
        last.warnings.extend(expire_caches(env));
    }
    all
}

/// Records a decision. The caches of sessions are out of date then.
fn apply(
    env: &Env,
    config: &Config,
    store: &mut StoreAccess,
    request: &OperationRequest,
) -> Result<AppliedOperation, Refusal> {
    let budget = find_budget(&config.budgets, &request.budget)?.clone();
    if request.reason.trim().is_empty() {
        return Err(Refusal::NoReason);
    }
    if !wildmatch::WildMatch::new(&budget.matches).matches(&request.value) || request.value.is_empty() {
        let Budget { name, scope, matches, .. } = budget;
        return Err(Refusal::NotCounted { name, scope: scope.name(), value: request.value.clone(), matches });
    }
    ensure_known(env, &budget, &request.value)?;
    // Calls of platforms are dated by the store's clock, so decisions about them must be, too. Chains also count responses,
    // which are dated by the machine.
    let now = match budget.scope {
        Scope::Platform => store.call(|store| store.store_time(env.now))?,
        _ => env.now,
    };
    let env = &Env { now, ..env.clone() };
    let key = BudgetKey { budget: budget.clone(), value: request.value.clone() };
    let before = budget_state(store, &key, env.now)?;
    let (operation, after) = match new_operation::repeated(store, request)? {
        Some(operation) => (operation, before.clone()),
        None => record(env, config, store, request, &budget, before.as_ref())?,
    };
    let mut warnings = Vec::new();
    // A store that loses the decision gets it again from this machine's ledger.
    if let Some(dir) = env.state_dir()
        && let Err(error) = OperationLedger::new(&dir, config).append(&budget, &operation)
    {
        warnings.push(format!("the decision was recorded, but not in this machine's ledger: {error}"));
    }
    Ok(AppliedOperation { operation, before, after, warnings })
}

/// Records a new decision in the store, and returns the budget after it.
fn record(
    env: &Env,
    config: &Config,
    store: &mut StoreAccess,
    request: &OperationRequest,
    budget: &Budget,
    before: Option<&BudgetState>,
) -> Result<(Operation, Option<BudgetState>), Refusal> {
    let now = env.now;
    let decision = match request.change {
        BudgetChange::Extend { amount, unit } => {
            let state = before.ok_or_else(|| Refusal::Deleted(budget.name.clone()))?;
            OperationKind::Extend { amount: extension(state, amount, unit)? }
        }
        // A deleted one comes back.
        BudgetChange::Reset if budget.unit == Unit::Percent && before.is_some() => {
            return Err(Refusal::NotReset(budget.name.clone()));
        }
        BudgetChange::Reset => OperationKind::Reset { baseline: now },
        BudgetChange::Delete => OperationKind::Delete,
    };
    let window = budget.window_at(now);
    let at = new_operation::next_time(store, request, now)?;
    let operation = Operation { at, ..new_operation::new(request, decision, window.start, now) };
    let around = before.cloned().unwrap_or_else(|| BudgetState::new(budget, &request.value, window));
    match store.call(|store| store.add_operation(&operation, &around)) {
        Ok(after) => Ok((operation, after)),
        Err(error) if error.is_denied() => {
            // A user that may not decide can still record, so hooks need no back-off.
            store.retry_now();
            Err(Refusal::Denied(operator::denied_text(config, &request.command(budget))))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the sessions' next hooks ask the store. Returns what failed.
fn expire_caches(env: &Env) -> Vec<String> {
    let mut warnings = Vec::new();
    for file in CacheFile::all(&env.cache_dir()) {
        let mut cache = file.lock();
        cache.written = Timestamp::default();
        warnings.extend(cache.save().1.err().map(|error| format!("session cache: {error}")));
    }
    warnings
}

/// The state of one budget; `None` if it was deleted for this value.
///
/// # Errors
/// The store cannot be read.
pub fn budget_state(
    store: &mut StoreAccess,
    key: &BudgetKey,
    now: Timestamp,
) -> Result<Option<BudgetState>, Unavailable> {
    let budget_keys = std::slice::from_ref(key);
    Ok(store.call(|store| store.states(budget_keys, now))?.pop())
}

/// The units to add, if they may be added.
fn extension(state: &BudgetState, amount: WrittenAmount, unit: Option<Unit>) -> Result<u64, Refusal> {
    let budget = &state.budget;
    let amount = amount.in_unit(budget.unit).filter(|_| unit.is_none_or(|unit| unit == budget.unit));
    let Some(amount) = amount else {
        let option = budget.unit.name().replace('_', "-");
        return Err(Refusal::WrongUnit { name: budget.name.clone(), unit: budget.unit.noun(), option });
    };
    if amount == 0 {
        return Err(Refusal::NoAmount);
    }
    let Some(hard) = state.hard_limit() else { return Ok(amount) };
    let room = hard.saturating_sub(state.limit());
    if state.status() == Status::Exhausted || amount > room {
        let room = if state.status() == Status::Exhausted { 0 } else { room };
        let [room, hard] = [room, hard].map(|count| match budget.unit {
            Unit::Usd => format!("${}", exact_usd(count)),
            Unit::Percent => format!("{}%", exact_percent(count)),
            Unit::Tokens | Unit::Requests | Unit::ToolCalls => count.to_string(),
        });
        return Err(Refusal::HardLimit { name: budget.name.clone(), room, hard });
    }
    Ok(amount)
}
