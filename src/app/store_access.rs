//! A process and its store: opened when it is first used, and left alone for a while after it did not answer.

use std::path::PathBuf;

use super::open_store::{StoreLocation, corrupt};
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::platform::{Env, Stopwatch};
use crate::store::cache_file::CacheFile;
use crate::store::{Store, StoreError};

/// Milliseconds that hooks count locally for after the store did not answer.
const ASLEEP_MS: i64 = 5_000;

/// Milliseconds that one hook spends on a shared store in all. Without this limit, a slow store could push the hook past its
/// deadline, and the next hook would not know that.
const HOOK_MS: i64 = 600;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// It did not answer a short while ago, and is not asked again yet. With why, where this process asked it then.
    #[error("{}", .0.as_deref().unwrap_or("the store did not answer a short while ago; it is asked again in a few seconds"))]
    Asleep(Option<String>),
    /// It was asked, and failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// It turned out to be damaged, and was set aside.
    #[error("{problem}; {outcome}")]
    Damaged {
        /// What is damaged.
        problem: StoreError,
        /// What became of the store.
        outcome: String,
    },
}

impl Unavailable {
    /// Whether it cannot be reached, or does not answer in time.
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Asleep(_) => true,
            Self::Failed(error) => error.is_out_of_reach(),
            Self::Damaged { .. } => false,
        }
    }

    /// Whether the store works, and does not let this user do what was asked for.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_denied())
    }
}

/// What the store answered.
pub type Result<T> = std::result::Result<T, Unavailable>;

/// The store as one process uses it.
pub struct StoreAccess<'a> {
    env: &'a Env,
    location: StoreLocation,
    /// The cache's file of the session that asks: what is remembered of a shared store lies beside it.
    session_cache: Option<PathBuf>,
    store: Option<Box<dyn Store>>,
    asleep_until: Option<Timestamp>,
    /// The failure that made this process leave the store alone.
    failure: Option<String>,
    /// Milliseconds that the store may still take; `None`: whoever waits has time.
    ms_left: Option<i64>,
    /// For the journal: what went wrong although the store answered.
    notes: Vec<String>,
    /// For the person: a damaged store was found when it was opened.
    warnings: Vec<String>,
}

impl<'a> StoreAccess<'a> {
    /// The store that the configuration names, for a command: it waits as long as the store takes.
    pub fn for_command(env: &'a Env, config: &Config) -> Self {
        Self {
            env,
            location: StoreLocation::new(config),
            session_cache: None,
            store: None,
            asleep_until: None,
            failure: None,
            ms_left: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The same, for a session with this cache. `asleep_until`: until when its hooks leave the store alone.
    pub fn for_session(
        env: &'a Env,
        config: &Config,
        cache: &CacheFile,
        asleep_until: Option<Timestamp>,
    ) -> Self {
        let session_cache = Some(cache.path().to_owned());
        Self { session_cache, asleep_until, ..Self::for_command(env, config) }
    }

    /// The same, for a hook, which has little time for a store on another machine.
    pub fn for_hook(
        env: &'a Env,
        config: &Config,
        cache: &CacheFile,
        asleep_until: Option<Timestamp>,
    ) -> Self {
        let access = Self::for_session(env, config, cache, asleep_until);
        Self { ms_left: access.is_shared().then_some(HOOK_MS), ..access }
    }

    /// Whether several machines share the store.
    pub fn is_shared(&self) -> bool {
        self.location.is_shared()
    }

    /// Whether the store did not answer a short while ago.
    pub fn is_asleep(&self) -> bool {
        let (now, later) = (self.env.now, self.env.now.plus_millis(ASLEEP_MS));
        // A time further off was written under another clock.
        self.asleep_until.is_some_and(|until| now < until && until <= later)
    }

    /// Until when the store is left alone, for the session's next hooks; `None`: it answered last.
    pub fn asleep_until(&self) -> Option<Timestamp> {
        self.asleep_until
    }

    /// Asks the store even if it did not answer a short while ago: a person waits for the answer.
    pub fn wake(&mut self) {
        self.asleep_until = None;
    }

    /// Asks the store, which is opened at its first use. After a failure it is left alone for a while; a damaged one is
    /// set aside, and the next call begins a new one.
    ///
    /// # Errors
    /// The store gave no answer; nothing was recorded.
    pub fn call<T>(&mut self, work: impl FnOnce(&mut dyn Store) -> crate::store::Result<T>) -> Result<T> {
        if self.is_asleep() {
            return Err(Unavailable::Asleep(self.failure.clone()));
        }
        self.asleep_until = None;
        // Connecting has a limit of its own.
        let store = match self.opened() {
            Ok(store) => store,
            Err(problem) => return Err(self.sleep(problem)),
        };
        let started = Stopwatch::start();
        match work(store) {
            Ok(done) => {
                self.spend(started.ms());
                Ok(done)
            }
            // A shared store is not set aside: other machines use it, too.
            Err(problem) if problem.is_corrupt() && !self.is_shared() => {
                Err(Unavailable::Damaged { problem, outcome: self.set_aside() })
            }
            Err(problem) => Err(self.sleep(problem)),
        }
    }

    fn opened(&mut self) -> crate::store::Result<&mut dyn Store> {
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

    /// Takes what a call took from the time that the store has.
    fn spend(&mut self, ms: i64) {
        let Some(left) = &mut self.ms_left else { return };
        *left -= ms;
        if *left < 0 {
            let slow = "the store answers, but so slowly that a hook cannot wait for it. Look at what keeps it busy, or at \
                        the network";
            self.notes.push(slow.into());
            self.failure = Some(slow.into());
            self.asleep_until = Some(self.env.now.plus_millis(ASLEEP_MS));
        }
    }

    /// Leaves the store alone for a while. (A command's clock stands still: it asks again only after [`Self::wake`].)
    fn sleep(&mut self, problem: StoreError) -> Unavailable {
        self.failure = Some(problem.to_string());
        self.asleep_until = Some(self.env.now.plus_millis(ASLEEP_MS));
        problem.into()
    }

    /// Closes the store; the next call opens it again. Nothing is held open while a process waits for something else.
    pub fn close(&mut self) {
        self.store = None;
    }

    /// Uses the store that another configuration names from now on.
    pub fn move_to(&mut self, config: &Config) {
        self.location = StoreLocation::new(config);
        self.close();
    }

    /// Lets the store, where it was used, do its upkeep. `idle`: the agent is not at work.
    ///
    /// # Errors
    /// It was not done, and is left to the next process.
    pub fn tidy(&mut self, idle: bool) -> Result<()> {
        if self.store.is_none() {
            return Ok(());
        }
        self.call(|store| store.maintain(idle))
    }

    /// Sets a store aside that turned out to be damaged while it worked (opening reads one page only), and answers what became
    /// of it.
    fn set_aside(&mut self) -> String {
        match self.store.take().map(|store| store.quarantine(self.env.now)) {
            Some(Ok(Some(aside))) => corrupt(&aside),
            Some(Err(error)) => format!("the corrupt store cannot be set aside: {error}"),
            Some(Ok(None)) | None => "another process has set it aside".to_owned(),
        }
    }

    /// What a person must hear of the store, each once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// What the journal must hear of the store, each once.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}
