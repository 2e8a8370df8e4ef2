//! A temporary store, for counting from transcripts alone.

use super::record;
use super::record_plan::RecordPlan;
use super::session::SessionContext;
use super::store_access::StoreAccess;
use crate::config::Config;
use crate::platform::Env;
use crate::store::{Session, SessionRow};

/// An embedded store in a temporary folder.
pub(super) struct TemporaryStore {
    env: Env,
    config: Config,
    /// Must be dropped last.
    _folder: tempfile::TempDir,
}

impl TemporaryStore {
    /// Creates an empty store.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new(env: &Env) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("fusebox-recount-").tempdir()?;
        let mut env = env.clone();
        for (name, place) in [("FUSEBOX_STATE_DIR", "state"), ("FUSEBOX_CACHE_DIR", "cache")] {
            let path = folder.path().join(place).to_string_lossy().into_owned();
            env.vars.insert(name.to_owned(), path);
        }
        Ok(Self { env, config: Config { redis: None, ..Config::default() }, _folder: folder })
    }

    /// Access to the store.
    pub fn access(&self) -> StoreAccess<'_> {
        StoreAccess::for_command(&self.env, &self.config)
    }

    /// Reads a session from its start. Returns whether everything was read.
    pub fn read_session(&self, row: &SessionRow) -> bool {
        // Without its parent, which is not charged for it here.
        let session = Session { parent: None, client: None, ..row.session.clone() };
        let ctx = SessionContext::for_session(&self.env, &session);
        let mut ctx = ctx.with_config(self.config.clone());
        let all = RecordPlan {
            max_bytes: u64::MAX,
            max_ms: None,
            seen_at: Some(row.last_seen),
            ..RecordPlan::for_session(false)
        };
        let recorded = record::record_and_cache(&mut ctx, &all);
        recorded.is_stored() && recorded.complete
    }
}
