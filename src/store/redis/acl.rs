//! Least privilege: what the user of hooks needs in Redis, and what an operator's user needs besides.

use super::RedisStore;
use super::keys::Keys;
use super::scripts::RIGHTS;
use crate::store::Result;

/// What stands for the hash of a password: a server takes no line with it.
pub const HASH: &str = "SHA256-OF-THE-PASSWORD";

/// What goes over a connection: scripts by their hash, a database by its number, a slot of a cluster that moves.
const LINK_COMMANDS: &str = "evalsha script|load select";

/// What the scripts call when hooks record, and when somebody looks.
const RECORD_COMMANDS: &str = "exists expire get hdel hget hgetall hmget hset hsetnx hvals lrange sadd set sismember smembers \
    srem type zadd zrange zrangebyscore zremrangebyscore zrevrange zscore";

/// What is called besides when a person decides, or looks at the server.
const DECIDE_COMMANDS: &str = "info rpush";

/// What a user may do with a tenant's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Record; and read what people decided.
    Hook,
    /// Decide, too.
    Operator,
}

impl Role {
    /// The commands of Redis that it needs, as its ACL names them, in their order.
    pub fn commands(self) -> Vec<&'static str> {
        let more = if self == Self::Operator { DECIDE_COMMANDS } else { "" };
        let mut all: Vec<_> =
            [LINK_COMMANDS, RECORD_COMMANDS, more].iter().flat_map(|some| some.split_whitespace()).collect();
        all.sort_unstable();
        all
    }

    /// The rules of a user in this role, as `ACL SETUSER` takes them; [`HASH`] stands for the password.
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

/// What the user that is logged in may do, as the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Record.
    pub records: bool,
    /// Decide.
    pub decides: bool,
    /// What the server does when its memory is full; `None`: this user may not read it.
    pub when_full: Option<String>,
}

impl RedisStore {
    /// What the user that is logged in may do. Fails where the server cannot be asked.
    pub fn rights(&mut self) -> Result<Rights> {
        let (data, decided) = (self.keys.data_prefix(), self.keys.decided_prefix());
        let arguments = [&data, &decided, RECORD_COMMANDS, DECIDE_COMMANDS];
        let (records, decides, when_full) = self.scripts.run(RIGHTS, &self.keys, &arguments)?;
        Ok(Rights { records, decides, when_full })
    }
}
