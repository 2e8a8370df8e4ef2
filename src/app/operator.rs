//! The operator of a shared store: who may decide where the hooks' user may only record.

use super::guard::Guard;
use crate::config::{Config, DEFAULT_TENANT};
use crate::store::redis::acl::{OPERATOR, is_same_server, with_user};

/// The command line by which an operator runs `command` on the shared store of this configuration.
pub fn command(config: &Config, command: &str) -> String {
    let Some(redis) = &config.redis else { return command.to_owned() };
    let url = with_user(&redis.url, OPERATOR);
    let tenant = match config.tenant.as_str() {
        DEFAULT_TENANT => String::new(),
        tenant => format!("FUSEBOX_STORE_TENANT={} ", quoted(tenant)),
    };
    let url = quoted(&url);
    format!("FUSEBOX_STORE_REDIS_URL={url} FUSEBOX_STORE_REDIS_PASSWORD_FILE=FILE {tenant}{command}")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,+%=".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// What is said to a person whom the shared store lets record, but not decide.
pub fn refusal(config: &Config, denied: &str) -> String {
    let command = command(config, denied);
    format!("this user of Redis may record, but not decide. Whoever may decide runs in a terminal: {command}")
}

impl Guard<'_> {
    /// Asks the store as `own` says from now on, where that is the same store and somebody else logs in: hooks of a session
    /// may only record in it, and whoever decides about the session may be an operator.
    pub fn log_in_as(&mut self, own: &Config) {
        let (Some(of_session), Some(mine)) = (&self.config.redis, &own.redis) else { return };
        let is_same = self.config.tenant == own.tenant && is_same_server(&of_session.url, &mine.url);
        if is_same && of_session != mine {
            self.config.redis = Some(mine.clone());
            self.close_store();
        }
    }
}
