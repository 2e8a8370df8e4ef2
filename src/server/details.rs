//! What only the store knows of one session, read by threads that keep the store open.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::cache::Cache;
use super::problem::Problem;
use crate::app::open_store::StoreLocation;
use crate::app::snapshot::{SessionSummary, Snapshot};
use crate::config::Config;
use crate::domain::event::Event;
use crate::domain::throttle::Slots;
use crate::platform::{Env, clock};
use crate::store::{Result, SessionRow, SessionTotal, Store};

/// Threads that read.
const THREADS: usize = 2;

/// Sessions that are kept.
const MOST: usize = 2000;

/// A session that was seen so long ago, in milliseconds, does not change unless it is seen again.
const SETTLED_MS: i64 = 10_000;

/// How long what was read of a session that may be changing is kept, in milliseconds.
const KEPT_MS: i64 = 1_000;

/// What the store knows of a session.
#[derive(Clone, Debug)]
pub struct Details {
    /// Everything charged to it.
    pub total: SessionTotal,
    /// Its subagents.
    pub slots: Slots,
    /// Its events, oldest first.
    pub events: Vec<Event>,
}

/// What the details of a session depend on.
#[derive(Clone, Debug, PartialEq)]
struct State {
    row: SessionRow,
    /// The newest event among those of the snapshot.
    event: Option<i64>,
    /// The time, if the session may be changing.
    at: Option<i64>,
}

/// The threads, seen from requests.
pub struct DetailReader {
    questions: Mutex<Sender<Question>>,
    known: Cache<String, State, Details>,
}

struct Question {
    session: String,
    snapshot: Arc<Snapshot>,
    answer: oneshot::Sender<Result<Details>>,
}

impl DetailReader {
    /// Starts the threads. They open the store when they are first asked.
    pub fn start(env: &Env) -> Self {
        let (questions, received) = channel();
        let received = Arc::new(Mutex::new(received));
        for _ in 0..THREADS {
            let (env, received) = (env.clone(), Arc::clone(&received));
            std::thread::spawn(move || answer_all(&env, &received));
        }
        Self { questions: Mutex::new(questions), known: Cache::new(MOST, false) }
    }

    /// The details of a session.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read(
        &self,
        snapshot: &Arc<Snapshot>,
        session: &SessionSummary,
    ) -> std::result::Result<Arc<Details>, Problem> {
        let row = &session.row;
        let id = &row.session.id;
        let now = clock();
        let is_settled = now.millis_since(row.last_seen) > SETTLED_MS;
        let state = State {
            row: row.clone(),
            event: snapshot.events.iter().find(|event| event.session == *id).map(|event| event.id),
            at: (!is_settled).then_some(now.0 / KEPT_MS),
        };
        let (answer, answered) = oneshot::channel();
        let question = Question { session: id.clone(), snapshot: Arc::clone(snapshot), answer };
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = async move {
            // The threads end with the process only.
            let _ = questions.send(question);
            match answered.await {
                Ok(read) => read.map_err(|error| Problem::unavailable(error.to_string())),
                Err(_) => Err(Problem::unavailable("the reading was interrupted")),
            }
        };
        self.known.get(id, state, read).await
    }
}

fn answer_all(env: &Env, received: &Mutex<Receiver<Question>>) {
    let mut opened: Option<(Config, Box<dyn Store>)> = None;
    loop {
        let next = received.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Question { session, snapshot, answer }) = next else { return };
        let env = Env { now: clock(), ..env.clone() };
        let _ = answer.send(read(&env, &mut opened, &snapshot.config, &session));
    }
}

/// Reads with the store that is open, if it is still the one. After an error, the next call opens it again.
fn read(
    env: &Env,
    opened: &mut Option<(Config, Box<dyn Store>)>,
    config: &Config,
    session: &str,
) -> Result<Details> {
    let kept = opened.take().filter(|(of, _)| StoreLocation::new(of).is_same_store(config));
    let (of, mut store) = match kept {
        Some(kept) => kept,
        None => (config.clone(), StoreLocation::new(config).open(env, None)?.0),
    };
    store.connect()?;
    let details = Details {
        total: store.session_total(session)?.unwrap_or_default(),
        slots: store.slots(session)?,
        events: store.events(Some(session), None)?,
    };
    *opened = Some((of, store));
    Ok(details)
}
