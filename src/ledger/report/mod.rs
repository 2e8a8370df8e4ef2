//! Reading the ledger for reports. [`read`] queries the files; everything else here is pure: [`tally`] sums, [`calendar`] dates
//! records in a time zone, [`blocks`] finds the five-hour blocks, [`rows`] groups and sorts, [`selection`] says what
//! to read and to show, [`overview`] sums recent periods, [`json`] writes both for scripts.

pub mod blocks;
pub mod calendar;
pub mod json;
pub mod overview;
pub mod read;
pub mod rows;
pub mod selection;
pub mod tally;
