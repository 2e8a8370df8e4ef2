//! The ledger of all history: one SQLite file, `ledger.db`, with one record per message of a transcript and per
//! recorded call.
//!
//! [`import`] fills it from the transcripts and keeps what the client later deletes. It counts with the same rules as
//! the hooks' store, on rows in memory ([`rows`]) that are loaded from the file and saved to it in one step with the
//! positions in the transcripts: an import that is killed continues where the last step ended. Each record keeps the
//! rates that it was first charged with.

mod calls;
mod database;
mod entry;
pub mod import;
mod key_map;
mod load;
pub mod names;
mod purge;
mod quarter_hours;
mod query;
mod quote;
mod rate_table;
mod reading;
pub mod report;
mod reprice;
mod rows;
mod save;
mod schema;
mod sessions;
mod unpriced;

pub use self::calls::{Call, CallRefused};
pub use self::database::{FILE, LedgerDatabase, LedgerLock, OpenedLedger};
pub use self::purge::PurgeFilter;
pub use self::query::{CostTotals, PlatformTotals, TaskRecord};
pub use self::reprice::{RepriceFilter, RepricedModel};
pub use self::unpriced::{EstimatedModel, PriceCheck};

/// The platform of messages that Claude Code's transcripts contain.
pub const TRANSCRIPT_PLATFORM: &str = "claude-code";
