//! This machine's ledger of budget operations, from which a store that lost them is refilled.
//!
//! One line of JSON per operation, in the state folder. It only grows, because operations are few. For a shared store,
//! it contains the operations made on this machine; other machines have their own ledgers.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::open_store::StoreLocation;
use crate::config::Config;
use crate::domain::budget::{Budget, BudgetState};
use crate::domain::operation::Operation;
use crate::platform::{Stopwatch, files};
use crate::store::{self, Store};

/// Name of the file in the state folder.
pub const FILE: &str = "operations.jsonl";

/// An operation, and what is needed to record it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The tenant of the shared store that it was recorded in; `None` for the embedded one.
    pub tenant: Option<String>,
    /// The budget as configured at that time.
    pub budget: Budget,
    /// The decision.
    pub operation: Operation,
}

/// The result of replaying the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayOutcome {
    /// Operations in the ledger that belong to this store.
    pub known: usize,
    /// Those that the store did not know.
    pub added: usize,
    /// Those that this user may not record, but an operator may.
    pub denied: usize,
    /// Whether everything that can be done on this machine is done.
    pub complete: bool,
}

/// The ledger in a state folder.
#[derive(Clone, Debug)]
pub struct OperationLedger {
    path: PathBuf,
    tenant: Option<String>,
}

impl OperationLedger {
    /// The ledger in `state_dir`, limited to the store of this configuration.
    pub fn new(state_dir: &Path, config: &Config) -> Self {
        let tenant = StoreLocation::new(config).tenant().map(str::to_owned);
        Self { path: state_dir.join(FILE), tenant }
    }

    /// The store's operations, oldest first, each once. Unreadable lines are skipped: the last one may be torn.
    ///
    /// # Errors
    /// The file exists, but cannot be read.
    pub fn read(&self) -> io::Result<Vec<LedgerEntry>> {
        Ok(self.read_all()?.0)
    }

    /// Like [`Self::read`]; also returns whether all whole lines were understood. This machine may lack a budget's time
    /// zone file.
    fn read_all(&self) -> io::Result<(Vec<LedgerEntry>, bool)> {
        let bytes = match std::fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), true)),
            read => read?,
        };
        let (mut entries, mut understood, mut seen) = (Vec::new(), true, HashSet::new());
        for line in bytes.split(|byte| *byte == b'\n') {
            match serde_json::from_slice::<LedgerEntry>(line) {
                Ok(entry) => entries.push(entry),
                Err(_) => understood &= serde_json::from_slice::<IgnoredAny>(line).is_err(),
            }
        }
        entries.retain(|entry| entry.tenant == self.tenant && seen.insert(entry.operation.id.clone()));
        entries.sort_by_key(|entry| entry.operation.at);
        Ok((entries, understood))
    }

    /// Appends an operation, and returns once it is on disk. Does nothing if it is already there.
    ///
    /// # Errors
    /// It may not be there.
    pub fn append(&self, budget: &Budget, operation: &Operation) -> io::Result<()> {
        if self.read()?.iter().any(|entry| entry.operation.id == operation.id) {
            return Ok(());
        }
        let (budget, operation) = (budget.clone(), operation.clone());
        let entry = LedgerEntry { tenant: self.tenant.clone(), budget, operation };
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        store::sqlite::make_private_dir(dir).map_err(io::Error::other)?;
        let mut file = files::private().create(true).read(true).append(true).open(&self.path)?;
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        // A torn line, from a killed writer, must not swallow this one.
        if is_torn(&mut file)? {
            line.insert(0, b'\n');
        }
        // One write, so that lines of several writers do not mix.
        file.write_all(&line)?;
        file.sync_all()?;
        std::fs::File::open(dir)?.sync_all()
    }

    /// Records the operations that the store lacks. Starts nothing new after `for_ms` milliseconds.
    ///
    /// # Errors
    /// The ledger cannot be read, or the store cannot be written.
    pub fn replay(&self, store: &mut dyn Store, for_ms: Option<i64>) -> store::Result<ReplayOutcome> {
        let (entries, complete) = self.read_all().map_err(|error| store::StoreError::Unusable {
            path: self.path.clone(),
            problem: error.to_string(),
            remedy: "Make it readable for your user: it records the decisions about budgets".into(),
        })?;
        let mut replayed = ReplayOutcome { known: entries.len(), added: 0, denied: 0, complete };
        if entries.is_empty() {
            return Ok(replayed);
        }
        let started = Stopwatch::start();
        let there: HashSet<String> = store.operations(None)?.into_iter().map(|known| known.id).collect();
        let missing: Vec<&LedgerEntry> =
            entries.iter().filter(|e| !there.contains(&e.operation.id)).collect();
        for LedgerEntry { budget, operation, .. } in &missing {
            if for_ms.is_some_and(|ms| started.ms() > ms) {
                replayed.complete = false;
                break;
            }
            let window = budget.window_at(operation.at);
            match store.add_operation(operation, &BudgetState::new(budget, &operation.value, window)) {
                Err(error) if error.is_denied() => {
                    replayed.denied = missing.len() - replayed.added;
                    break;
                }
                told => told?,
            };
            replayed.added += 1;
        }
        Ok(replayed)
    }
}

/// Whether the last line is incomplete.
fn is_torn(file: &mut std::fs::File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
