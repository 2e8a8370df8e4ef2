//! Reads snapshots of the store in a thread of its own, when requests ask for newer ones.
//!
//! A snapshot that is fresh answers at once. One that is older also answers, while a newer one is being read. Only if it is
//! too old, or a decision was made since, the request waits. So many clients cost no more than one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::metrics::ReadTimes;
use super::problem::Problem;
use crate::app::snapshot::{Snapshot, SnapshotReader};
use crate::domain::time::Timestamp;
use crate::platform::{Env, clock};

/// A younger snapshot is fresh.
const FRESH: Duration = Duration::from_millis(500);

/// After a reading, the thread rests this many times as long as it took, so that hooks do not have to wait for it.
const REST: u32 = 10;

/// The longest rest.
const MAX_REST: Duration = Duration::from_secs(30);

/// An older snapshot is too old to answer with, unless the thread may still rest.
const TOO_OLD: Duration = Duration::from_secs(5);

/// How long a request waits for a snapshot.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The latest result of reading the store.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// When the reading began; `None`: nothing has been read yet.
    began: Option<Instant>,
    /// How long it took.
    took: Duration,
    /// How long all reads so far took.
    pub reads: ReadTimes,
    /// The latest snapshot that could be read.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Why the store cannot be read now.
    pub failure: Option<Failure>,
}

/// A store that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// The thread, seen from requests.
pub struct Watcher {
    wake: Mutex<Sender<()>>,
    /// Whether the thread was asked, and has not finished reading.
    is_reading: Arc<AtomicBool>,
    views: watch::Receiver<View>,
    /// Snapshots that were begun before this moment do not have the latest decision.
    decided: Mutex<Option<Instant>>,
}

impl Watcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn start(env: &Env) -> Result<Self, Vec<String>> {
        let mut reader = SnapshotReader::new(env)?;
        let (wake, woken) = channel();
        let (send, views) = watch::channel(View::default());
        let is_reading = Arc::new(AtomicBool::new(false));
        let (env, reading) = (env.clone(), Arc::clone(&is_reading));
        std::thread::spawn(move || {
            while woken.recv().is_ok() {
                let update = read(&env, &mut reader);
                // First: who sees the new view, and needs a newer one, can ask for it.
                reading.store(false, Ordering::SeqCst);
                send.send_modify(|view| update.apply(view));
            }
        });
        Ok(Self { wake: Mutex::new(wake), is_reading, views, decided: Mutex::new(None) })
    }

    /// A decision was made: later requests see it.
    pub fn on_decision(&self) {
        *self.decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.ask();
    }

    /// A current snapshot.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        let view = self.view().await;
        match (view.failure, view.snapshot) {
            (None, Some(snapshot)) => Ok(snapshot),
            (Some(failure), _) => Err(Problem::unavailable(failure.text)),
            (None, None) => Err(Problem::unavailable("the store has not answered yet")),
        }
    }

    /// A current view: if the store cannot be read, with the last snapshot.
    pub async fn view(&self) -> View {
        let asked = Instant::now();
        let mut views = self.views.clone();
        loop {
            let view = views.borrow_and_update().clone();
            let age = view.age();
            let is_current = view.began > *self.decided.lock().unwrap_or_else(PoisonError::into_inner);
            if age > view.rest() || !is_current {
                self.ask();
            }
            // One that was begun after the question is as current as it gets.
            if is_current && (age <= view.too_old() || view.began > Some(asked)) {
                return view;
            }
            let left = MAX_WAIT.saturating_sub(asked.elapsed());
            if tokio::time::timeout(left, views.changed()).await.is_err() {
                return view.without_answer();
            }
        }
    }

    /// The current view, if the store can be read within this time, else the latest.
    pub async fn view_within(&self, wait: Duration) -> View {
        match tokio::time::timeout(wait, self.view()).await {
            Ok(view) => view,
            Err(_) => self.views.borrow().clone().without_answer(),
        }
    }

    /// Asks the thread to read, unless it is reading. (Who needs a newer answer than that one asks again.)
    fn ask(&self) {
        if self.is_reading.swap(true, Ordering::SeqCst) {
            return;
        }
        // The thread ends with the process only.
        let _ = self.wake.lock().unwrap_or_else(PoisonError::into_inner).send(());
    }
}

impl View {
    fn age(&self) -> Duration {
        self.began.map_or(Duration::MAX, |began| began.elapsed())
    }

    /// How old it may get before the store is read again.
    fn rest(&self) -> Duration {
        (self.took * REST).clamp(FRESH, MAX_REST)
    }

    /// How old it may get before requests wait for the next one, which can be asked for only after the rest.
    fn too_old(&self) -> Duration {
        TOO_OLD.max(self.rest() * 2)
    }

    /// The same, but nothing newer could be read.
    fn without_answer(self) -> Self {
        let failure = Failure { text: "the store does not answer".into(), since: clock() };
        Self { failure: self.failure.or(Some(failure)), ..self }
    }
}

/// What was read.
struct Update {
    began: Instant,
    took: Duration,
    at: Timestamp,
    read: crate::store::Result<Snapshot>,
}

fn read(env: &Env, reader: &mut SnapshotReader) -> Update {
    let began = Instant::now();
    let env = Env { now: clock(), ..env.clone() };
    let read = reader.read(&env);
    for problem in reader.take_problems() {
        tracing::warn!(problem, "the changed configuration cannot be used");
    }
    Update { began, took: began.elapsed(), at: env.now, read }
}

impl Update {
    fn apply(self, view: &mut View) {
        view.began = Some(self.began);
        view.took = self.took;
        view.reads.add(self.took);
        match self.read {
            Ok(snapshot) => {
                if view.failure.take().is_some() {
                    tracing::info!("the store answers again");
                }
                view.snapshot = Some(Arc::new(snapshot));
            }
            Err(error) => {
                // It waited for the store, and kept nobody else from it: it need not rest.
                view.took = Duration::ZERO;
                let text = error.to_string();
                let since = view.failure.as_ref().map_or(self.at, |failure| failure.since);
                if view.failure.is_none() {
                    tracing::warn!(error = text, "the store does not answer");
                }
                view.failure = Some(Failure { text, since });
            }
        }
    }
}
