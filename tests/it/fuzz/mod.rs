//! Invalid and unusual inputs: on standard input of the hooks, and in transcripts. Among them are halves of surrogate
//! pairs, zeros, torn records, lines without an end and files that shrink.
//!
//! `FUSEBOX_TEST_FUZZ=full` runs the full numbers: 1,000,000 inputs per hook in process, 2,000 through each executable.
//! `FUSEBOX_TEST_SEED` sets another seed.

mod endless;
mod lines;
mod mutate;
mod stdin;

/// The number of inputs: `part` in a normal run, `whole` in a full one.
pub fn amount(part: usize, whole: usize) -> usize {
    if std::env::var("FUSEBOX_TEST_FUZZ").is_ok_and(|mode| mode == "full") { whole } else { part }
}

pub fn seed() -> u64 {
    std::env::var("FUSEBOX_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
