//! The status of the store, and whether its data is complete.

use serde::Serialize;

use super::store_access::{self, StoreAccess};
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreKind};

/// The status of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// `embedded` or `redis`.
    pub kind: &'static str,
    /// The store's id. A store that lost everything gets a new one.
    pub epoch: String,
    /// The machines that have not read their transcripts again since the store lost data. Until then, budgets over
    /// several sessions may be too low.
    pub recovering: Vec<String>,
    /// Whether it answered. If not, the data comes from this machine's session caches.
    pub reachable: bool,
    /// Why it did not answer.
    pub error: Option<String>,
    /// When it last answered (RFC 3339, UTC), if it does not now; `null`: now, or unknown.
    pub as_of: Option<String>,
}

impl StoreStatus {
    /// The status of the store, with the machines that still have to refill it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(store: &mut StoreAccess, now: Timestamp) -> store_access::Result<Self> {
        store.call(|store| Self::of_store(store, now))
    }

    /// The same of an open store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of_store(store: &mut dyn Store, now: Timestamp) -> crate::store::Result<Self> {
        let kind = match store.kind() {
            StoreKind::Embedded => "embedded",
            StoreKind::Shared => "redis",
        };
        let (epoch, recovering) = (store.store_id()?, store.rebuilding_machines(now)?);
        Ok(Self { kind, epoch, recovering, reachable: true, error: None, as_of: None })
    }

    /// A shared store that does not answer. `epoch`: its id at its last answer, at `as_of`.
    pub fn out_of_reach(error: &str, epoch: &str, as_of: Option<Timestamp>) -> Self {
        Self {
            kind: "redis",
            epoch: epoch.to_owned(),
            recovering: Vec::new(),
            reachable: false,
            error: Some(error.to_owned()),
            as_of: as_of.map(Timestamp::to_rfc3339),
        }
    }
}
