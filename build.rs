//! Turns the price lists in `src/prices` into static tables without pointers, which cost a process nothing to load:
//! rows of rates, lists of rows, models, and their names. `src/prices/table.rs` reads them.

#[path = "src/prices/name.rs"]
#[allow(dead_code)]
mod name;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

const LIST: &str = "src/prices/genai-prices.json";
const OVERLAY: &str = "src/prices/overlay.json";

/// The classes, in the order of `Rates`. The last one is dollars per 1,000, the others are per million tokens.
const CLASSES: [&str; 6] =
    ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "web_search"];
const WEB_SEARCH: usize = 5;

/// Picodollars per token, and nano-dollars per web search.
type Row = [u32; 6];

/// A price of a list: when it applies, from how many prompt tokens on, its rates, whether it is for fast mode.
type Price = (usize, u32, usize, bool);

/// When a price applies: days since 1970 from and until (exclusive), minutes of the day from and to.
type When = (u16, u16, u16, u16);

#[allow(clippy::disallowed_methods, reason = "cargo says where to write")]
fn main() {
    for path in [LIST, OVERLAY, "src/prices/name.rs", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let list = read(LIST);
    let overlay = read(OVERLAY);
    let mut table = Table::default();
    let known = |id: &Value| {
        items(&overlay["models"]).chain(items(&list["vendors"]["anthropic"])).any(|row| row["model"] == *id)
    };
    let strange = items(&overlay["us_only"]["models"]).find(|id| !known(id));
    assert!(strange.is_none(), "{OVERLAY}: us_only: no such model: {strange:?}");
    for vendor in strings(&overlay["vendors"]) {
        table.vendor(vendor, models(&list, &overlay, vendor), &overlay);
    }
    table.drop_dated_names();
    table.name_patterns();
    let origin = format!("genai-prices {} of {}", text(&list["version"]), text(&list["date"]));
    let out = std::env::var("OUT_DIR").expect("set by cargo");
    std::fs::write(Path::new(&out).join("prices.rs"), table.code(&origin)).expect("writable");
}

fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    items(value).map(text)
}

/// The models of a vendor, with our rows over those of the list.
fn models(list: &Value, overlay: &Value, vendor: &str) -> Vec<Map<String, Value>> {
    let found = items(&list["vendors"][vendor]).map(|model| model.as_object().expect("an object").clone());
    let mut all: Vec<Map<String, Value>> = found.collect();
    assert!(!all.is_empty(), "{OVERLAY}: no models of {vendor}");
    // Other vendors' prices of Claude models: a name does not say who sold it.
    all.retain(|model| vendor == "anthropic" || !name::is_claude(text(&model["model"])));
    for row in items(&overlay["models"]).filter(|_| vendor == "anthropic") {
        for key in ["source", "checked", "why"] {
            assert!(row[key].is_string(), "{OVERLAY}: {row}: {key} is missing");
        }
        let place =
            |all: &[Map<String, Value>], id: &Value| all.iter().position(|model| model["model"] == *id);
        let at = place(&all, &row["model"]).unwrap_or_else(|| {
            let like = place(&all, &row["like"]).unwrap_or_else(|| panic!("{OVERLAY}: no such model: {row}"));
            all.push(all[like].clone());
            all.len() - 1
        });
        all[at].extend(row.as_object().expect("an object").clone());
    }
    all
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    whens: Vec<When>,
    lists: Vec<Vec<Price>>,
    /// The list, the family, and whether inference in the United States costs more.
    models: Vec<(usize, usize, bool)>,
    families: Vec<String>,
    names: BTreeMap<String, usize>,
    patterns: Vec<(String, usize)>,
    /// For people: `vendor<tab>model<tab>source`.
    labels: String,
}

impl Table {
    fn vendor(&mut self, vendor: &str, models: Vec<Map<String, Value>>, overlay: &Value) {
        for model in models {
            let id = text(&model["model"]);
            let bare = name::canonical(id);
            let names: Vec<(String, bool)> = strings(&model["match"]).map(key).collect();
            // A maker's own price applies, whoever resells it; only free offers are the reseller's.
            let is_resold = |name: &str| {
                vendor == "openrouter" && !name.contains(':') && self.resolves(name::undated(name))
            };
            let (patterns, exact): (Vec<_>, Vec<_>) =
                names.into_iter().partition(|(_, is_pattern)| *is_pattern);
            let is_taken = |name: &str| {
                let earlier = self.patterns.iter().any(|(pattern, _)| name::matches(pattern, name));
                earlier || self.names.contains_key(name) || is_resold(name)
            };
            let exact: Vec<String> =
                exact.into_iter().map(|(name, _)| name).filter(|name| !is_taken(name)).collect();
            if exact.is_empty() && patterns.is_empty() {
                continue;
            }
            let index = self.models.len();
            self.names.extend(exact.into_iter().map(|name| (name, index)));
            self.patterns.extend(patterns.into_iter().map(|(pattern, _)| (pattern, index)));
            let family = name::family(&bare).to_owned();
            let family = intern(&mut self.families, family);
            let list = self.list(&model, vendor, overlay);
            let us_only = strings(&overlay["us_only"]["models"]).any(|name| name == id);
            self.models.push((list, family, us_only));
            let source = match (&model.get("checked"), model.get("source")) {
                (Some(checked), Some(source)) => format!("{}, {}", text(source), text(checked)),
                _ => String::new(),
            };
            let _ = writeln!(self.labels, "{vendor}\t{id}\t{source}");
        }
    }

    fn resolves(&self, name: &str) -> bool {
        self.names.contains_key(name) || self.patterns.iter().any(|(pattern, _)| name::matches(pattern, name))
    }

    /// Removes the names that are found without their date as well.
    fn drop_dated_names(&mut self) {
        let all = self.names.clone();
        let price = |name: &str| all.get(name).map(|model| &self.models[*model]);
        self.names.retain(|name, _| match name::undated(name) {
            undated if undated == name => true,
            undated => price(undated) != price(name),
        });
    }

    /// Names the text of each pattern, so that a model is found without a look at all patterns.
    fn name_patterns(&mut self) {
        let (patterns, listed) = (&self.patterns, self.names.clone());
        for name in patterns.iter().map(|(pattern, _)| pattern.trim_matches('*')) {
            let undated = name::undated(name);
            let is_like = |pattern: &str| name::matches(pattern, name) || name::matches(pattern, undated);
            let first = patterns.iter().find(|(pattern, _)| is_like(pattern));
            if let Some((_, model)) = first.filter(|_| !listed.contains_key(undated)) {
                self.names.entry(name.to_owned()).or_insert(*model);
            }
        }
    }

    /// The list of a model's prices. The first one always applies; of those that apply, the last one counts.
    fn list(&mut self, model: &Map<String, Value>, vendor: &str, overlay: &Value) -> usize {
        let mut list = Vec::new();
        for (key, is_fast) in [("prices", false), ("fast", true)] {
            for (i, price) in model.get(key).into_iter().flat_map(items).enumerate() {
                let when = intern(&mut self.whens, if i == 0 && !is_fast { ALWAYS } else { when(price) });
                let mut base = self.row(price, None, vendor, overlay);
                list.push((when, 0, intern(&mut self.rows, base), is_fast));
                for tier in items(&price["tiers"]) {
                    base = self.row(tier, Some(base), vendor, overlay);
                    let above = tier["above"].as_u64().expect("a number");
                    let above = u32::try_from(above).expect("a number of tokens");
                    list.push((when, above, intern(&mut self.rows, base), is_fast));
                }
            }
        }
        intern(&mut self.lists, list)
    }

    /// The rates of a price. Without a price of their own, cached tokens are billed as input.
    fn row(&self, price: &Value, below: Option<Row>, vendor: &str, overlay: &Value) -> Row {
        let rate = |class: &str| price[class].as_f64().map(|dollars| (dollars * 1e6).round() as u32);
        let mut row = below.unwrap_or_default();
        row[0] = rate("input").unwrap_or_else(|| panic!("no input: {price}"));
        for (i, class) in CLASSES.iter().enumerate().skip(1) {
            row[i] = match (rate(class), *class) {
                (Some(rate), _) => rate,
                (None, "output") => panic!("no output: {price}"),
                (None, "cache_write_1h") => {
                    // Guessing from the other rates would be wrong for Claude models, which have both kinds of writes.
                    let is_sold = vendor == "anthropic" && !price["cache_write_5m"].is_null();
                    assert!(!is_sold, "{OVERLAY}: the rate of writes for one hour is missing: {price}");
                    row[2]
                }
                (None, "web_search") if below.is_some() => row[WEB_SEARCH],
                (None, "web_search") if overlay["web_search"]["vendor"] == vendor => {
                    (overlay["web_search"]["price"].as_f64().expect("a price") * 1e6) as u32
                }
                (None, "web_search") => 0,
                (None, _) => row[0],
            };
        }
        row
    }

    fn code(&self, origin: &str) -> String {
        let mut code = String::new();
        let mut out = |line: String| {
            code.push_str(&line);
            code.push('\n');
        };
        let label = |of: &str| format!("static {of}");
        out(format!("{}: &str = {origin:?};", label("ORIGIN")));
        let mut rates: Vec<u32> = self.rows.iter().flatten().copied().collect();
        rates.sort_unstable();
        rates.dedup();
        let index = |rate: &u32| rates.binary_search(rate).expect("one of the rates");
        let rows: Vec<Vec<usize>> = self.rows.iter().map(|row| row.iter().map(index).collect()).collect();
        out(format!("{}: [u32; {}] = {rates:?};", label("RATES"), rates.len()));
        out(format!("{}: [[u16; 6]; {}] = {rows:?};", label("ROWS"), rows.len()));
        out(format!("{}: [(u16, u16, u16, u16); {}] = {:?};", label("WHENS"), self.whens.len(), self.whens));
        let prices: Vec<_> = self.lists.iter().flatten().collect();
        let mut ends = 0;
        let list_ends: Vec<usize> = self.lists.iter().map(|list| grow(&mut ends, list.len())).collect();
        let as_code: String = prices.iter().fold(String::new(), |mut text, (when, above, row, is_fast)| {
            let _ = write!(text, "Price {{ above: {above}, row: {row}, when: {when}, is_fast: {is_fast} }},");
            text
        });
        out(format!("{}: [Price; {}] = [{as_code}];", label("PRICES"), prices.len()));
        out(format!("{}: [u16; {}] = {list_ends:?};", label("LIST_ENDS"), list_ends.len()));
        let as_code = self.models.iter().fold(String::new(), |mut text, (list, family, us_only)| {
            let _ = write!(text, "Entry {{ list: {list}, family: {family}, costs_more_in_us: {us_only} }},");
            text
        });
        out(format!("{}: [Entry; {}] = [{as_code}];", label("MODELS"), self.models.len()));
        out(format!("{}: &str = {:?};", label("FAMILIES"), self.families.join("\n")));
        let mut end = 0;
        let ends: Vec<usize> = self.names.keys().map(|name| grow(&mut end, name.len())).collect();
        let models: Vec<usize> = self.names.values().copied().collect();
        let text: String = self.names.keys().map(String::as_str).collect();
        out(format!("{}: &str = {text:?};", label("NAMES")));
        out(format!("{}: [u16; {}] = {ends:?};", label("NAME_ENDS"), ends.len()));
        out(format!("{}: [u16; {}] = {models:?};", label("NAME_MODELS"), models.len()));
        let text: Vec<&str> = self.patterns.iter().map(|(pattern, _)| pattern.as_str()).collect();
        let models: Vec<usize> = self.patterns.iter().map(|(_, model)| *model).collect();
        out(format!("{}: &str = {:?};", label("PATTERNS"), text.join("\n")));
        out(format!("{}: [u16; {}] = {models:?};", label("PATTERN_MODELS"), models.len()));
        out(format!("{}: &str = {:?};", label("LABELS"), self.labels));
        code
    }
}

/// A name or pattern as it is looked up, and whether it is a pattern.
fn key(written: &str) -> (String, bool) {
    let core = written.trim_matches('*');
    let canonical = name::canonical(core);
    (written.replace(core, &canonical), core != written)
}

const ALWAYS: When = (0, u16::MAX, 0, 24 * 60);

fn when(price: &Value) -> When {
    let mut when = ALWAYS;
    if let Some(from) = price["from"].as_str() {
        when.0 = day(from);
    }
    if let Some(until) = price["until"].as_str() {
        when.1 = day(until);
    }
    if let Some((from, to)) = price["hours"].as_str().and_then(|hours| hours.split_once('-')) {
        (when.2, when.3) = (minute(from), minute(to));
    }
    when
}

/// Days from 1970-01-01 to a date.
fn day(date: &str) -> u16 {
    let parts: Vec<u64> = date.split('-').map(|part| part.parse().expect("a date")).collect();
    let [year, month, day] = parts[..] else { panic!("not a date: {date}") };
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let months = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let days = years + months.iter().take(month as usize - 1).sum::<u64>() + day - 1;
    u16::try_from(days).expect("a date of this time")
}

fn minute(time: &str) -> u16 {
    let (hours, minutes) = time.split_once(':').expect("hours and minutes");
    hours.parse::<u16>().expect("hours") * 60 + minutes.parse::<u16>().expect("minutes")
}

/// The index of `value` in `all`, where it is added if it is new.
fn intern<T: PartialEq>(all: &mut Vec<T>, value: T) -> usize {
    all.iter().position(|other| *other == value).unwrap_or_else(|| {
        all.push(value);
        all.len() - 1
    })
}

fn grow(end: &mut usize, by: usize) -> usize {
    *end += by;
    *end
}
