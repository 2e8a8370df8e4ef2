//! A process's access to its store: opened at first use, and not contacted for a while after a failure (back-off).

use std::path::PathBuf;

use super::open_store::{StoreLocation, corrupt_store_text};
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::platform::{Env, Stopwatch, test_patience};
use crate::store::cache_file::CacheFile;
use crate::store::{Store, StoreError};

/// Duration of a back-off, in milliseconds.
const BACK_OFF_MS: i64 = 5_000;

/// Total time that one hook spends on a shared store, in milliseconds. Without this limit, a slow store could push the
/// hook past its deadline, and the next hook would not know.
const HOOK_MS: i64 = 600;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// It failed a short while ago, and is not contacted yet. Contains the failure, if this process saw it.
    #[error("{}", .0.as_deref().unwrap_or("the store did not answer recently; Fusebox will retry in a few seconds"))]
    BackingOff(Option<String>),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// It was damaged, and was quarantined.
    #[error("{problem}; {outcome}")]
    Damaged {
        /// What is damaged.
        problem: StoreError,
        /// What happened to the store.
        outcome: String,
    },
}

impl Unavailable {
    /// Whether the store is unreachable, or did not answer in time.
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            Self::BackingOff(_) => true,
            Self::Failed(error) => error.is_out_of_reach(),
            Self::Damaged { .. } => false,
        }
    }

    /// Whether the store works, but its user lacks permission.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_denied())
    }
}

/// The result of a call to the store.
pub type Result<T> = std::result::Result<T, Unavailable>;

/// One process's access to its store.
pub struct StoreAccess<'a> {
    env: &'a Env,
    location: StoreLocation,
    /// The session's cache file. A shared store's read cache is beside it.
    session_cache: Option<PathBuf>,
    store: Option<Box<dyn Store>>,
    back_off_until: Option<Timestamp>,
    /// The failure that started the back-off.
    failure: Option<String>,
    /// Milliseconds that the store may still take; `None`: no limit.
    ms_left: Option<i64>,
    /// For the journal: problems although the store answered.
    notes: Vec<String>,
    /// For the person: a damaged store was found at opening.
    warnings: Vec<String>,
}

impl<'a> StoreAccess<'a> {
    /// The configured store for a command, without a time limit.
    pub fn for_command(env: &'a Env, config: &Config) -> Self {
        Self {
            env,
            location: StoreLocation::new(config),
            session_cache: None,
            store: None,
            back_off_until: None,
            failure: None,
            ms_left: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The store for a session with this cache. `back_off_until`: when the back-off of its hooks ends.
    pub fn for_session(
        env: &'a Env,
        config: &Config,
        cache: &CacheFile,
        back_off_until: Option<Timestamp>,
    ) -> Self {
        let session_cache = Some(cache.path().to_owned());
        Self { session_cache, back_off_until, ..Self::for_command(env, config) }
    }

    /// The store for a hook, which has little time for a remote store.
    pub fn for_hook(
        env: &'a Env,
        config: &Config,
        cache: &CacheFile,
        back_off_until: Option<Timestamp>,
    ) -> Self {
        let access = Self::for_session(env, config, cache, back_off_until);
        Self { ms_left: access.is_shared().then_some(HOOK_MS * i64::from(test_patience())), ..access }
    }

    /// Whether several machines may share the store.
    pub fn is_shared(&self) -> bool {
        self.location.is_shared()
    }

    /// Whether the store is in back-off.
    pub fn is_backing_off(&self) -> bool {
        let (now, later) = (self.env.now, self.env.now.plus_millis(BACK_OFF_MS));
        // A time further off was set before the clock was set back.
        self.back_off_until.is_some_and(|until| now < until && until <= later)
    }

    /// When the back-off of the session's next hooks ends; `None` if the store answered last.
    pub fn back_off_until(&self) -> Option<Timestamp> {
        self.back_off_until
    }

    /// Ends the back-off, because a person is waiting.
    pub fn retry_now(&mut self) {
        self.back_off_until = None;
    }

    /// Calls the store, which is opened at first use. A failure starts a back-off. A damaged store is quarantined, and
    /// the next call creates a new one.
    ///
    /// # Errors
    /// The store gave no answer; nothing was recorded.
    pub fn call<T>(&mut self, work: impl FnOnce(&mut dyn Store) -> crate::store::Result<T>) -> Result<T> {
        if self.is_backing_off() {
            return Err(Unavailable::BackingOff(self.failure.clone()));
        }
        self.back_off_until = None;
        // Connecting has its own limit.
        let store = match self.ensure_open() {
            Ok(store) => store,
            Err(problem) => return Err(self.back_off(problem)),
        };
        let started = Stopwatch::start();
        match work(store) {
            Ok(done) => {
                self.spend_time(started.ms());
                Ok(done)
            }
            // A shared store is not quarantined: other machines use it, too.
            Err(problem) if problem.is_corrupt() && !self.is_shared() => {
                Err(Unavailable::Damaged { problem, outcome: self.quarantine() })
            }
            Err(problem) => Err(self.back_off(problem)),
        }
    }

    fn ensure_open(&mut self) -> crate::store::Result<&mut dyn Store> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => {
                let (store, warning) = self.location.open(self.env, self.session_cache.as_deref())?;
                self.warnings.extend(warning);
                store
            }
        };
        store.connect()?;
        Ok(&mut **self.store.insert(store))
    }

    /// Deducts the duration of a call from the time left.
    fn spend_time(&mut self, ms: i64) {
        let Some(left) = &mut self.ms_left else { return };
        *left -= ms;
        if *left < 0 {
            let slow =
                "the store answers too slowly for a hook to wait. Check what keeps it busy, and the network";
            self.notes.push(slow.into());
            self.failure = Some(slow.into());
            self.back_off_until = Some(self.env.now.plus_millis(BACK_OFF_MS));
        }
    }

    /// Starts a back-off. (The clock of a command is fixed, so it asks again only after [`Self::retry_now`].)
    fn back_off(&mut self, problem: StoreError) -> Unavailable {
        self.failure = Some(problem.to_string());
        self.back_off_until = Some(self.env.now.plus_millis(BACK_OFF_MS));
        problem.into()
    }

    /// Closes the store; the next call opens it again. Nothing is held open while a process waits for something else.
    pub fn close(&mut self) {
        self.store = None;
    }

    /// Switches to the store of another configuration.
    pub fn switch_to(&mut self, config: &Config) {
        self.location = StoreLocation::new(config);
        self.close();
    }

    /// Runs the store's maintenance, if it was used. `idle`: the agent is not working.
    ///
    /// # Errors
    /// It was not done, and is left to the next process.
    pub fn maintain(&mut self, idle: bool) -> Result<()> {
        if self.store.is_none() {
            return Ok(());
        }
        self.call(|store| store.maintain(idle))
    }

    /// Quarantines a store that turned out to be damaged after opening, which reads only one page. Returns what
    /// happened.
    fn quarantine(&mut self) -> String {
        match self.store.take().map(|store| store.quarantine(self.env.now)) {
            Some(Ok(Some(aside))) => corrupt_store_text(&aside),
            Some(Err(error)) => format!("the corrupt store cannot be set aside: {error}"),
            Some(Ok(None)) | None => "another process has set it aside".to_owned(),
        }
    }

    /// Takes the warnings for the person.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Takes the notes for the journal.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}
