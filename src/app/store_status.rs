//! Where everything is kept, and whether all of it is there.

use serde::Serialize;

use super::store_access::{self, StoreAccess};
use crate::domain::time::Timestamp;
use crate::store::StoreKind;

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// `embedded` or `redis`.
    pub kind: &'static str,
    /// Its name: one that lost everything has another one.
    pub epoch: String,
    /// The machines that have not read their transcripts again since it lost something. As long as there are any, budgets
    /// over several sessions may count too little.
    pub recovering: Vec<String>,
    /// Whether it answered. Where it did not, this is what the session caches of this machine know.
    pub reachable: bool,
    /// Why it did not answer.
    pub error: Option<String>,
    /// When it last answered (RFC 3339, UTC), where it does not now; `null`: now, or that is not known.
    pub as_of: Option<String>,
}

impl StoreStatus {
    /// The store, and who has still to fill it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(store: &mut StoreAccess, now: Timestamp) -> store_access::Result<Self> {
        store.call(|store| {
            let kind = match store.kind() {
                StoreKind::Embedded => "embedded",
                StoreKind::Shared => "redis",
            };
            let (epoch, recovering) = (store.store_id()?, store.rebuilding_machines(now)?);
            Ok(Self { kind, epoch, recovering, reachable: true, error: None, as_of: None })
        })
    }

    /// A shared store that does not answer now. `epoch`: which it was when it last did, at `as_of`.
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
