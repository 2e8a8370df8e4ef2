//! The session cache: one small file per session, `guardrails-<session>.json`, shared by its hooks.
//!
//! It can be deleted at any time: everything in it can be read again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::session_cache::{SessionCache, VERSION};
use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::platform::files;
use crate::transcript::is_plain_id;

/// The extensions of one cache's files: the cache, its spare file, the lock, the read cache of a shared store, the
/// [client's cost](ClientCost), and the mark of [unreported data](SessionCache::has_unreported_data).
const EXTENSIONS: [&str; 6] = ["json", "new", "lock", "redis", COST, UNREPORTED];

/// The extension of the file with the client's cost. The status line writes it, without waiting for hooks.
const COST: &str = "cost";

/// The extension of the mark. It is a separate file, so that such caches are found without reading all of them.
const UNREPORTED: &str = "owes";

/// How long an unmodified cache is kept, in milliseconds (30 days).
const RETENTION_MS: i64 = 30 * 24 * 3600 * 1000;

/// The expected size of a cache; the buffer grows for larger ones.
const EXPECTED_BYTES: u64 = 64 * 1024;

/// How many caches are deleted per sweep.
const MAX_SWEPT: usize = 100;

/// What the client reckons that a session cost, as it tells only its status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCost {
    /// In nano-dollars.
    pub nano_usd: u64,
    /// When it first said so.
    pub at: Timestamp,
}

/// The file of one session's cache.
#[derive(Clone, Debug)]
pub struct CacheFile {
    path: PathBuf,
    /// The last content read and its value: an unchanged file is not parsed again.
    last_read: RefCell<Option<(Vec<u8>, Box<SessionCache>)>>,
}

impl CacheFile {
    /// The cache of `session` in `dir`. The id comes from outside, so it is hashed unless it is a plain name.
    pub fn for_session(dir: &Path, session: &str) -> Self {
        let name = match is_plain_id(session) {
            true => session.to_owned(),
            false => format!("{:016x}", MessageKey::from_parts(&["session", session]).short()),
        };
        Self::at(dir.join(format!("guardrails-{name}.json")))
    }

    fn at(path: PathBuf) -> Self {
        Self { path, last_read: RefCell::new(None) }
    }

    /// All caches in `dir`.
    pub fn all(dir: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
        let is_cache = |path: &PathBuf| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.starts_with("guardrails-") && name.ends_with(".json")
        };
        entries.filter(is_cache).map(Self::at).collect()
    }

    /// The caches in `dir` with [unreported data](SessionCache::has_unreported_data).
    pub fn with_unreported_data(dir: &Path) -> Vec<Box<SessionCache>> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
        let marked = entries.filter(|path| path.extension().is_some_and(|e| e == UNREPORTED));
        let of = |mark: PathBuf| Self::at(mark.with_extension("json")).read();
        marked.filter_map(of).filter(|cache| cache.has_unreported_data()).collect()
    }

    /// Deletes caches not modified for `RETENTION_MS`, a limited number per call. They can be read again.
    pub fn sweep(dir: &Path, now: Timestamp) {
        if check_private(dir).is_err() {
            return;
        }
        let mut written: BTreeMap<PathBuf, i64> = BTreeMap::new();
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let of_ours = entry.file_name().to_string_lossy().starts_with("guardrails-")
                && path.extension().is_some_and(|e| EXTENSIONS.iter().any(|part| e == *part));
            if let Some(meta) = entry.metadata().ok().filter(|_| of_ours) {
                let at = written.entry(path.with_extension("json")).or_insert(i64::MIN);
                *at = (*at).max(meta.mtime().saturating_mul(1000));
            }
        }
        let old = written.into_iter().filter(|(_, at)| now.millis_since(Timestamp(*at)) > RETENTION_MS);
        for (path, _) in old.take(MAX_SWEPT) {
            let lock = File::open(path.with_extension("lock"));
            // A locked cache is about to be written.
            if lock.is_ok_and(|lock| fs2::FileExt::try_lock_exclusive(&lock).is_err()) {
                continue;
            }
            for part in EXTENSIONS {
                let _ = std::fs::remove_file(path.with_extension(part));
            }
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the cache; `None` if it is missing or cannot be trusted.
    pub fn read(&self) -> Option<Box<SessionCache>> {
        check_private(self.dir()).ok()?;
        let (bytes, cache) = self.read_current()?;
        self.last_read.replace(Some((bytes, cache.clone())));
        Some(cache)
    }

    /// What the client reckons that the session cost; `None` if no status line was told.
    pub fn client_cost(&self) -> Option<ClientCost> {
        check_private(self.dir()).ok()?;
        let file = files::private().read(true).open(self.path.with_extension(COST)).ok()?;
        serde_json::from_reader(file.take(EXPECTED_BYTES)).ok()
    }

    /// Notes what the client reckons, if it changed.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn note_client_cost(&self, cost: ClientCost) -> std::io::Result<()> {
        if self.client_cost().is_some_and(|known| known.nano_usd == cost.nano_usd) {
            return Ok(());
        }
        match check_private(self.dir()) {
            Err(e) if e.kind() == ErrorKind::NotFound => private_dir(self.dir())?,
            checked => checked?,
        }
        // If this process dies, `sweep` finds the new file by its name.
        files::write(&self.path.with_extension(COST), &serde_json::to_vec(&cost)?)
    }

    /// The content and its value. The caller must have checked the folder.
    fn read_current(&self) -> Option<(Vec<u8>, Box<SessionCache>)> {
        let (file, size) = self.open_current()?;
        let mut bytes = Vec::with_capacity(size.min(EXPECTED_BYTES) as usize);
        file.take(size).read_to_end(&mut bytes).ok()?;
        match self.last_read.take() {
            Some((seen, cache)) if seen == bytes => Some((seen, cache)),
            _ => SessionCache::decode(&bytes).map(|cache| (bytes, cache)),
        }
    }

    /// Opens the file with a lock that keeps writers out (see [`write()`]). Also returns its size.
    fn open_current(&self) -> Option<(File, u64)> {
        for _ in 0..8 {
            let file = files::private().read(true).open(&self.path).ok()?;
            if fs2::FileExt::try_lock_shared(&file).is_err() {
                continue;
            }
            let (current, meta) = (std::fs::symlink_metadata(&self.path).ok()?, file.metadata().ok()?);
            // The file may have become the spare one before it was locked.
            if current.ino() == meta.ino() {
                return Some((file, meta.len()));
            }
        }
        None
    }

    /// Locks the cache, and reads what other processes wrote in the meantime. The lock is held until the result is
    /// saved or dropped, but never during a call to the store. If the folder is not private or not writable, the result
    /// holds what could be read, and saving fails.
    pub fn lock(&self) -> LockedCache {
        let lock = self.lock_file();
        // lock_file() already checked the folder.
        let is_private = lock.is_ok() || check_private(self.dir()).is_ok();
        let read = is_private.then(|| self.read_current()).flatten();
        let (before, mut cache) = read.map_or_else(Default::default, |(bytes, cache)| (Some(bytes), cache));
        cache.version = VERSION;
        let owed = cache.has_unreported_data();
        LockedCache { path: self.path.clone(), lock, before, had_unreported_data: owed, cache }
    }

    fn lock_file(&self) -> std::io::Result<File> {
        match check_private(self.dir()) {
            Err(e) if e.kind() == ErrorKind::NotFound => private_dir(self.dir())?,
            checked => checked?,
        }
        let path = self.path.with_extension("lock");
        let file = files::private().create(true).truncate(false).write(true).open(path)?;
        lock_exclusive(&file)?;
        Ok(file)
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

/// A locked session cache: no other process changes it until it is saved or dropped.
#[derive(Debug)]
pub struct LockedCache {
    path: PathBuf,
    lock: std::io::Result<File>,
    /// The previous content of the file.
    before: Option<Vec<u8>>,
    /// Whether it had unreported data before.
    had_unreported_data: bool,
    cache: Box<SessionCache>,
}

impl LockedCache {
    /// Writes the cache if it changed, and releases the lock. Returns the cache.
    ///
    /// # Errors
    /// The folder is not private, or cannot be written: the changes are lost.
    pub fn save(self) -> (Box<SessionCache>, std::io::Result<()>) {
        let Self { path, lock, before, had_unreported_data: owed, mut cache } = self;
        let written = lock.and_then(|_lock| {
            let bytes = cache.encode()?;
            if before.as_ref() == Some(&bytes) {
                return Ok(());
            }
            let (has_unreported, mark) = (cache.has_unreported_data(), path.with_extension(UNREPORTED));
            // Create the mark before the data is written, and delete it after.
            if has_unreported && !owed {
                files::private().create(true).truncate(false).write(true).open(&mark)?;
            }
            write(&path, &bytes)?;
            if owed && !has_unreported {
                let _ = std::fs::remove_file(&mark);
            }
            Ok(())
        });
        (cache, written)
    }
}

impl Deref for LockedCache {
    type Target = SessionCache;

    fn deref(&self) -> &SessionCache {
        &self.cache
    }
}

impl DerefMut for LockedCache {
    fn deref_mut(&mut self) -> &mut SessionCache {
        &mut self.cache
    }
}

/// Writes the spare file and swaps it with the current one. Creating or deleting a file each time would take twice as
/// long. Readers hold a shared lock on the file they read; if that is the spare one, a new spare file is created.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let spare = path.with_extension("new");
    let open = || files::private().create(true).truncate(false).write(true).open(&spare);
    let mut file = open()?;
    if fs2::FileExt::try_lock_exclusive(&file).is_err() {
        std::fs::remove_file(&spare)?;
        file = open()?;
    }
    file.write_all(bytes)?;
    if file.metadata()?.len() != bytes.len() as u64 {
        file.set_len(bytes.len() as u64)?;
    }
    drop(file);
    files::replace(&spare, path)
}

/// Waits for the lock. The only use of fs2, which has had no release since 2018.
pub(super) fn lock_exclusive(file: &File) -> std::io::Result<()> {
    fs2::FileExt::lock_exclusive(file)
}

/// Waits for a shared lock.
pub(super) fn lock_shared(file: &File) -> std::io::Result<()> {
    fs2::FileExt::lock_shared(file)
}

fn private_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    check_private(dir)
}

/// Refuses a cache folder that another user could have created or could write to: its content affects decisions. The
/// default is in `/tmp`, where anybody can create a folder.
fn check_private(dir: &Path) -> std::io::Result<()> {
    let meta = std::fs::symlink_metadata(dir)?;
    let refuse = |what: &str| {
        let hint = "remove it, or set FUSEBOX_CACHE_DIR to a folder of your own with mode 0700";
        Err(std::io::Error::new(ErrorKind::PermissionDenied, format!("{}: {what}; {hint}", dir.display())))
    };
    if !meta.is_dir() {
        return refuse("is not a folder (symbolic links are not followed)");
    }
    if meta.uid() != crate::platform::uid() {
        return refuse("belongs to another user");
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("is writable by others");
    }
    Ok(())
}
