//! Least privilege: the permissions of the hooks' user in Redis, and the additional ones of an operator.

use super::RedisStore;
use super::keys::Keys;
use super::scripts::RIGHTS;
use crate::store::Result;

/// Placeholder for the hash of a password; a server rejects it.
pub const HASH: &str = "SHA256-OF-THE-PASSWORD";

/// Commands of the connection: run scripts by hash, load them, select a database.
const LINK_COMMANDS: &str = "evalsha script|load select";

/// Commands that scripts call when hooks record or somebody queries.
const RECORD_COMMANDS: &str = "exists expire get hdel hget hgetall hmget hset hsetnx hvals lrange sadd set sismember smembers \
    srem time type zadd zrange zrangebyscore zremrangebyscore zrevrange zscore";

/// Additional commands when a person decides or checks the server.
const DECIDE_COMMANDS: &str = "info rpush";

/// A user's role for a tenant's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Records, and reads decisions.
    Hook,
    /// Also decides.
    Operator,
}

impl Role {
    /// The Redis commands of this role, sorted, with the names in ACLs.
    pub fn commands(self) -> Vec<&'static str> {
        let more = if self == Self::Operator { DECIDE_COMMANDS } else { "" };
        let mut all: Vec<_> =
            [LINK_COMMANDS, RECORD_COMMANDS, more].iter().flat_map(|some| some.split_whitespace()).collect();
        all.sort_unstable();
        all
    }

    /// The rules of a user in this role for `ACL SETUSER`, with [`HASH`] in place of the password.
    pub fn rules(self, tenant: &str) -> String {
        let keys = Keys::for_tenant(tenant);
        let (data, decided) = (keys.data_prefix(), keys.decided_prefix());
        let decided = match self {
            Self::Hook => format!("%R~{decided}*"),
            Self::Operator => format!("~{decided}*"),
        };
        let commands: Vec<String> = self.commands().iter().map(|name| format!("+{name}")).collect();
        format!("reset resetchannels on #{HASH} ~{data}* {decided} -@all {}", commands.join(" "))
    }
}

/// The permissions of the logged-in user, according to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Whether it may record.
    pub records: bool,
    /// Whether it may decide.
    pub decides: bool,
    /// What the server does when its memory is full; `None` if the user may not read it.
    pub when_full: Option<String>,
}

impl RedisStore {
    /// The permissions of the logged-in user.
    pub fn rights(&mut self) -> Result<Rights> {
        let (data, decided) = (self.keys.data_prefix(), self.keys.decided_prefix());
        let arguments = [&data, &decided, RECORD_COMMANDS, DECIDE_COMMANDS];
        let (records, decides, when_full) = self.scripts.run(RIGHTS, &self.keys, &arguments)?;
        Ok(Rights { records, decides, when_full })
    }
}
