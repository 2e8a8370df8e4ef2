//! Reading the ledger for reports. [`read`] queries the files; everything else here is pure: [`tally`] sums, [`calendar`] dates
//! records in a time zone, [`blocks`] finds the five-hour blocks, [`rows`] groups, sorts and selects.

pub mod blocks;
pub mod calendar;
pub mod read;
pub mod rows;
pub mod tally;
