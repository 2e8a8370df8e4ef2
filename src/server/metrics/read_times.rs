//! How long the server's own reads of the store took.

use std::time::Duration;

/// The upper bounds of the buckets, in milliseconds.
const BOUNDS_MS: [u64; 12] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// How many reads took how long, since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadTimes {
    /// Reads by bucket; each is in one only.
    buckets: [u64; BOUNDS_MS.len()],
    count: u64,
    sum: Duration,
}

impl ReadTimes {
    /// Adds a read.
    pub fn add(&mut self, took: Duration) {
        if let Some(bucket) = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound)) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += took;
    }

    /// For each bucket its upper bound in seconds, and the reads that took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (String, u64)> {
        let mut sum = 0;
        let bucket = move |(bound, reads): (u64, u64)| {
            sum += reads;
            ((bound as f64 / 1e3).to_string(), sum)
        };
        BOUNDS_MS.into_iter().zip(self.buckets).map(bucket).chain([("+Inf".to_owned(), self.count)])
    }

    /// The number of reads, and the time that they took together, in seconds.
    pub fn count_and_seconds(&self) -> (u64, f64) {
        (self.count, self.sum.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_contain_those_below() {
        let mut times = ReadTimes::default();
        for ms in [1, 2, 30, 60_000] {
            times.add(Duration::from_millis(ms));
        }
        let buckets: Vec<(String, u64)> = times.cumulative().collect();
        assert_eq!(buckets[..3], [("0.001".into(), 1), ("0.005".into(), 2), ("0.01".into(), 2)]);
        assert_eq!(buckets[11..], [("10".into(), 3), ("+Inf".into(), 4)]);
        assert_eq!(times.count_and_seconds(), (4, 60.033));
    }
}
