//! Why Redis failed, in kinds that callers act on.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use crate::config::redis_address::Node;
use crate::store::StoreError;
use crate::store::error::BackendErrorKind;

/// Why Redis failed. Contains neither passwords nor values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the failure means to a caller.
    pub kind: FailureKind,
    /// The server.
    pub server: String,
    /// What happened, or the server's error.
    pub problem: String,
}

/// What a failure means to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The server is unreachable, or did not answer in time. The request may have run.
    Unreachable,
    /// The login failed, or is missing.
    Auth,
    /// The user lacks permission.
    Denied,
    /// The server is a replica.
    ReadOnly,
    /// The server is out of memory, or cannot write to its disk.
    Full,
    /// The server is loading data or running another script, or its cluster is incomplete: retrying later may work.
    NotReady,
    /// A key has another type.
    WrongType,
    /// The peer does not speak Redis or TLS, or is not trusted.
    Garbage,
    /// TLS files cannot be used.
    Certificates,
    /// Another error of the server, or of a script.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FailureKind as Kind;
        let text = match self.kind {
            Kind::Unreachable => {
                "cannot be reached: {}. Start Redis, or check store.redis_url and the network."
            }
            Kind::Auth => "refuses the login: {}. Check the user and the password file under [store].",
            Kind::Denied => "denies this: {}. Give the user the rights that `fusebox redis acl` prints.",
            Kind::ReadOnly => {
                "is a read-only replica: {}. Put the master or the sentinels in store.redis_url."
            }
            Kind::Full => "is full: {}. Give it more memory or disk space.",
            Kind::NotReady => "is not ready: {}. Wait, or check the server.",
            Kind::WrongType => "holds other data under a key of Fusebox: {}. Use another database or tenant.",
            Kind::Garbage => {
                "is not the Redis that was expected: {}. Check host, port and TLS in store.redis_url."
            }
            Kind::Certificates => {
                "cannot be reached over TLS: {}. Check ca, cert and key in store.redis_url."
            }
            Kind::Other => "answers with an error: {}. Check the server's log.",
        };
        write!(f, "Redis at {} {}", self.server, text.replacen("{}", &self.problem, 1))
    }
}

impl Error for Failure {}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, server: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { kind, server: server.to_string(), problem: problem.into() }
    }

    /// Classifies an error of the crate, or of the server.
    pub(super) fn from_error(node: &Node, error: &RedisError) -> Self {
        let replies = error.clone().into_server_errors();
        if let Some((_, reply)) = replies.as_ref().and_then(|replies| replies.first()) {
            return Self::from_reply(node, reply.code(), reply.details().unwrap_or_default());
        }
        match (error.kind(), error.detail()) {
            (ErrorKind::Parse, _) => {
                Self::new(FailureKind::Garbage, node, "it does not speak the Redis protocol")
            }
            // A client certificate with the wrong key.
            (ErrorKind::InvalidClientConfig, Some(detail)) => {
                Self::new(FailureKind::Certificates, node, detail)
            }
            _ => Self::from_io(node, error),
        }
    }

    fn from_io(node: &Node, error: &RedisError) -> Self {
        use io::ErrorKind as Io;
        // The crate wraps the error in an `Arc`.
        let inner = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
        let problem = match inner.and_then(|inner| inner.downcast_ref()).map(io::Error::kind) {
            Some(Io::WouldBlock | Io::TimedOut) => "no answer in time".into(),
            Some(Io::ConnectionRefused) => "connection refused".into(),
            Some(Io::NotFound) => "there is no such socket".into(),
            Some(Io::UnexpectedEof | Io::ConnectionReset | Io::BrokenPipe) => {
                "it closed the connection".into()
            }
            Some(Io::InvalidData) => {
                return Self::new(FailureKind::Garbage, node, format!("TLS failed ({error})"));
            }
            _ => error.to_string(),
        };
        Self::new(FailureKind::Unreachable, node, problem)
    }

    fn from_reply(node: &Node, code: &str, detail: &str) -> Self {
        use FailureKind as Kind;
        let begins = |starts: &[&str]| starts.iter().any(|start| detail.starts_with(start));
        let kind = match code {
            "NOAUTH" | "WRONGPASS" => Kind::Auth,
            "ERR" if begins(&ABOUT_LOGIN) => Kind::Auth,
            "NOPERM" | "DENIED" => Kind::Denied,
            "ERR" if begins(&DENIED_TO_SCRIPT) => Kind::Denied,
            "READONLY" => Kind::ReadOnly,
            "OOM" | "MISCONF" => Kind::Full,
            "LOADING" | "BUSY" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "NOREPLICAS" => Kind::NotReady,
            "MOVED" | "ASK" => Kind::NotReady,
            "ERR" if detail.starts_with("max number of clients") => Kind::NotReady,
            "WRONGTYPE" => Kind::WrongType,
            _ => Kind::Other,
        };
        let problem = match (code, kind) {
            ("MOVED", _) => "the nodes of the cluster redirect to each other".into(),
            ("ASK", _) => "the slot of the keys is moving to another node".into(),
            (_, Kind::Other) => format!("{code} {}", without_values(detail)),
            _ => without_values(detail),
        };
        Self::new(kind, node, problem)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Denied => BackendErrorKind::Denied,
            FailureKind::Unreachable => BackendErrorKind::Unreachable,
            FailureKind::NotReady => BackendErrorKind::Busy,
            _ => BackendErrorKind::Other,
        };
        Self::backend(kind, failure)
    }
}

/// Login errors with the generic code, from servers without users.
const ABOUT_LOGIN: [&str; 3] = ["AUTH ", "Client sent AUTH", "invalid password"];

/// Permission errors in scripts also have the generic code: in Redis 7.0, and in later versions and Valkey.
const DENIED_TO_SCRIPT: [&str; 2] = ["The user executing the script can't", ACL_FAILURE];

const ACL_FAILURE: &str = "ACL failure in script: ";

/// The server's error, without the arguments that it repeats.
fn without_values(detail: &str) -> String {
    let detail = detail.strip_prefix(ACL_FAILURE).unwrap_or(detail);
    let end =
        [", with args beginning", " script: ", "\n", "\r"].iter().filter_map(|end| detail.find(end)).min();
    let detail = detail[..end.unwrap_or(detail.len())].trim_end_matches(['.', ' ']);
    detail.chars().filter(|c| !c.is_control()).take(300).collect()
}
