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
            Ok(Self { kind, epoch: store.epoch()?, recovering: store.recovering(now)? })
        })
    }
}
