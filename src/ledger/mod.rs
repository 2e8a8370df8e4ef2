//! The ledger: one record for each response, and each recorded call of another platform, with its price at that time.

pub mod report;
