//! The built-in table, which `build.rs` generates from `genai-prices.json` and `overlay.json`: arrays and texts without
//! pointers, so that a process loads only the pages that it reads.

use super::{name, scaled};
use crate::domain::money::Rates;
use crate::domain::time::Timestamp;

include!(concat!(env!("OUT_DIR"), "/prices.rs"));

/// One price in a model's list. The last one that applies counts.
struct Price {
    /// It applies to prompts of more tokens than this.
    above: u32,
    /// The index of its row in `ROWS`, which has the index of each rate in `RATES`.
    row: u16,
    /// The index of its dates and hours in `WHENS`.
    when: u8,
    /// Whether it is for fast mode.
    is_fast: bool,
}

/// A model.
struct Entry {
    /// The index of its prices in `LIST_ENDS`.
    list: u16,
    /// The index of its family in `FAMILIES`.
    family: u8,
    /// Whether inference in the United States only costs more.
    costs_more_in_us: bool,
}

/// How fast mode differs from the standard speed where it is sold today (`overlay.json` and the pages named there).
const FAST_FACTOR: u64 = 2;

/// A model in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model(u16);

/// A model's vendor, its name in the price list, and where its price is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Such as `anthropic`.
    pub vendor: &'static str,
    /// Such as `claude-opus-4-5`.
    pub model: &'static str,
    /// The source of a row of our own, with the date on which it was checked; empty: the price list.
    pub source: &'static str,
}

/// The price list behind the table, with its version and date.
pub fn origin() -> &'static str {
    ORIGIN
}

/// A price of a model's list, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// It applies to prompts of more tokens than this.
    pub above: u64,
    /// Whether it is for fast mode.
    pub is_fast: bool,
    /// Its rates.
    pub rates: Rates,
}

impl Model {
    /// Every model, in the order of the list.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..MODELS.len() as u16).map(Self)
    }

    /// The model with this name. `name` must be canonical.
    pub fn find(name: &str) -> Option<Self> {
        let undated = name::undated(name);
        let by_pattern = || {
            let mut patterns = PATTERNS.lines().zip(PATTERN_MODELS);
            patterns.find(|(pattern, _)| name::matches(pattern, name) || name::matches(pattern, undated))
        };
        let found = exact(name).or_else(|| exact(undated)).or_else(|| Some(by_pattern()?.1))?;
        Some(Self(found))
    }

    /// What the model is called.
    pub fn label(self) -> Label {
        let line = LABELS.lines().nth(usize::from(self.0)).unwrap_or_default();
        let mut parts = line.split('\t');
        let mut next = || parts.next().unwrap_or_default();
        Label { vendor: next(), model: next(), source: next() }
    }

    /// Whether inference in the United States only costs more.
    pub fn costs_more_in_us(self) -> bool {
        MODELS[usize::from(self.0)].costs_more_in_us
    }

    /// The rates of a request with a prompt of so many tokens. Where fast mode was not sold at that time, those of the
    /// last time that it was, or twice the standard rates, as an estimate.
    pub fn rates(self, at: Timestamp, prompt: u64, fast: bool) -> Rates {
        let applies = |price: &&Price| price.is_active(at) && price.holds(prompt);
        let last =
            |is_fast: bool| self.prices().iter().rfind(|price| price.is_fast == is_fast && applies(price));
        let standard = || last(false).map(Price::rates).unwrap_or_default();
        if !fast {
            return standard();
        }
        let once_sold = || self.prices().iter().rfind(|price| price.is_fast && price.holds(prompt));
        match last(true) {
            Some(price) => price.rates(),
            None => {
                Rates { is_estimate: true, ..once_sold().map_or_else(|| twice(standard()), Price::rates) }
            }
        }
    }

    /// The prices that apply at a time, for prompts of any length and at both speeds.
    pub fn tiers(self, at: Timestamp) -> Vec<Tier> {
        let sold = self.prices().iter().filter(|price| price.is_active(at));
        let starts = sold.map(|price| (price.is_fast, price.above));
        let mut starts: Vec<(bool, u32)> = starts.collect();
        starts.sort_unstable();
        starts.dedup();
        let tier = |(is_fast, above): (bool, u32)| {
            let above = u64::from(above);
            Tier { above, is_fast, rates: self.rates(at, above + u64::from(above > 0), is_fast) }
        };
        let mut tiers: Vec<Tier> = starts.into_iter().map(tier).collect();
        tiers.dedup_by(|tier, before| tier.rates == before.rates && tier.is_fast == before.is_fast);
        tiers
    }

    fn prices(self) -> &'static [Price] {
        let list = usize::from(MODELS[usize::from(self.0)].list);
        let start = list.checked_sub(1).map_or(0, |before| LIST_ENDS[before]);
        &PRICES[usize::from(start)..usize::from(LIST_ENDS[list])]
    }

    /// The models of a family; none if it is not known.
    pub fn family(name: &str) -> impl Iterator<Item = Self> {
        let family = FAMILIES.lines().position(|known| known == name);
        Self::all().filter(move |model| Some(usize::from(MODELS[usize::from(model.0)].family)) == family)
    }
}

/// The index of the model with exactly this name.
fn exact(name: &str) -> Option<u16> {
    let start = |i: usize| i.checked_sub(1).map_or(0, |before| usize::from(NAME_ENDS[before]));
    let (mut low, mut high) = (0, NAME_ENDS.len());
    while low < high {
        let middle = (low + high) / 2;
        match NAMES[start(middle)..start(middle + 1)].cmp(name) {
            std::cmp::Ordering::Equal => return Some(NAME_MODELS[middle]),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

impl Price {
    fn holds(&self, prompt: u64) -> bool {
        self.above == 0 || prompt > u64::from(self.above)
    }

    fn is_active(&self, at: Timestamp) -> bool {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let (from, until, start, end) = WHENS[usize::from(self.when)];
        // Times before 1970 have the first price.
        let day = at.0.div_euclid(DAY).max(0);
        let minute = at.0.rem_euclid(DAY) / 60_000;
        let (start, end) = (i64::from(start), i64::from(end));
        let in_hours =
            if end < start { minute >= start || minute < end } else { (start..end).contains(&minute) };
        in_hours && day >= i64::from(from) && (day < i64::from(until) || until == u16::MAX)
    }

    fn rates(&self) -> Rates {
        let [input, output, cache_write_5m, cache_write_1h, cache_read, web_search] =
            ROWS[usize::from(self.row)].map(|rate| u64::from(RATES[usize::from(rate)]));
        Rates { input, output, cache_write_5m, cache_write_1h, cache_read, web_search, is_estimate: false }
    }
}

fn twice(rates: Rates) -> Rates {
    scaled(rates, (FAST_FACTOR, 1))
}
