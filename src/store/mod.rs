//! The store: messages, counters, alerts and operations.
//!
//! Its interface is five traits: [`Record`], [`Decide`], [`Quota`], [`Query`], [`Recover`]; a [`Store`] has all of them. A counter
//! is a cached sum over messages, and is computed if missing. Everything that one hook records goes into one
//! [`Record::apply`], which is atomic.

mod agent_states;
mod batch;
mod batch_sequence;
pub mod cache_file;
pub mod counts;
mod decide;
mod error;
pub mod ledger;
pub mod metrics;
pub mod offline_counts;
pub mod plan_file;
mod query;
pub mod quota;
mod record;
mod recover;
pub mod redis;
pub mod repeated_ids;
mod session;
pub mod session_cache;
mod settle;
pub mod shared_names;
pub mod sqlite;
pub mod unseen;

pub use self::batch::{AgentObservation, Applied, Batch, BudgetKey, CircuitRow, SlotObservation};
pub use self::batch_sequence::BatchSequence;
pub use self::decide::Decide;
pub use self::error::{BackendErrorKind, Result, StoreError};
pub use self::query::{Query, StoreKind};
pub use self::quota::Quota;
pub use self::record::Record;
pub use self::recover::Recover;
pub use self::session::{ClientProcess, Session, SessionRow, SessionTotal};

/// How long a hook may take from claiming an alert or event to showing it, in milliseconds. If the hook dies, the claim
/// expires. The hook's own deadline is shorter.
const CLAIM_MS: i64 = 5_000;

/// A complete store.
pub trait Store: Record + Decide + Quota + Query + Recover + Send {}

impl<T: Record + Decide + Quota + Query + Recover + Send> Store for T {}
