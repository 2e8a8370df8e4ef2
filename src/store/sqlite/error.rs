//! What SQLite's errors mean, by their codes.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;
use crate::store::error::Failing;

/// SQLite's error, as people read it.
#[derive(Debug, thiserror::Error)]
#[error("store: {0}")]
struct Refusal(#[source] Error);

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::backend(kind(&error), Refusal(error))
    }
}

fn kind(error: &Error) -> Failing {
    match error {
        // Values of another kind than were written, in pages that look sound.
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..) => Failing::Corrupt,
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Failing::Corrupt,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failing::Busy,
            // A lost table, too, has but the general code: see the schema.
            _ => Failing::Other,
        },
    }
}
