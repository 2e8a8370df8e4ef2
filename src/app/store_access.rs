//! A process and its store: opened when it is first used, and left alone for a while after it did not answer.

use super::open_store::{self, corrupt};
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::env::{Env, Stopwatch};
use crate::store::cache_file::CacheFile;
use crate::store::{Store, StoreError};

/// Milliseconds that hooks count locally for after the store did not answer.
const ASLEEP_MS: i64 = 5_000;

/// Milliseconds that a hook waits for a shared store in all: one that answers each request in time, but slowly, would take
/// it over its deadline, and nobody would remember.
const HOOK_MS: i64 = 600;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// It did not answer a short while ago, and is not asked again yet.
    #[error("the store did not answer a short while ago; it is asked again in a few seconds")]
    Asleep,
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
    /// Whether the store works, and does not let this user do what was asked for.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_denied())
    }
}

/// What the store answered.
pub type Result<T> = std::result::Result<T, Unavailable>;

/// The store as one process uses it.
pub struct StoreAccess {
    env: Env,
    config: Config,
    /// The cache of the session that asks: a shared store remembers connections beside it.
    session: Option<CacheFile>,
    is_shared: bool,
    store: Option<Box<dyn Store>>,
    asleep_until: Option<Timestamp>,
    /// Milliseconds that the store may still take; `None`: whoever waits has time.
    ms_left: Option<i64>,
    /// For the journal: what went wrong although the store answered.
    notes: Vec<String>,
    /// For the person: what became of a damaged store.
    warnings: Vec<String>,
}

impl StoreAccess {
    /// The store that the configuration names, for a command: it waits as long as the store takes.
    pub fn for_command(env: &Env, config: &Config) -> Self {
        Self {
            env: env.clone(),
            config: config.clone(),
            session: None,
            is_shared: open_store::is_shared(config),
            store: None,
            asleep_until: None,
            ms_left: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The same, for a session with this cache. `asleep_until`: until when its hooks leave the store alone.
    pub fn for_session(
        env: &Env,
        config: &Config,
        cache: &CacheFile,
        asleep_until: Option<Timestamp>,
    ) -> Self {
        Self { session: Some(cache.clone()), asleep_until, ..Self::for_command(env, config) }
    }

    /// The same, for a hook, which has little time for a store on another machine.
    pub fn for_hook(env: &Env, config: &Config, cache: &CacheFile, asleep_until: Option<Timestamp>) -> Self {
        let access = Self::for_session(env, config, cache, asleep_until);
        Self { ms_left: access.is_shared.then_some(HOOK_MS), ..access }
    }

    /// Whether several machines share the store.
    pub fn is_shared(&self) -> bool {
        self.is_shared
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
            return Err(Unavailable::Asleep);
        }
        self.asleep_until = None;
        let store = match self.opened() {
            Ok(store) => store,
            Err(error) => {
                self.sleep();
                return Err(error.into());
            }
        };
        let started = Stopwatch::start();
        let done = work(store);
        match done {
            Ok(done) => {
                self.spend(started.ms());
                Ok(done)
            }
            // What is wrong with a shared store stays wrong for a while: it is others' too.
            Err(problem) if problem.is_corrupt() && !self.is_shared => {
                Err(Unavailable::Damaged { problem, outcome: self.set_aside() })
            }
            Err(problem) => {
                self.sleep();
                Err(problem.into())
            }
        }
    }

    fn opened(&mut self) -> crate::store::Result<&mut dyn Store> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                let (store, warning) = open_store::open(&self.env, &self.config, self.session.as_ref())?;
                self.warnings.extend(warning);
                store
            }
        };
        Ok(&mut **self.store.insert(store))
    }

    /// Takes what a call took from the time that the store has.
    fn spend(&mut self, ms: i64) {
        let Some(left) = &mut self.ms_left else { return };
        *left -= ms;
        if *left < 0 {
            self.notes.push(
                "the store answers, but so slowly that a hook cannot wait for it. Look at what keeps it busy, or at the \
                 network"
                    .into(),
            );
            self.sleep();
        }
    }

    fn sleep(&mut self) {
        self.asleep_until = Some(self.env.now.plus_millis(ASLEEP_MS));
    }

    /// Closes the store; the next call opens it again. Nothing is held open while a process waits for something else.
    pub fn close(&mut self) {
        self.store = None;
    }

    /// Uses the same store under another login from now on.
    pub fn log_in(&mut self, config: &Config) {
        self.config = config.clone();
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
        self.call(|store| store.tidy(idle))
    }

    /// Sets a store aside that turned out to be damaged while it worked (opening reads one page only), and answers what became
    /// of it.
    fn set_aside(&mut self) -> String {
        match self.store.take().map(|store| store.set_aside(self.env.now)) {
            Some(Ok(Some(aside))) => {
                let told = corrupt(&aside);
                self.warnings.push(told.clone());
                told
            }
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
