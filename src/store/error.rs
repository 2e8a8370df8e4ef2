//! Why a store failed, in kinds that callers act on, independent of the store.
//!
//! Each store converts its own errors to these, in its own folder.

use std::path::PathBuf;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder could not be used.
    #[error("{path}: {problem}. {remedy}")]
    Unusable {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// A stored value cannot be read.
    #[error("store: {0}")]
    Damaged(String),
    /// Too many concurrent writers; all retries failed.
    #[error(
        "the shared store is busy: too many concurrent writes. Nothing was recorded; the next hook retries"
    )]
    Contended,
    /// The database or the server failed.
    #[error(transparent)]
    Backend(BackendError),
}

/// A failure of the database or the server behind a store.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct BackendError {
    /// What the failure means to a caller.
    pub kind: BackendErrorKind,
    /// The underlying error. Not a `source`, or printing the chain would print it twice.
    pub error: Box<dyn std::error::Error + Send + Sync>,
}

/// What a backend failure means to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendErrorKind {
    /// The user lacks permission.
    Denied,
    /// Stored data is damaged.
    Corrupt,
    /// The server cannot be reached, or did not answer in time.
    Unreachable,
    /// Other users keep it busy.
    Busy,
    /// Anything else.
    Other,
}

impl StoreError {
    /// A failure of the database or the server.
    pub(super) fn backend(
        kind: BackendErrorKind,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Backend(BackendError { kind, error: error.into() })
    }

    /// Whether the user lacks permission; the store itself works.
    pub fn is_denied(&self) -> bool {
        self.is_backend(BackendErrorKind::Denied)
    }

    /// Whether the store is unreachable, or did not answer in time. Another call would wait just as long.
    pub fn is_out_of_reach(&self) -> bool {
        self.is_backend(BackendErrorKind::Unreachable)
    }

    /// Whether the store is damaged beyond repair: it must be quarantined.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Damaged(_)) || self.is_backend(BackendErrorKind::Corrupt)
    }

    /// Whether it is a failure of this kind.
    pub(super) fn is_backend(&self, kind: BackendErrorKind) -> bool {
        matches!(self, Self::Backend(error) if error.kind == kind)
    }
}

/// The result of a store.
pub type Result<T> = std::result::Result<T, StoreError>;
