//! Five-hour blocks, as ccusage defines them: a block starts at the full hour (UTC) of its first record. The next one starts
//! with the first record that is more than five hours after that hour, or after the record before it. So a record
//! exactly five hours after the start still belongs to the block.

use super::tally::Tally;
use crate::domain::time::Timestamp;

const HOUR_MS: i64 = 3600 * 1000;
const MINUTE_MS: f64 = 60_000.0;

/// The length of a block, in milliseconds.
pub const BLOCK_MS: i64 = 5 * HOUR_MS;

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The full hour of its first record.
    pub start: Timestamp,
    /// The time of its first record.
    pub first: Timestamp,
    /// The time of its last record.
    pub last: Timestamp,
}

impl Block {
    /// Five hours after the start.
    pub fn end(self) -> Timestamp {
        self.start.plus_millis(BLOCK_MS)
    }

    /// Whether records at `now` would belong to this block.
    pub fn is_active(self, now: Timestamp) -> bool {
        now < self.end() && now.millis_since(self.last) < BLOCK_MS
    }
}

/// The blocks of records at these times, in any order, by time.
pub fn blocks(mut times: Vec<Timestamp>) -> Vec<Block> {
    times.sort_unstable();
    let mut blocks: Vec<Block> = Vec::new();
    for at in times {
        match blocks.last_mut() {
            Some(block) if at <= block.end() && at.millis_since(block.last) <= BLOCK_MS => block.last = at,
            _ => {
                let start = Timestamp(at.0.div_euclid(HOUR_MS).saturating_mul(HOUR_MS));
                blocks.push(Block { start, first: at, last: at });
            }
        }
    }
    blocks
}

/// The block of a record; `None` if it is in none of these.
pub fn block_at(blocks: &[Block], at: Timestamp) -> Option<&Block> {
    let after = blocks.partition_point(|block| block.first <= at);
    blocks[..after].last().filter(|block| at <= block.last)
}

/// How fast a block is being used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnRate {
    /// Tokens of all classes per minute, between the first and the last record.
    pub tokens_per_minute: f64,
    /// Input and output only.
    pub fresh_tokens_per_minute: f64,
    /// Dollars per hour.
    pub usd_per_hour: f64,
}

/// What a block comes to if its use goes on like this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// Minutes until the block ends.
    pub remaining_minutes: u64,
    /// Tokens of all classes at its end.
    pub tokens: u64,
    /// Dollars at its end.
    pub usd: f64,
}

/// The burn rate and the projection of an active block. `None`: it is not active, or has records at one moment only.
pub fn burn(block: Block, tally: Tally, now: Timestamp) -> Option<(BurnRate, Projection)> {
    let minutes = block.last.millis_since(block.first) as f64 / MINUTE_MS;
    if !block.is_active(now) || minutes <= 0.0 {
        return None;
    }
    let usd = crate::domain::money::usd(tally.nanos);
    let fresh = tally.usage.input.saturating_add(tally.usage.output);
    let rate = BurnRate {
        tokens_per_minute: tally.usage.total() as f64 / minutes,
        fresh_tokens_per_minute: fresh as f64 / minutes,
        usd_per_hour: usd / minutes * 60.0,
    };
    let remaining = (block.end().millis_since(now) as f64 / MINUTE_MS).round();
    let projection = Projection {
        remaining_minutes: remaining as u64,
        tokens: (tally.usage.total() as f64 + rate.tokens_per_minute * remaining).round() as u64,
        usd: ((usd + rate.usd_per_hour / 60.0 * remaining) * 100.0).round() / 100.0,
    };
    Some((rate, projection))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(texts: &[&str]) -> Vec<Timestamp> {
        texts.iter().map(|text| Timestamp::parse(text).unwrap()).collect()
    }

    /// What ccusage 20.0.24 answers for records at these times.
    #[test]
    fn edges_are_those_of_ccusage() {
        let at = times(&[
            "2026-08-01T10:10:00Z",
            "2026-08-01T10:30:00Z",
            "2026-08-01T15:00:00Z",
            "2026-08-01T15:00:00.001Z",
            "2026-08-02T10:00:00Z",
            "2026-08-02T15:00:00Z",
            "2026-08-02T20:00:00.001Z",
            "2026-08-03T01:00:00.001Z",
            "2026-08-03T10:10:00Z",
            "2026-08-03T22:10:00Z",
            "2026-08-04T01:10:00Z",
            "2026-08-04T06:10:00Z",
        ]);
        let starts: Vec<String> = blocks(at).iter().map(|block| block.start.to_rfc3339()).collect();
        assert_eq!(
            starts,
            [
                "2026-08-01T10:00:00Z",
                "2026-08-01T15:00:00Z",
                "2026-08-02T10:00:00Z",
                "2026-08-02T20:00:00Z",
                "2026-08-03T01:00:00Z",
                "2026-08-03T10:00:00Z",
                "2026-08-03T22:00:00Z",
                "2026-08-04T06:00:00Z",
            ]
        );
    }

    /// What ccusage 20.0.24 answered at 20:16:34 for these records.
    #[test]
    fn the_burn_rate_is_that_of_ccusage() {
        let at = times(&["2026-11-30T19:26:33.250Z", "2026-11-30T20:06:33.250Z", "2026-11-30T20:16:34Z"]);
        let block = blocks(at[..2].to_vec())[0];
        let usage = crate::domain::usage::Usage {
            input: 121,
            output: 2220,
            cache_write_5m: 3000,
            cache_read: 6000,
            ..Default::default()
        };
        let tally = Tally { usage, nanos: 46_713_000, ..Tally::default() };
        let (rate, projection) = burn(block, tally, at[2]).unwrap();
        assert!((rate.tokens_per_minute - 283.525).abs() < 1e-9, "{rate:?}");
        assert!((rate.fresh_tokens_per_minute - 58.525).abs() < 1e-9, "{rate:?}");
        assert!((rate.usd_per_hour - 0.070_069_5).abs() < 1e-12, "{rate:?}");
        assert_eq!(projection, Projection { remaining_minutes: 223, tokens: 74_567, usd: 0.31 });
        assert_eq!(burn(block, tally, block.end()), None);
    }

    proptest! {
        #[test]
        fn each_record_is_in_one_block(
            ms in prop::collection::vec(0_i64..300 * 3_600_000, 1..60), order in any::<prop::sample::Index>(),
        ) {
            let times: Vec<Timestamp> = ms.into_iter().map(Timestamp).collect();
            let found = blocks(times.clone());
            for &at in &times {
                let block = block_at(&found, at).unwrap();
                prop_assert!(block.start <= at && at <= block.end());
                prop_assert_eq!(found.iter().filter(|block| block.first <= at && at <= block.last).count(), 1);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].last < pair[1].first);
                let next = pair[1].first;
                prop_assert!(next > pair[0].end() || next.millis_since(pair[0].last) > BLOCK_MS);
            }
            prop_assert!(found.iter().all(|block| block.start.0 % HOUR_MS == 0 && block.first.millis_since(block.start) < HOUR_MS));
            let mut turned = times;
            let by = order.index(turned.len());
            turned.rotate_left(by);
            prop_assert_eq!(blocks(turned), found);
        }
    }
}
