//! Reservations: calls of a platform that are counted before they run, so that parallel callers never pass a limit.
//!
//! A reservation ends once: it is recorded (with what was really used), released, or it expires. Each counts in the
//! window in which it was made.

use serde::{Deserialize, Serialize};

use super::budget::{BudgetState, Mode, OnLimit};
use super::scope::Scope;
use super::time::Timestamp;
use super::usage::Amount;

/// What becomes of a reservation that nobody ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtExpiry {
    /// It is released: nothing was used.
    #[default]
    Release,
    /// It is charged, as an estimate: whether the call ran is not known, but it may have.
    Charge,
}

/// What happens if more was used than reserved, or without a reservation, and that passes a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExcess {
    /// It is charged, and alerts are raised: it has been used.
    #[default]
    Charge,
    /// It is refused, and the reservation stays.
    Refuse,
}

impl OnExcess {
    /// Every policy and its name in the configuration.
    pub const ALL: [(&'static str, Self); 2] = [("charge", Self::Charge), ("refuse", Self::Refuse)];
}

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReservationState {
    /// It holds its amount.
    Open,
    /// Its use was recorded.
    Used,
    /// It expired, and was charged as an estimate. What is recorded later replaces the estimate.
    Estimated,
    /// It was released: nothing was used.
    Released,
    /// It expired, and nothing was charged. What is recorded later is charged.
    Expired,
}

impl ReservationState {
    /// The name in output and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Estimated => "estimated",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// Whether it ended, and nothing was charged: the same key can be reserved again.
    pub fn is_unused(self) -> bool {
        matches!(self, Self::Released | Self::Expired)
    }
}

/// Calls of a platform that were reserved, used, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Identifies it.
    pub id: String,
    /// The caller's name for this request. The same key for the same platform is the same request.
    pub key: String,
    /// The platform.
    pub platform: String,
    /// The chain of tasks; empty if none.
    #[serde(default)]
    pub chain: String,
    /// The session that it belongs to; empty if a script made it.
    #[serde(default)]
    pub session: String,
    /// When it was made, by the clock of the store. Decides the window.
    pub at: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// What happens then.
    pub at_expiry: AtExpiry,
    /// What was reserved.
    pub reserved: Amount,
    /// What was used.
    #[serde(default)]
    pub used: Amount,
    /// Where it stands.
    pub state: ReservationState,
}

impl Reservation {
    /// What it counts for: nothing while it is open.
    pub fn charged(&self) -> Amount {
        match self.state {
            ReservationState::Used | ReservationState::Estimated => self.used,
            ReservationState::Open | ReservationState::Released | ReservationState::Expired => {
                Amount::default()
            }
        }
    }

    /// Whether it holds its amount at `now`. One that will be charged holds it until it is.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.state == ReservationState::Open && (now < self.expires || self.at_expiry == AtExpiry::Charge)
    }

    /// The value that it has in a scope. `None` if budgets of this scope do not count it.
    pub fn value(&self, scope: Scope) -> Option<&str> {
        match scope {
            Scope::Platform => Some(&self.platform),
            Scope::Chain if !self.chain.is_empty() => Some(&self.chain),
            _ => None,
        }
    }

    /// Whether a budget counts it, in its current window.
    pub fn counts_in(&self, state: &BudgetState) -> bool {
        let since = state.since.unwrap_or(state.window.start).max(state.window.start);
        self.value(state.budget.scope) == Some(state.value.as_str())
            && state.window.contains(self.at)
            && since <= self.at
    }

    /// The caller's own key; `None`: it named none.
    pub fn own_key(&self) -> Option<&str> {
        // A random key begins like the end of the id.
        let is_random = self.key.get(..8).is_some_and(|start| self.id.ends_with(start));
        Some(self.key.as_str()).filter(|_| !is_random)
    }

    /// Whether nobody has ended it.
    pub fn is_open(&self) -> bool {
        self.state == ReservationState::Open
    }

    /// What becomes of it at `now`, if it has expired.
    #[must_use]
    pub fn expired(mut self, now: Timestamp) -> Self {
        if self.state == ReservationState::Open && self.expires <= now {
            match self.at_expiry {
                AtExpiry::Release => self.state = ReservationState::Expired,
                AtExpiry::Charge => {
                    self.state = ReservationState::Estimated;
                    let Amount { nano_usd, .. } = self.reserved;
                    self.used = Amount { nano_usd_estimated: nano_usd, ..self.reserved };
                }
            }
        }
        self
    }
}

/// What open reservations hold of a budget, in its unit.
pub fn reserved_units<'r>(
    state: &BudgetState,
    open: impl IntoIterator<Item = &'r Reservation>,
    now: Timestamp,
) -> u64 {
    let held = open.into_iter().filter(|one| one.holds(now) && one.counts_in(state));
    held.fold(0, |sum, one| sum.saturating_add(state.budget.measure(&one.reserved)))
}

/// A budget that has no room.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The budget.
    pub state: BudgetState,
    /// What open reservations hold, in its unit.
    pub reserved: u64,
    /// What was asked for, in its unit.
    pub asked: u64,
}

/// The first budget without room for these new reservations: used + reserved + asked would pass its limit. Budgets that
/// only warn refuse nothing. `open`: the reservations that hold something already.
pub fn find_refusal(
    states: &[BudgetState],
    open: &[Reservation],
    new: &[&Reservation],
    now: Timestamp,
) -> Option<Refusal> {
    states.iter().filter(|state| refuses(state)).find_map(|state| {
        let counted = new.iter().filter(|one| one.counts_in(state));
        let asked = counted.fold(0_u64, |sum, one| sum.saturating_add(state.budget.measure(&one.reserved)));
        let reserved = reserved_units(state, open, now);
        let needed = state.used.saturating_add(reserved).saturating_add(asked);
        (asked > 0 && needed > state.limit()).then(|| Refusal { state: state.clone(), reserved, asked })
    })
}

/// Whether a budget refuses what does not fit, instead of only warning.
fn refuses(state: &BudgetState) -> bool {
    state.budget.mode == Mode::Enforce && state.budget.on_limit != OnLimit::Warn
}
