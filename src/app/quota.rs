//! Quotas of platforms: reserving and settling calls, for scripts and hooks, and where each platform stands.

use serde::Serialize;
use wildmatch::WildMatch;

use super::status::BudgetStatus;
use crate::config::Config;
use crate::domain::alert::BudgetAlert;
use crate::domain::amount::Count;
use crate::domain::budget::{Budget, BudgetState, Mode, OnLimit, Scope, Unit, threshold_units};
use crate::domain::reservation::{OnExcess, Reservation, reserved_units};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::store::quota::{NewReservation, QuotaAction, QuotaRequest, QuotaResult, ReservationName};
use crate::store::{BudgetKey, Result, Store};

/// Reserves and settles calls of platforms in a store.
pub struct Quotas<'a> {
    store: &'a mut dyn Store,
    config: &'a Config,
    now: Timestamp,
}

impl<'a> Quotas<'a> {
    /// The quotas in a store. `local`: the time by this machine's clock; the store's own clock decides.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn new(store: &'a mut dyn Store, config: &'a Config, local: Timestamp) -> Result<Self> {
        let now = store.store_time(local)?;
        Ok(Self { store, config, now })
    }

    /// The time by the clock of the store.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Reserves calls: all, or none.
    ///
    /// # Errors
    /// The store failed; nothing was reserved.
    pub fn reserve(&mut self, new: Vec<NewReservation>) -> Result<QuotaResult> {
        let named = new.iter().map(|one| (one.platform.clone(), one.chain.clone())).collect();
        self.act(named, &QuotaAction::Reserve(new), OnExcess::Charge)
    }

    /// Records what was used (`None`: what was reserved), and ends the reservation. Without one of this name, `or_new`
    /// is made and recorded at once.
    ///
    /// # Errors
    /// The store failed; nothing was recorded.
    pub fn record(
        &mut self,
        name: ReservationName,
        used: Option<Amount>,
        or_new: Option<NewReservation>,
    ) -> Result<QuotaResult> {
        let known = self.store.reservation(&name)?;
        let of = known.map(|known| (known.platform, known.chain));
        let of = of.or_else(|| or_new.as_ref().map(|new| (new.platform.clone(), new.chain.clone())));
        let Some(of) = of else { return Ok(Err(crate::store::quota::NotDone::NotFound)) };
        let platform = self.config.platforms.iter().find(|platform| platform.name == of.0);
        let on_excess = platform.map(|platform| platform.on_excess).unwrap_or_default();
        self.act(vec![of], &QuotaAction::Record { name, used, or_new: or_new.map(Box::new) }, on_excess)
    }

    /// Releases a reservation: nothing was used.
    ///
    /// # Errors
    /// The store failed; nothing was released.
    pub fn release(&mut self, name: ReservationName) -> Result<QuotaResult> {
        self.act(Vec::new(), &QuotaAction::Release(name), OnExcess::Charge)
    }

    fn act(
        &mut self,
        mut named: Vec<(String, String)>,
        action: &QuotaAction,
        on_excess: OnExcess,
    ) -> Result<QuotaResult> {
        // Each step also settles what has expired, which may pass a threshold.
        let open = self.store.open_reservations()?.into_iter();
        let over = open.filter(|one| one.expires <= self.now);
        named.extend(over.map(|one| (one.platform, one.chain)));
        let budgets = self.budget_keys(&named);
        self.store.quota(&QuotaRequest { budgets: &budgets, action, on_excess }, self.now)
    }

    /// The budgets of these platforms and chains.
    fn budget_keys(&self, named: &[(String, String)]) -> Vec<BudgetKey> {
        let mut keys: Vec<BudgetKey> = Vec::new();
        for budget in &self.config.budgets {
            let glob = WildMatch::new(&budget.matches);
            for (platform, chain) in named {
                let value = match budget.scope {
                    Scope::Platform => platform,
                    Scope::Chain => chain,
                    _ => continue,
                };
                let key = BudgetKey { budget: budget.clone(), value: value.clone() };
                if !value.is_empty() && glob.matches(value) && !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    /// Claims the alerts of the budgets of a platform and a chain that nobody was shown yet, with these budgets now. The
    /// caller shows and confirms them. `local`: the time by this machine's clock, as for other claims.
    ///
    /// # Errors
    /// The store failed; a hook will show them.
    pub fn claim_alerts(
        &mut self,
        (platform, chain): (&str, &str),
        local: Timestamp,
    ) -> Result<(Vec<BudgetAlert>, Vec<BudgetState>)> {
        let keys = self.budget_keys(&[(platform.to_owned(), chain.to_owned())]);
        let states = self.store.states(&keys, self.now)?;
        let alerts = self.store.claim_alerts(&states, local)?;
        Ok((alerts, states))
    }

    /// Where each platform stands: those configured, those named in budgets, and those with calls. `only`: this one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn status(&mut self, only: Option<&str>) -> Result<Vec<PlatformStatus>> {
        let request = QuotaRequest { budgets: &[], action: &QuotaAction::Sweep, on_excess: OnExcess::Charge };
        let is_over = |one: &Reservation| one.expires <= self.now;
        if self.store.open_reservations()?.iter().any(is_over) {
            self.act(Vec::new(), request.action, request.on_excess).map(drop)?;
        }
        self.standing(only)
    }

    /// The same as [`Self::status`], without writing: reservations that have expired may not be settled yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn standing(&mut self, only: Option<&str>) -> Result<Vec<PlatformStatus>> {
        let open = self.store.open_reservations()?;
        let mut statuses = Vec::new();
        for name in self.platforms(only)? {
            let budgets = self.budgets_with(&name, "", &open)?;
            let of_platform = open.iter().filter(|one| one.platform == name);
            let reservations = of_platform.map(|one| OpenReservation::new(one, &budgets)).collect();
            statuses.push(PlatformStatus { platform: name, budgets, reservations });
        }
        Ok(statuses)
    }

    /// The budgets of a platform and a chain (empty: none).
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn budgets(&mut self, platform: &str, chain: &str) -> Result<Vec<QuotaBudget>> {
        let open = self.store.open_reservations()?;
        self.budgets_with(platform, chain, &open)
    }

    fn budgets_with(
        &mut self,
        platform: &str,
        chain: &str,
        open: &[Reservation],
    ) -> Result<Vec<QuotaBudget>> {
        let keys = self.budget_keys(&[(platform.to_owned(), chain.to_owned())]);
        let states = self.store.states(&keys, self.now)?;
        Ok(states.iter().map(|state| QuotaBudget::new(state, open, self.now)).collect())
    }

    fn platforms(&mut self, only: Option<&str>) -> Result<Vec<String>> {
        let mut names = named_platforms(self.config);
        names.extend(only.filter(|only| is_known(self.config, only)).map(str::to_owned));
        names.extend(self.store.values(Scope::Platform, self.now.plus_millis(-SHOWN_MS))?);
        names.extend(self.store.open_reservations()?.into_iter().map(|one| one.platform));
        names.sort();
        names.dedup();
        names.retain(|name| only.is_none_or(|only| only == name));
        Ok(names)
    }
}

/// The platforms that the configuration names, in order: those configured, and those of budgets.
pub fn named_platforms(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = config.platforms.iter().map(|one| one.name.clone()).collect();
    // Without a wildcard, the pattern is a name.
    let named = platform_budgets(config).map(|budget| &budget.matches);
    names.extend(named.filter(|name| !name.contains(['*', '?'])).cloned());
    names.sort();
    names.dedup();
    names
}

/// The platforms that the configuration names, and the patterns of budgets, in order.
pub fn platforms_and_patterns(config: &Config) -> Vec<String> {
    let mut names = named_platforms(config);
    names.extend(platform_budgets(config).map(|budget| budget.matches.clone()));
    names.sort();
    names.dedup();
    names
}

/// Whether a platform is configured, or a budget counts it.
pub fn is_known(config: &Config, platform: &str) -> bool {
    config.platforms.iter().any(|one| one.name == platform)
        || platform_budgets(config).any(|budget| WildMatch::new(&budget.matches).matches(platform))
}

/// The budgets of platforms.
pub fn platform_budgets(config: &Config) -> impl Iterator<Item = &Budget> {
    config.budgets.iter().filter(|budget| budget.scope == Scope::Platform)
}

/// Platforms that are not configured are listed for this long after their last call, in milliseconds: a day.
const SHOWN_MS: i64 = 24 * 3600 * 1000;

/// Where a platform stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlatformStatus {
    /// The platform.
    pub platform: String,
    /// Its budgets.
    pub budgets: Vec<QuotaBudget>,
    /// Its reservations that have not ended.
    pub reservations: Vec<OpenReservation>,
}

/// A budget of a platform.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuotaBudget {
    /// Its status.
    #[serde(flatten)]
    pub status: BudgetStatus,
    /// What open reservations hold.
    pub reserved: Count,
    /// What is left: limit − used − reserved, at least 0.
    pub available: Count,
    /// Used ÷ limit, in percent, with two decimals.
    pub percent_used: f64,
    /// The thresholds in percent that the use of this window has passed.
    pub alerts_triggered: Vec<f64>,
    /// Its state.
    #[serde(skip)]
    pub state: BudgetState,
    /// What open reservations hold, in its unit.
    #[serde(skip)]
    pub reserved_units: u64,
}

impl QuotaBudget {
    /// What is left in its unit: limit − used − reserved, at least 0.
    pub fn available_units(&self) -> u64 {
        self.state.remaining().saturating_sub(self.reserved_units)
    }

    /// Whether it has no room: used and reserved reach its limit, and it does more than warn.
    pub fn is_full(&self) -> bool {
        let Budget { mode, on_limit, .. } = self.state.budget;
        let taken = self.state.used.saturating_add(self.reserved_units);
        mode == Mode::Enforce && on_limit != OnLimit::Warn && taken >= self.state.limit()
    }

    fn new(state: &BudgetState, open: &[Reservation], now: Timestamp) -> Self {
        let reserved = reserved_units(state, open, now);
        let count = |units| Count::new(units, state.budget.unit);
        let passed = state.budget.thresholds.iter();
        let passed = passed.filter(|threshold| threshold_units(**threshold, state.limit()) <= state.used);
        let hundredths = |fraction: f64| (fraction * 10_000.0).round() / 100.0;
        Self {
            status: BudgetStatus::from_state(state),
            reserved: count(reserved),
            available: count(state.remaining().saturating_sub(reserved)),
            percent_used: hundredths(state.utilization()),
            alerts_triggered: passed.map(|threshold| hundredths(*threshold)).collect(),
            state: state.clone(),
            reserved_units: reserved,
        }
    }
}

/// A reservation that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenReservation {
    /// Its id.
    pub id: String,
    /// The caller's key; `None`: it named none.
    pub key: Option<String>,
    /// The chain of tasks; empty if none.
    pub chain: String,
    /// The session that made it; empty if none.
    pub session: String,
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
    /// Dollars.
    pub usd: Count,
    /// Whether a budget of the platform counts it; not if it was made before a reset, or in an earlier window.
    pub counts: bool,
    /// What it holds.
    #[serde(skip)]
    pub amount: Amount,
    /// When it was made (RFC 3339, UTC).
    pub at: String,
    /// When it expires (RFC 3339, UTC).
    pub expires_at: String,
}

impl OpenReservation {
    fn new(one: &Reservation, budgets: &[QuotaBudget]) -> Self {
        let usage = one.reserved.usage;
        Self {
            id: one.id.clone(),
            key: one.own_key().map(str::to_owned),
            chain: one.chain.clone(),
            session: one.session.clone(),
            requests: one.reserved.requests,
            tokens: usage.input.saturating_add(usage.output),
            usd: Count::new(one.reserved.nano_usd, Unit::Usd),
            counts: budgets.is_empty() || budgets.iter().any(|budget| one.counts_in(&budget.state)),
            amount: one.reserved,
            at: one.at.to_rfc3339(),
            expires_at: one.expires.to_rfc3339(),
        }
    }
}
