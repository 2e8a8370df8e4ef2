//! Classifies SQLite's errors by code.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;
use crate::store::error::BackendErrorKind;

/// An SQLite error, as displayed.
#[derive(Debug, thiserror::Error)]
#[error("store: {0}")]
struct SqliteError(#[source] Error);

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::backend(kind(&error), SqliteError(error))
    }
}

fn kind(error: &Error) -> BackendErrorKind {
    match error {
        // A value has another type than was written, in a page that looks intact.
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..) => BackendErrorKind::Corrupt,
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => BackendErrorKind::Corrupt,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => BackendErrorKind::Busy,
            // A missing table has only the generic code; the schema check detects it.
            _ => BackendErrorKind::Other,
        },
    }
}
