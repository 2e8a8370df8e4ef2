//! The Redis store: budgets that several machines share.

pub mod address;
pub mod connection;
