//! What the store knows of one session, beyond the snapshot.

use std::sync::Arc;

use super::Server;
use super::problem::Problem;
use crate::app::store_access::StoreAccess;
use crate::domain::event::Event;
use crate::domain::throttle::Slots;
use crate::store::{CircuitRow, SessionTotal};

/// The most events that are kept, the newest.
const MAX_EVENTS: usize = 200;

/// One session, as the store has it.
#[derive(Clone, Debug)]
pub struct SessionDetail {
    /// What it used.
    pub total: SessionTotal,
    /// The breakers of its agents.
    pub circuits: Vec<CircuitRow>,
    /// Its subagents at work.
    pub slots: Slots,
    /// Its events, newest first.
    pub events: Vec<Event>,
}

impl SessionDetail {
    /// Reads a session, in a thread that may wait for the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read(server: &Arc<Server>, id: &str) -> Result<Self, Problem> {
        let snapshot = server.watcher.snapshot().await?;
        let (env, id) = (server.env_now(), id.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let mut store = StoreAccess::for_command(&env, &snapshot.config);
            store.call(|store| {
                let mut events = store.events(Some(&id), None)?;
                events.reverse();
                events.truncate(MAX_EVENTS);
                Ok(Self {
                    total: store.session_total(&id)?.unwrap_or_default(),
                    circuits: store.circuits(Some(&id))?,
                    slots: store.slots(&id)?,
                    events,
                })
            })
        });
        let read = read.await.map_err(|_| Problem::unavailable("reading was interrupted"))?;
        read.map_err(|error| Problem::unavailable(error.to_string()))
    }
}
