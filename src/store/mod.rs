//! The store: messages, counters, alerts and operations, behind one trait.
//!
//! A counter is a sum over messages, kept so that nobody has to add them up; where it is missing it is added up.
//! Everything that one hook records goes in with one [`Store::apply`], which happens whole or not at all.

pub mod counted;
mod error;
mod ledger;
mod own;
pub mod redis;
mod session;
pub mod session_cache;
mod settle;
pub mod sqlite;
mod standing;

use std::collections::HashMap;
use std::path::PathBuf;

pub use self::error::{Result, StoreError};
pub use self::own::Own;
pub use self::session::{ClientProcess, Session, SessionRow, SessionTotal};
use crate::domain::alert::{Acknowledgement, AlertRecord, BudgetAlert};
use crate::domain::breaker::circuit::{CircuitBreaker, Seen, Trip};
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::{Budget, BudgetState, Scope};
use crate::domain::event::{CircuitDecision, Event};
use crate::domain::operation::Operation;
use crate::domain::throttle::{Crowded, SlotEvent, Slots, Throttling};
use crate::domain::time::Timestamp;
use crate::transcript::Fact;

/// How long a hook may take between claiming an alert or an event and having shown it. A hook that dies in between gives
/// it back by this; the hook's own deadline is shorter.
const CLAIM_MS: i64 = 5_000;

/// A budget for one value of its scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// The budget.
    pub budget: Budget,
    /// The value.
    pub value: String,
}

/// What one hook records.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The session in whose files the facts stand.
    pub session: &'a Session,
    /// What was read.
    pub facts: &'a [Fact],
    /// The budgets to answer for.
    pub watches: &'a [Watch],
    /// Whether alerts may be raised (not for an import).
    pub alert: bool,
    /// Whether the caller can show alerts now: it gets those that nobody has shown, and must
    /// [`Store::confirm_shown`] them.
    pub claim: bool,
    /// When the session was seen: now, by its own hooks. Whoever reads on in somebody else's session says when that one
    /// was seen, and does not wake it.
    pub seen: Timestamp,
    /// What was seen of the agent that calls.
    pub observed: Option<Observed<'a>>,
    /// Now.
    pub now: Timestamp,
}

/// What a hook saw of an agent, besides its messages.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The subagent; empty: the main agent.
    pub agent: &'a str,
    /// For the breaker: its numbers, what was seen, and how often the agent's last text was said running.
    pub calls: Option<(&'a Policy, Seen<'a>, u32)>,
    /// A person sent a prompt, which asks for so many repetitions: every breaker of the session begins anew.
    pub prompt: Option<u32>,
    /// For throttling.
    pub throttle: Option<Throttled<'a>>,
}

/// What a hook saw of subagents.
#[derive(Clone, Debug)]
pub struct Throttled<'a> {
    /// What is allowed.
    pub policy: Throttling,
    /// What was seen.
    pub events: &'a [SlotEvent],
    /// When the session's client started: slots of one before it are free. `None`: not known.
    pub client_since: Option<Timestamp>,
    /// The tokens that count.
    pub meter: Watch,
}

/// The breaker of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitRow {
    /// The session.
    pub session: String,
    /// The subagent; empty: the main agent.
    pub agent: String,
    /// Where it stands.
    pub breaker: CircuitBreaker,
}

/// What the store answers to a [`Batch`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The watched budgets after the batch; deleted ones are left out.
    pub states: Vec<BudgetState>,
    /// Alerts to show, oldest first.
    pub alerts: Vec<BudgetAlert>,
    /// Events of the agent to tell, oldest first.
    pub events: Vec<Event>,
    /// The agent's breaker, where it was observed.
    pub circuit: Option<CircuitBreaker>,
    /// Why the subagent that was asked for may not start.
    pub crowded: Option<Crowded>,
    /// Which store this is: one that lost everything is another one.
    pub epoch: String,
    /// How many batches of this session the store recorded, this one included: orders what parallel hooks were told.
    pub sequence: u64,
    /// How many of them this machine recorded.
    pub own: Own,
}

/// Where messages are recorded and budgets are counted.
pub trait Store {
    /// Records a batch, in one atomic step, and answers for the watched budgets.
    ///
    /// # Errors
    /// Nothing was recorded.
    fn apply(&mut self, batch: &Batch) -> Result<Applied>;

    /// Begins to connect, where that takes time: the server gets ready while files are read.
    ///
    /// # Errors
    /// The store is out of reach; it would not answer either.
    fn reach(&mut self) -> Result<()> {
        Ok(())
    }

    /// Notes that these alerts reached a person, and that these events were told; the rest of the claim is given back after
    /// its time.
    ///
    /// # Errors
    /// They may be shown once more.
    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()>;

    /// Notes an event of its session.
    ///
    /// # Errors
    /// It was not noted.
    fn note(&mut self, event: &Event) -> Result<()>;

    /// Events, oldest first: of a session, about the call with this hash, or all.
    ///
    /// # Errors
    /// The store cannot be read.
    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>>;

    /// Breakers, of the session seen last first: of one session, or all.
    ///
    /// # Errors
    /// The store cannot be read.
    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>>;

    /// A person (`by`, with a reason) decides about the breakers of a session: of one agent, or of all. Answers those that it
    /// changed, with why they had tripped, if they had.
    ///
    /// # Errors
    /// Nothing was changed.
    fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>>;

    /// The subagents of a session that hold slots.
    ///
    /// # Errors
    /// The store cannot be read.
    fn slots(&mut self, session: &str) -> Result<Slots>;

    /// Records an operation; one with a known id changes nothing. Answers where its budget, which stood at `state`, stands
    /// then; `None` when it is deleted.
    ///
    /// # Errors
    /// It was not recorded.
    fn operate(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>>;

    /// Where budgets stand, without recording anything; deleted ones are left out.
    ///
    /// # Errors
    /// The store cannot be read.
    fn states(&mut self, watches: &[Watch], now: Timestamp) -> Result<Vec<BudgetState>>;

    /// Where budgets stood just before a moment, by the messages that are known now; deleted ones are left out.
    ///
    /// # Errors
    /// The store cannot be read.
    fn states_before(&mut self, watches: &[Watch], moment: Timestamp) -> Result<Vec<BudgetState>>;

    /// Adds up anew, from the messages, what these budgets count. (What a store keeps by itself cannot differ from that; a
    /// shared one can be written by others.)
    ///
    /// # Errors
    /// Some of them count what they did.
    fn count_anew(&mut self, _watches: &[Watch], _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// All alerts, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn alerts(&mut self) -> Result<Vec<AlertRecord>>;

    /// Notes that a person has taken notice of these alerts; those that were acknowledged already, or are not there, stay
    /// as they are. Answers which were acknowledged now.
    ///
    /// # Errors
    /// None was acknowledged.
    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>>;

    /// Which store this is (see [`Applied::epoch`]).
    ///
    /// # Errors
    /// The store cannot be read.
    fn epoch(&mut self) -> Result<String>;

    /// Whether the store lost what it knew, and is still to be filled from the transcripts of this machine.
    ///
    /// # Errors
    /// The store cannot be read.
    fn is_rebuilding(&mut self) -> Result<bool>;

    /// Notes that the store is to be filled from the transcripts (a shared one: by every machine), or that this machine
    /// has done so.
    ///
    /// # Errors
    /// It was not noted.
    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()>;

    /// The machines that were seen lately, and have not filled the store yet (see [`Store::is_rebuilding`]).
    ///
    /// # Errors
    /// The store cannot be read.
    fn recovering(&mut self, now: Timestamp) -> Result<Vec<String>>;

    /// Makes another store of one that went back in time (a restored copy, a log that lost its end): with another epoch,
    /// to be filled from the transcripts. One that is not called `epoch` any more is left as it is. Answers what it is
    /// called then.
    ///
    /// # Errors
    /// It was not done.
    fn renew(&mut self, epoch: &str) -> Result<String>;

    /// How many batches of each session the store recorded (see [`Applied::sequence`]).
    ///
    /// # Errors
    /// The store cannot be read.
    fn sequences(&mut self) -> Result<HashMap<String, u64>>;

    /// How many batches of each session this machine recorded, where there are others (see [`Applied::own`]).
    ///
    /// # Errors
    /// The store cannot be read.
    fn own_batches(&mut self) -> Result<HashMap<String, Own>> {
        Ok(HashMap::new())
    }

    /// Operations on a budget, oldest first; all of them without a name.
    ///
    /// # Errors
    /// The store cannot be read.
    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>>;

    /// What a session used in all; `None` when the store does not know it.
    ///
    /// # Errors
    /// The store cannot be read.
    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>>;

    /// The sessions, last seen first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn sessions(&mut self) -> Result<Vec<SessionRow>>;

    /// One session.
    ///
    /// # Errors
    /// The store cannot be read.
    fn session(&mut self, id: &str) -> Result<Option<SessionRow>>;

    /// The session whose client is this process.
    ///
    /// # Errors
    /// The store cannot be read.
    fn session_of_client(&mut self, client: ClientProcess) -> Result<Option<String>>;

    /// Notes that a session was seen (`ended`: that it ended then).
    ///
    /// # Errors
    /// It was not noted.
    fn see(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()>;

    /// Notes that all of a session was read, and that nothing more can come, unless it was seen after `seen`.
    ///
    /// # Errors
    /// It was not noted.
    fn complete(&mut self, session: &str, seen: Timestamp) -> Result<()>;

    /// The values that budgets of this scope were counted for since a moment, to the minute at least: windows begin with
    /// whole ones.
    ///
    /// # Errors
    /// The store cannot be read.
    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>>;

    /// Does upkeep that can wait until the answer is out. `idle`: the agent is not at work, so more of it.
    ///
    /// # Errors
    /// It was not done, and is left to the next one.
    fn tidy(&mut self, idle: bool) -> Result<()>;

    /// Gives up a store that turned out to be damaged: keeps it under another name, and answers where. The next opening
    /// begins a new one. `None`: there was nothing to give up.
    ///
    /// # Errors
    /// It could not be renamed.
    fn set_aside(self: Box<Self>, now: Timestamp) -> std::io::Result<Option<PathBuf>>;

    /// When Fusebox was installed: what a session held before counts as its history.
    ///
    /// # Errors
    /// The store cannot be read.
    fn installed(&mut self) -> Result<Option<Timestamp>>;

    /// Notes the installation; a later one changes nothing.
    ///
    /// # Errors
    /// It was not noted.
    fn install(&mut self, now: Timestamp) -> Result<()>;
}
