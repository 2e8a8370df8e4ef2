//! Imports this user's history into the ledger.

use std::path::{Path, PathBuf};

use super::project::project_root;
use crate::agents;
use crate::ledger::import::{Import, Imported};
use crate::ledger::{FILE, LedgerDatabase, LedgerLock, OpenedLedger};
use crate::platform::Env;
use crate::prices::Prices;
use crate::store::{Result, StoreError};

/// The folder of the ledger.
///
/// # Errors
/// The user has no home folder, and no variable names another one.
pub fn ledger_dir(env: &Env) -> Result<PathBuf> {
    env.state_dir().ok_or_else(|| StoreError::Unusable {
        path: FILE.into(),
        problem: "there is no home folder to keep it in".into(),
        remedy: "Set FUSEBOX_STATE_DIR to a folder of yours".into(),
    })
}

/// Imports what is new in `folders`, or without any in the client's folders, at these prices. `counts_records`: whether
/// to count all records afterwards. `waiting` is called if another process imports; `progress` receives the bytes read and those to read.
///
/// # Errors
/// The ledger cannot be written.
pub fn import(
    env: &Env,
    prices: &Prices,
    folders: &[PathBuf],
    counts_records: bool,
    waiting: impl FnOnce(),
    progress: impl FnMut(u64, u64),
) -> Result<Imported> {
    let dir = ledger_dir(env)?;
    let _lock = LedgerLock::wait(&dir, waiting)?;
    let all = if folders.is_empty() { agents::history_folders(env) } else { folders.to_vec() };
    let project_of: &dyn Fn(&Path) -> PathBuf = &project_root;
    Import { dir: &dir, folders: &all, prices, project_of, counts_records, now: env.now }.run(progress)
}

/// Opens this machine's ledger to write.
///
/// # Errors
/// It cannot be used.
pub fn open_ledger(env: &Env) -> Result<OpenedLedger> {
    LedgerDatabase::open(&ledger_dir(env)?, env.now)
}

/// Opens this machine's ledger to read.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn read_ledger(env: &Env) -> Result<LedgerDatabase> {
    LedgerDatabase::open_existing(&ledger_dir(env)?.join(FILE))
}

/// Opens this machine's ledger to read, if there is one.
///
/// # Errors
/// It cannot be used.
pub fn known_ledger(env: &Env) -> Result<Option<LedgerDatabase>> {
    let file = env.state_dir().map(|dir| dir.join(FILE)).filter(|file| file.exists());
    file.map(|file| LedgerDatabase::open_existing(&file)).transpose()
}
