//! Least privilege: what the user of hooks needs in Redis, and what an operator's user needs besides.

use redis::Value;

use super::RedisStore;
use super::keys::Keys;
use super::scripts::text;
use crate::config::redis_address::Address;
use crate::store::Result;

/// The user of hooks, where nobody says otherwise.
pub const HOOK_USER: &str = "fusebox-hook";

/// The operator's user, where nobody says otherwise.
pub const OPERATOR: &str = "fusebox-operator";

/// What stands for the hash of a password: a server takes no line with it.
pub const HASH: &str = "SHA256-OF-THE-PASSWORD";

/// What goes over a connection: scripts by their hash, a database by its number, a slot of a cluster that moves.
const CONNECTION: [&str; 4] = ["asking", "evalsha", "script|load", "select"];

/// What the scripts call when hooks record, and when somebody looks.
const RECORD: [&str; 23] = [
    "exists",
    "expire",
    "get",
    "hdel",
    "hget",
    "hgetall",
    "hmget",
    "hset",
    "hsetnx",
    "hvals",
    "lrange",
    "mget",
    "sadd",
    "set",
    "sismember",
    "smembers",
    "srem",
    "type",
    "zadd",
    "zrange",
    "zrangebyscore",
    "zremrangebyscore",
    "zrevrange",
];

/// What is called besides when a person decides, or looks at the server.
const DECIDE: [&str; 2] = ["info", "rpush"];

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
        let more: &[&str] = if self == Self::Operator { &DECIDE } else { &[] };
        let mut all = [&CONNECTION[..], &RECORD, more].concat();
        all.sort_unstable();
        all
    }

    /// The rules of a user in this role, as a line of an ACL file and `ACL SETUSER` take them; [`HASH`] stands for the
    /// password.
    pub fn rules(self, tenant: &str) -> String {
        let keys = Keys::of(tenant);
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
    /// Record; `None`: the server cannot say (it is older than 7.0).
    pub records: Option<bool>,
    /// Decide, the same way.
    pub decides: Option<bool>,
    /// What the server does when its memory is full; `None`: this user may not read it.
    pub when_full: Option<String>,
}

impl RedisStore {
    /// What the user that is logged in may do.
    ///
    /// # Errors
    /// The server cannot be asked, or does not let this user run scripts.
    pub fn rights(&mut self) -> Result<Rights> {
        let of = |commands: &[&'static str]| commands.join(" ");
        let [data, decided] = [self.keys.data_prefix(), self.keys.decided_prefix()];
        let arguments = [data, decided, of(&RECORD), of(&DECIDE)];
        let mut replies = self.scripts.rights(&self.keys, &arguments)?.into_iter();
        let mut next = || text(replies.next().unwrap_or(Value::Nil));
        let flag = |text: String| Some(text == "1").filter(|_| !text.is_empty());
        let (records, decides, when_full) = (flag(next()?), flag(next()?), next()?);
        Ok(Rights { records, decides, when_full: Some(when_full).filter(|policy| !policy.is_empty()) })
    }
}

/// The same address with another user: for the command line of somebody else.
pub fn with_user(url: &str, user: &str) -> String {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let options: Vec<&str> = query.split('&').filter(|o| !o.is_empty() && !o.starts_with("user=")).collect();
    let sign = if options.is_empty() { "" } else { "?" };
    format!("{scheme}://{user}@{hosts}{path}{sign}{}", options.join("&"))
}

/// Whether two addresses name the same servers, whoever logs in.
pub fn is_same_server(one: &str, other: &str) -> bool {
    let plain = |url: &str| Address::parse(url).ok().map(|address| address.without_login());
    plain(one).zip(plain(other)).is_some_and(|(one, other)| one == other)
}
