//! Why a store could not answer.

use std::path::PathBuf;

use super::redis::connection::Failure;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder could not be used.
    #[error("{path}: {problem}. {remedy}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// The database refused.
    #[error("store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored value cannot be read.
    #[error("store: {0}")]
    Damaged(String),
    /// The shared store did not do it.
    #[error("{0}")]
    Redis(#[from] Failure),
    /// Others were always faster.
    #[error(
        "the shared store is changed by too many at once; nothing was recorded, the next hook reads it again"
    )]
    Contended,
}

impl StoreError {
    /// Whether whoever is logged in may not do this: the store itself is well.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Redis(Failure::Denied { .. }))
    }

    /// Whether the store is damaged: it must be set aside, nothing will make it work again.
    pub fn is_corrupt(&self) -> bool {
        use rusqlite::{Error, ErrorCode};
        match self {
            Self::Unusable { .. } | Self::Redis(_) | Self::Contended => false,
            Self::Damaged(_) => true,
            // Values of another kind than were written, in pages that look sound.
            Self::Sqlite(
                Error::InvalidColumnType(..)
                | Error::FromSqlConversionFailure(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::Utf8Error(..),
            ) => true,
            Self::Sqlite(error) => {
                let code = error.sqlite_error_code();
                let is_schema_lost =
                    code == Some(ErrorCode::Unknown) && error.to_string().contains("no such ");
                is_schema_lost || matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            }
        }
    }
}

/// What the store answers.
pub type Result<T> = std::result::Result<T, StoreError>;
