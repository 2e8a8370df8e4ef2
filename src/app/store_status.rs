//! Where everything is kept, and whether all of it is there.

use serde::Serialize;

use super::guard::Guard;
use super::operate::Refusal;

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
    /// The store of a guard, and who has still to fill it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(guard: &mut Guard) -> Result<Self, Refusal> {
        let kind = if guard.config.redis.is_some() { "redis" } else { "embedded" };
        let (now, noted) = (guard.env.now, guard.notes.len());
        let found = guard.with_store(|store| Ok((store.epoch()?, store.recovering(now)?)));
        let (epoch, recovering) = found.ok_or_else(|| Refusal::Store(guard.notes[noted..].join("; ")))?;
        Ok(Self { kind, epoch, recovering })
    }
}
