//! Pages of lists.

use axum::Json;
use axum::http::Uri;
use axum::http::header::{HeaderMap, HeaderValue, LINK};
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
    #[param(minimum = 0, maximum = 1_000_000_000, default = 0)]
    #[serde(default, deserialize_with = "offset")]
    offset: usize,
}

/// The most items of a page.
const MOST: usize = 1000;

/// The largest offset.
const LAST: usize = 1_000_000_000;

/// A page, with the header `Link: <…>; rel="next"` unless it is the last one.
pub type Listed<T> = (HeaderMap, Json<T>);

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

fn offset<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let offset = usize::deserialize(deserializer)?;
    if offset <= LAST {
        return Ok(offset);
    }
    Err(serde::de::Error::custom(format!("offset must be at most {LAST}")))
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

    /// The items of this page, and how many there are in all, like [`Self::select`], without looking at the others.
    pub fn part<T: Copy>(self, items: &[T]) -> (Vec<T>, usize) {
        let start = self.offset.min(items.len());
        let end = start.saturating_add(self.limit).min(items.len());
        (items[start..end].to_vec(), items.len())
    }

    /// The answer with this page of `total` items. `uri`: the request's, below `/api`.
    pub fn list<T>(self, uri: &Uri, total: usize, page: T) -> Listed<T> {
        let mut headers = HeaderMap::new();
        let next = self.offset.saturating_add(self.limit);
        if next < total {
            let others = uri.query().unwrap_or_default().split('&').filter(|pair| {
                !pair.is_empty() && !pair.starts_with("limit=") && !pair.starts_with("offset=")
            });
            let (limit, offset) = (format!("limit={}", self.limit), format!("offset={next}"));
            let query: Vec<&str> = others.chain([limit.as_str(), offset.as_str()]).collect();
            let link = format!("</api{}?{}>; rel=\"next\"", uri.path(), query.join("&"));
            if let Ok(value) = HeaderValue::from_str(&link) {
                headers.insert(LINK, value);
            }
        }
        (headers, Json(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_has_the_same_filters() {
        let uri = Uri::from_static("/budget?name=a%20b&offset=2&limit=2&all=true");
        let page = Page { limit: 2, offset: 2 };
        let link = |total| page.list(&uri, total, ()).0.get(LINK).cloned();
        let next = "</api/budget?name=a%20b&all=true&limit=2&offset=4>; rel=\"next\"";
        assert_eq!(link(5).expect("a link"), next);
        assert_eq!(link(4), None);
        for (page, found) in [(page, vec![3, 4]), (Page { limit: 9, offset: 4 }, vec![5])] {
            assert_eq!(page.select(1..=5), (found.clone(), 5));
            assert_eq!(page.part(&[1, 2, 3, 4, 5]), (found, 5));
        }
        assert_eq!(Page { limit: 2, offset: LAST }.part(&[1]), (vec![], 1));
    }
}
