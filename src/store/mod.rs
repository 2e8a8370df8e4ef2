//! The store: messages, counters, alerts and operations.
//!
//! Its interface is four traits, by who needs them: [`Record`], [`Decide`], [`Query`], [`Recover`]; a [`Store`] is all of
//! them. A counter is a sum over messages, kept so that nobody has to add them up; where it is missing it is added up.
//! Everything that one hook records goes in with one [`Record::apply`], which happens whole or not at all.

mod agent_states;
mod batch;
mod batch_sequence;
pub mod cache_file;
pub mod counts;
mod decide;
mod error;
mod ledger;
pub mod offline_counts;
mod query;
mod record;
mod recover;
pub mod redis;
mod session;
pub mod session_cache;
mod settle;
pub mod shared_names;
pub mod sqlite;

pub use self::batch::{AgentObservation, Applied, Batch, BudgetKey, CircuitRow, SlotObservation};
pub use self::batch_sequence::BatchSequence;
pub use self::decide::Decide;
pub use self::error::{Result, StoreError};
pub use self::query::{Query, StoreKind};
pub use self::record::Record;
pub use self::recover::Recover;
pub use self::session::{ClientProcess, Session, SessionRow, SessionTotal};

/// How long a hook may take between claiming an alert or an event and having shown it. A hook that dies in between gives
/// it back by this; the hook's own deadline is shorter.
const CLAIM_MS: i64 = 5_000;

/// Where messages are recorded and budgets are counted: everything that a store can do.
pub trait Store: Record + Decide + Query + Recover {}

impl<T: Record + Decide + Query + Recover> Store for T {}
