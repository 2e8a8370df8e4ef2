//! Why Redis did not answer as it should, in kinds that a caller can act on.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use crate::config::redis_address::Node;
use crate::store::StoreError;
use crate::store::error::Failing;

/// Why Redis did not answer as it should. Holds neither passwords nor values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server cannot be reached, or did not answer in time. What was sent may have run.
    #[error("Redis at {server} cannot be reached: {problem}. Start it, or mend its address or the network.")]
    Unreachable {
        /// Which server.
        server: String,
        /// What happened.
        problem: String,
    },
    /// The login failed, or is missing.
    #[error(
        "Redis at {server} refuses the login: {problem}. Mend the user in store.redis_url, or the password in store.redis_password_file."
    )]
    Auth {
        /// Which server.
        server: String,
        /// What the server says.
        problem: String,
    },
    /// The user may not do this.
    #[error(
        "Redis at {server} denies it: {problem}. Give the user the rights that it needs (`fusebox redis acl`), and see that store.tenant is the one that they are for."
    )]
    Denied {
        /// Which server.
        server: String,
        /// What the server says.
        problem: String,
    },
    /// The server is a replica.
    #[error("Redis at {server} is a read-only replica. Name the master in the address, or the sentinels.")]
    ReadOnly {
        /// Which server.
        server: String,
    },
    /// The server has no room: memory, or the disk that it must write to.
    #[error("Redis at {server} takes no more data: {problem}. Give it room (maxmemory, disk).")]
    Full {
        /// Which server.
        server: String,
        /// What the server says.
        problem: String,
    },
    /// The server loads its data, runs another script, or its cluster is not whole: later it may work.
    #[error("Redis at {server} is not ready: {problem}. Wait, or look at the server.")]
    NotReady {
        /// Which server.
        server: String,
        /// What the server says.
        problem: String,
    },
    /// A key holds something of another kind.
    #[error("Redis at {server} holds other data under a key of Fusebox. Give Fusebox a database of its own.")]
    WrongType {
        /// Which server.
        server: String,
    },
    /// What answers does not speak Redis, or not TLS, or is not trusted.
    #[error("what answers at {server} is not the Redis that was expected: {problem}. Mend the address.")]
    Garbage {
        /// Which server.
        server: String,
        /// What is wrong.
        problem: String,
    },
    /// Files for TLS cannot be used.
    #[error("the files for TLS to Redis cannot be used: {problem}. Mend ca, cert and key in its address.")]
    Certificates {
        /// Which, and why.
        problem: String,
    },
    /// Another error of the server, or of a script.
    #[error("Redis at {server} answers with an error: {code} {problem}")]
    Other {
        /// Which server.
        server: String,
        /// The first word of the error: `ERR`, or a script's own.
        code: String,
        /// The rest of it.
        problem: String,
    },
}

impl Failure {
    /// What an error of the library means, or of the server behind it.
    pub(super) fn of(node: &Node, error: &RedisError) -> Self {
        let server = node.to_string();
        let replies = error.clone().into_server_errors();
        if let Some((_, reply)) = replies.as_ref().and_then(|replies| replies.first()) {
            return Self::of_reply(server, reply.code(), reply.details().unwrap_or_default());
        }
        match (error.kind(), error.detail()) {
            (ErrorKind::Parse, _) => {
                Self::Garbage { server, problem: "it does not speak the protocol of Redis".into() }
            }
            // A client's certificate that its key is not for.
            (ErrorKind::InvalidClientConfig, Some(detail)) => Self::Certificates { problem: detail.into() },
            _ => Self::of_io(server, error),
        }
    }

    fn of_io(server: String, error: &RedisError) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionRefused, ConnectionReset, InvalidData, NotFound, TimedOut, UnexpectedEof,
            WouldBlock,
        };
        // The library keeps it in an `Arc`.
        let inner = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
        let problem = match inner.and_then(|inner| inner.downcast_ref()).map(io::Error::kind) {
            Some(WouldBlock | TimedOut) => "no answer in time".into(),
            Some(ConnectionRefused) => "connection refused".into(),
            Some(NotFound) => "there is no such socket".into(),
            Some(UnexpectedEof | ConnectionReset | BrokenPipe) => "it closed the connection".into(),
            Some(InvalidData) => return Self::Garbage { server, problem: format!("TLS failed ({error})") },
            _ => error.to_string(),
        };
        Self::Unreachable { server, problem }
    }

    fn of_reply(server: String, code: &str, detail: &str) -> Self {
        let (code, detail) = inner_error(code, detail);
        let problem = without_values(detail);
        let begins = |starts: &[&str]| starts.iter().any(|start| detail.starts_with(start));
        match code {
            "NOAUTH" | "WRONGPASS" => Self::Auth { server, problem },
            "ERR" if begins(&ABOUT_LOGIN) => Self::Auth { server, problem },
            "NOPERM" | "DENIED" => Self::Denied { server, problem },
            "ERR" if begins(&DENIED_TO_SCRIPT) => Self::Denied { server, problem },
            "READONLY" => Self::ReadOnly { server },
            "OOM" | "MISCONF" => Self::Full { server, problem },
            "LOADING" | "BUSY" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "NOREPLICAS" => {
                Self::NotReady { server, problem }
            }
            "MOVED" | "ASK" => {
                Self::NotReady { server, problem: "the nodes of the cluster send in circles".into() }
            }
            "ERR" if detail.starts_with("max number of clients") => Self::NotReady { server, problem },
            "WRONGTYPE" => Self::WrongType { server },
            _ => Self::Other { server, code: code.into(), problem },
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let kind = match &failure {
            Failure::Denied { .. } => Failing::Denied,
            Failure::Unreachable { .. } => Failing::Unreachable,
            Failure::NotReady { .. } => Failing::Busy,
            _ => Failing::Other,
        };
        Self::backend(kind, failure)
    }
}

/// Answers about a login that have the general code, as servers without users give them; the last one is for a long request
/// without a login.
const ABOUT_LOGIN: [&str; 4] =
    ["AUTH ", "Client sent AUTH", "invalid password", "Protocol error: unauthenticated"];

/// What a script may not call has the general code, too: in Redis 7.0, and in later ones and Valkey.
const DENIED_TO_SCRIPT: [&str; 2] = ["The user executing the script can't", ACL_FAILURE];

const ACL_FAILURE: &str = "ACL failure in script: ";

/// The error of a command that a script called: servers before 7.0 wrap it.
fn inner_error<'a>(code: &'a str, detail: &'a str) -> (&'a str, &'a str) {
    const WRAPPED: [&str; 7] = ["OOM", "READONLY", "WRONGTYPE", "NOPERM", "MISCONF", "NOREPLICAS", "LOADING"];
    if code == "ERR" && detail.starts_with("Error running script") {
        for part in detail.split(": ").map(|part| part.trim_start_matches('-')) {
            if let Some((word, rest)) = part.split_once(' ')
                && WRAPPED.contains(&word)
            {
                return (word, rest);
            }
        }
    }
    (code, detail)
}

/// What the server says, without the arguments that it repeats.
fn without_values(detail: &str) -> String {
    let detail = detail.strip_prefix(ACL_FAILURE).unwrap_or(detail);
    let end =
        [", with args beginning", " script: ", "\n", "\r"].iter().filter_map(|end| detail.find(end)).min();
    let detail = detail[..end.unwrap_or(detail.len())].trim_end_matches(['.', ' ']);
    detail.chars().filter(|c| !c.is_control()).take(300).collect()
}
