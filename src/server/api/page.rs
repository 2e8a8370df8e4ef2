//! Pages of lists.

use serde::Deserialize;
use utoipa::IntoParams;

/// Which part of a list to return.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// The most items to return.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    #[serde(default = "default_limit", deserialize_with = "limit")]
    limit: usize,
    /// How many items to leave out first.
    #[param(minimum = 0, default = 0)]
    #[serde(default)]
    offset: usize,
}

/// The most items of a page.
const MOST: usize = 1000;

fn default_limit() -> usize {
    100
}

fn limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let limit = usize::deserialize(deserializer)?;
    if (1..=MOST).contains(&limit) {
        return Ok(limit);
    }
    Err(serde::de::Error::custom(format!("limit must be 1 to {MOST}")))
}

impl Page {
    /// Keeps the items of this page, and returns how many there were before.
    pub fn select<T>(self, items: impl IntoIterator<Item = T>) -> (Vec<T>, usize) {
        let mut total = 0;
        let mut kept = Vec::new();
        for item in items {
            if total >= self.offset && kept.len() < self.limit {
                kept.push(item);
            }
            total += 1;
        }
        (kept, total)
    }
}
