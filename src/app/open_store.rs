//! Opens a store: the embedded one, or the shared one that the configuration names.

use std::path::Path;
use std::time::Duration;

use super::installation::Installation;
use crate::config::redis_address::Address;
use crate::config::{Config, RedisConfig};
use crate::platform::{Env, machine_fingerprint, test_patience};
use crate::store::redis::{RedisLocation, RedisStore};
use crate::store::shared_names;
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};

/// The location of a configuration's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLocation {
    redis: Option<RedisConfig>,
    tenant: String,
}

impl StoreLocation {
    /// The store that the configuration names.
    pub fn new(config: &Config) -> Self {
        Self { redis: config.redis.clone(), tenant: config.tenant.clone() }
    }

    /// Whether several machines may share it.
    pub fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// Whether another configuration names the same store, ignoring logins and timeouts.
    pub fn is_same_store(&self, config: &Config) -> bool {
        let place = |redis: &RedisConfig| {
            let address = Address::parse(&redis.url).ok()?;
            Some((address.topology, address.nodes, address.db))
        };
        match (&self.redis, &config.redis) {
            (None, None) => true,
            (Some(one), Some(other)) => self.tenant == config.tenant && place(one) == place(other),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The tenant of a shared store; `None` for the embedded one.
    pub fn tenant(&self) -> Option<&str> {
        self.is_shared().then_some(self.tenant.as_str())
    }

    /// Opens the store. `session_cache`: the cache file of the calling session; `None`
    /// for a command, which has more time. The second result is a warning for the
    /// person.
    ///
    /// # Errors
    /// The store cannot be used.
    pub fn open(
        &self,
        env: &Env,
        session_cache: Option<&Path>,
    ) -> crate::store::Result<(Box<dyn Store>, Option<String>)> {
        match &self.redis {
            Some(redis) => Ok((Box::new(open_shared(env, redis, &self.tenant, session_cache)?), None)),
            None => {
                let (mut store, warning) = open_embedded(env)?;
                if session_cache.is_none() {
                    store.wait_patiently()?;
                }
                Ok((Box::new(store), warning))
            }
        }
    }
}

fn open_embedded(env: &Env) -> crate::store::Result<(SqliteStore, Option<String>)> {
    let dir = env.state_dir().ok_or_else(|| StoreError::Unusable {
        path: "~/.local/state/fusebox".into(),
        problem: "there is no home folder".into(),
        remedy: "Set HOME, or FUSEBOX_STATE_DIR to a folder of your own".into(),
    })?;
    let installed = || Installation::read(&dir).map(|known| known.installed_at);
    let opened = SqliteStore::open_after(&dir, env.now, installed)?;
    Ok((opened.store, opened.quarantined.as_deref().map(corrupt_store_text)))
}

/// The shared store of a configuration.
///
/// # Errors
/// Its address or its password file cannot be read.
pub fn open_shared(
    env: &Env,
    redis: &RedisConfig,
    tenant: &str,
    session_cache: Option<&Path>,
) -> crate::store::Result<RedisStore> {
    let unusable = |path: &str, problem: String, remedy: &str| StoreError::Unusable {
        path: path.into(),
        problem,
        remedy: remedy.into(),
    };
    let mut address = Address::parse(&redis.url)
        .map_err(|error| unusable(&redis.url, error.to_string(), "Fix store.redis_url"))?;
    if let Some(file) = &redis.password_file {
        let password = std::fs::read_to_string(file).map_err(|error| {
            unusable(
                file,
                error.to_string(),
                "Make the file readable for your user, or fix store.redis_password_file",
            )
        })?;
        address = address.with_password(password.trim_end_matches(['\r', '\n']));
    }
    Ok(RedisStore::new(RedisLocation {
        address,
        wait: Duration::from_millis(redis.timeout_ms) * test_patience(),
        tenant: tenant.to_owned(),
        machine: shared_names::machine_id(&machine_fingerprint(), &env.state_dir().unwrap_or_default()),
        read_cache: session_cache.map(|path| path.with_extension("redis")),
    }))
}

/// The warning about a damaged store, which was kept under this name.
pub(super) fn corrupt_store_text(aside: &Path) -> String {
    format!(
        "Fusebox: the store was corrupt. It was kept as {} and is being rebuilt from the transcripts and from the ledger \
         of extensions and resets; alerts, breakers and calls of platforms are lost. Run `fusebox status` to finish the rebuild.",
        aside.display()
    )
}
