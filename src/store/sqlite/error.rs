//! What SQLite's errors mean, by their codes.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;
use crate::store::error::BackendErrorKind;

/// An error of SQLite, as people read it.
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
        // Values of another kind than were written, in pages that look sound.
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..) => BackendErrorKind::Corrupt,
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => BackendErrorKind::Corrupt,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => BackendErrorKind::Busy,
            // A lost table, too, has but the general code: see the schema.
            _ => BackendErrorKind::Other,
        },
    }
}
