//! Reservations of calls: what a store does for them in one atomic step.
//!
//! Shared by all stores, which only implement [`QuotaRows`]. The rules are in [`crate::domain::reservation`].

use super::batch::BudgetKey;
use super::counts::CounterDelta;
use super::error::Result;
use crate::domain::budget::BudgetState;
use crate::domain::message::MessageKey;
use crate::domain::reservation::{AtExpiry, OnExcess, Refusal, Reservation, ReservationState, find_refusal};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;

/// Reserves calls, and settles reservations.
pub trait Quota {
    /// The time by the clock of the store, which all machines that share it agree on. `local`: by this machine's clock.
    ///
    /// # Errors
    /// The store cannot be read.
    fn store_time(&mut self, local: Timestamp) -> Result<Timestamp>;

    /// Runs an action in one atomic step, after settling the reservations that have expired. `now`: by the clock of the
    /// store.
    ///
    /// # Errors
    /// Nothing was changed.
    fn quota(&mut self, request: &QuotaRequest, now: Timestamp) -> Result<QuotaResult>;

    /// The reservations that have not ended, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn open_reservations(&mut self) -> Result<Vec<Reservation>>;

    /// A reservation, ended or not.
    ///
    /// # Errors
    /// The store cannot be read.
    fn reservation(&mut self, name: &ReservationName) -> Result<Option<Reservation>>;
}

/// How a reservation is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReservationName {
    /// By its id.
    Id(String),
    /// By the caller's key.
    Key {
        /// The platform.
        platform: String,
        /// The key.
        key: String,
    },
}

/// A reservation to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReservation {
    /// New and random: its first characters, in the id, tell this attempt from others with the same key.
    pub nonce: String,
    /// The caller's key; a random one if it has none.
    pub key: String,
    /// The platform.
    pub platform: String,
    /// The chain of tasks; empty if none.
    pub chain: String,
    /// The session that it belongs to; empty if none.
    pub session: String,
    /// How much.
    pub amount: Amount,
    /// For how long, in milliseconds.
    pub ttl_ms: i64,
    /// What happens if nobody ends it.
    pub at_expiry: AtExpiry,
}

impl NewReservation {
    /// The id that it gets, if it is made.
    pub fn id(&self) -> String {
        format!("{}{:.8}", self.name().slot(), self.nonce)
    }

    fn made(&self, now: Timestamp) -> Reservation {
        Reservation {
            id: self.id(),
            key: self.key.clone(),
            platform: self.platform.clone(),
            chain: self.chain.clone(),
            session: self.session.clone(),
            at: now,
            expires: now.plus_millis(self.ttl_ms),
            at_expiry: self.at_expiry,
            reserved: self.amount,
            used: Amount::default(),
            state: ReservationState::Open,
        }
    }

    fn name(&self) -> ReservationName {
        ReservationName::Key { platform: self.platform.clone(), key: self.key.clone() }
    }
}

impl ReservationName {
    /// What a store finds the reservation by: a hash of platform and key, with which ids begin.
    pub fn slot(&self) -> String {
        match self {
            Self::Id(id) => id.chars().take(16).collect(),
            Self::Key { platform, key } => {
                format!("{:016x}", MessageKey::from_parts(&["reservation", platform, key]).short())
            }
        }
    }
}

/// A new random text, for a nonce, or the key of a caller without one.
pub fn random_text() -> String {
    use std::hash::{BuildHasher, Hasher};
    format!("{:016x}", std::collections::hash_map::RandomState::new().build_hasher().finish())
}

/// What to do.
#[derive(Clone, Debug)]
pub enum QuotaAction {
    /// Makes reservations: all, or none.
    Reserve(Vec<NewReservation>),
    /// Records what was used, and ends the reservation.
    Record {
        /// The reservation.
        name: ReservationName,
        /// What was used; `None`: what was reserved.
        used: Option<Amount>,
        /// Without a reservation of this name, this one is made and recorded at once.
        or_new: Option<Box<NewReservation>>,
    },
    /// Releases a reservation: nothing was used.
    Release(ReservationName),
    /// Only settles what has expired.
    Sweep,
}

/// An action, and the budgets that it may touch.
#[derive(Clone, Debug)]
pub struct QuotaRequest<'a> {
    /// The budgets of these platforms and chains.
    pub budgets: &'a [BudgetKey],
    /// The action.
    pub action: &'a QuotaAction,
    /// What happens if more was used than reserved, and that passes a limit.
    pub on_excess: OnExcess,
}

/// The reservations after an action, or why it was not done.
pub type QuotaResult = std::result::Result<Vec<Reservation>, NotDone>;

/// Why an action was not done.
#[derive(Clone, Debug, PartialEq)]
pub enum NotDone {
    /// A budget has no room.
    Refused(Box<Refusal>),
    /// There is no such reservation.
    NotFound,
    /// The reservation has ended otherwise, or its key was used for another amount.
    Conflict(Box<Reservation>),
}

/// What a store reads and writes for reservations, in one atomic step.
pub(super) trait QuotaRows {
    /// The reservations that have not ended.
    fn open(&mut self) -> Result<Vec<Reservation>>;

    /// A reservation, ended or not.
    fn find(&mut self, name: &ReservationName) -> Result<Option<Reservation>> {
        let found = self.at(&name.slot())?;
        Ok(found.filter(|found| !matches!(name, ReservationName::Id(id) if *id != found.id)))
    }

    /// The reservation in a [slot](ReservationName::slot).
    fn at(&mut self, slot: &str) -> Result<Option<Reservation>>;

    /// Adds or replaces a reservation.
    fn put(&mut self, reservation: &Reservation) -> Result<()>;
}

/// What a step did.
#[derive(Debug)]
pub(super) struct QuotaOutcome {
    /// The answer.
    pub result: QuotaResult,
    /// The reservations whose charge changed, and by how much.
    pub charges: Vec<(Reservation, CounterDelta)>,
}

/// Runs an action. `states`: the budgets of the request before it.
pub(super) fn run(
    rows: &mut impl QuotaRows,
    request: &QuotaRequest,
    states: &[BudgetState],
    now: Timestamp,
) -> Result<QuotaOutcome> {
    // Those that expired by now hold their amounts until the end of this step, so `states` need not count them yet.
    let open = rows.open()?;
    let mut step = QuotaStep { rows, request, states, open: &open, now, charges: Vec::new() };
    let result = match request.action {
        QuotaAction::Reserve(new) => step.reserve(new)?,
        QuotaAction::Record { name, used, or_new } => step.record(name, *used, or_new.as_deref())?,
        QuotaAction::Release(name) => step.release(name)?,
        QuotaAction::Sweep => Ok(Vec::new()),
    };
    step.sweep()?;
    Ok(QuotaOutcome { result, charges: step.charges })
}

struct QuotaStep<'a, R: QuotaRows> {
    rows: &'a mut R,
    request: &'a QuotaRequest<'a>,
    states: &'a [BudgetState],
    open: &'a [Reservation],
    now: Timestamp,
    charges: Vec<(Reservation, CounterDelta)>,
}

impl<R: QuotaRows> QuotaStep<'_, R> {
    /// A key names one request: the same key gets the same reservation, unless that one ended without a use.
    fn reserve(&mut self, new: &[NewReservation]) -> Result<QuotaResult> {
        let mut all = Vec::new();
        for one in new {
            let known = self.find(&one.name())?.filter(|known| !known.state.is_unused());
            if let Some(known) = known.as_ref().filter(|known| known.reserved != one.amount) {
                return Ok(Err(NotDone::Conflict(Box::new(known.clone()))));
            }
            let is_new = known.is_none();
            let known: Reservation = known.unwrap_or_else(|| one.made(self.now));
            let slot = one.name().slot();
            if all.iter().any(|(other, _): &(Reservation, bool)| other.id.starts_with(&slot)) {
                return Ok(Err(NotDone::Conflict(Box::new(known))));
            }
            all.push((known, is_new));
        }
        let added: Vec<&Reservation> =
            all.iter().filter(|(_, is_new)| *is_new).map(|(reservation, _)| reservation).collect();
        if let Some(refusal) = find_refusal(self.states, self.open, &added, self.now) {
            return Ok(Err(NotDone::Refused(Box::new(refusal))));
        }
        for reservation in added {
            let name = ReservationName::Id(reservation.id.clone());
            if let Some(before) = self.rows.at(&name.slot())?.filter(Reservation::is_open) {
                // It has expired, and nobody has noticed.
                self.rows.put(&before.expired(self.now))?;
            }
            self.rows.put(reservation)?;
        }
        Ok(Ok(all.into_iter().map(|(reservation, _)| reservation).collect()))
    }

    fn record(
        &mut self,
        name: &ReservationName,
        used: Option<Amount>,
        or_new: Option<&NewReservation>,
    ) -> Result<QuotaResult> {
        let known = self.find(name)?.filter(|known| or_new.is_none() || !known.state.is_unused());
        let known = match (known, or_new) {
            (Some(known), _) => known,
            (None, Some(new)) => new.made(self.now),
            (None, None) => return Ok(Err(NotDone::NotFound)),
        };
        let used = used.unwrap_or(known.reserved);
        match known.state {
            ReservationState::Used if known.used == used => return Ok(Ok(vec![known])),
            ReservationState::Used | ReservationState::Released => {
                return Ok(Err(NotDone::Conflict(Box::new(known))));
            }
            ReservationState::Open | ReservationState::Estimated | ReservationState::Expired => {}
        }
        let after = Reservation { used, state: ReservationState::Used, ..known };
        if self.request.on_excess == OnExcess::Refuse && !covers(self.open, &after) {
            let others: Vec<Reservation> =
                self.open.iter().filter(|one| one.id != after.id).cloned().collect();
            let whole = Reservation { reserved: used, ..after.clone() };
            if let Some(refusal) = find_refusal(self.states, &others, &[&whole], self.now) {
                return Ok(Err(NotDone::Refused(Box::new(refusal))));
            }
        }
        self.end(&after)?;
        Ok(Ok(vec![after]))
    }

    fn release(&mut self, name: &ReservationName) -> Result<QuotaResult> {
        let Some(known) = self.rows.find(name)? else { return Ok(Err(NotDone::NotFound)) };
        match known.state {
            ReservationState::Used => return Ok(Err(NotDone::Conflict(Box::new(known)))),
            ReservationState::Released | ReservationState::Expired => return Ok(Ok(vec![known])),
            ReservationState::Open | ReservationState::Estimated => {}
        }
        let after = Reservation { used: Amount::default(), state: ReservationState::Released, ..known };
        self.end(&after)?;
        Ok(Ok(vec![after]))
    }

    /// A reservation as it stands now, although its expiry may not have been stored yet.
    fn find(&mut self, name: &ReservationName) -> Result<Option<Reservation>> {
        Ok(self.rows.find(name)?.map(|known| known.expired(self.now)))
    }

    /// Settles what has expired, except what the action has just ended or replaced.
    fn sweep(&mut self) -> Result<()> {
        for one in self.open {
            let after = one.clone().expired(self.now);
            if after == *one {
                continue;
            }
            let slot = ReservationName::Id(one.id.clone()).slot();
            let stored = self.rows.at(&slot)?;
            if stored.is_none_or(|stored| stored.id == one.id && stored.is_open()) {
                self.end(&after)?;
            }
        }
        Ok(())
    }

    /// Stores a reservation that has ended, with what it changes.
    fn end(&mut self, after: &Reservation) -> Result<()> {
        let before = self.rows.find(&ReservationName::Id(after.id.clone()))?;
        let charged = |one: &Reservation| CounterDelta::from_amount(&one.charged());
        let before = before.as_ref().map(charged).unwrap_or_default();
        let change = charged(after).plus(&before.negated());
        self.rows.put(after)?;
        if !change.is_zero() {
            self.charges.push((after.clone(), change));
        }
        Ok(())
    }
}

/// Whether what was used is within what an open reservation holds.
fn covers(open: &[Reservation], after: &Reservation) -> bool {
    let is_held = open.iter().any(|one| one.id == after.id);
    is_held && after.used.saturating_minus(after.reserved) == Amount::default()
}
