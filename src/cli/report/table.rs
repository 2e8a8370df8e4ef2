//! The table of a report: as much detail as the terminal is wide enough for.

use anstyle::Style;
use comfy_table::Cell;
use textwrap::core::display_width;

use super::figures::{cost, thousands};
use crate::app::messages::amounts::grouped;
use crate::cli::render::bar::share_bar;
use crate::cli::render::table::{new_table, to_trimmed_text, truncate};
use crate::config::printable;
use crate::ledger::names::short_model;
use crate::ledger::report::tally::Tally;

/// Longer keys are cut.
const MAX_KEY: usize = 200;

/// How a row looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emphasis {
    /// As usual.
    Row,
    /// Part of the row above.
    Detail,
    /// The sum.
    Total,
    /// The name of the rows below, without figures.
    Heading,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// The first cell.
    pub key: String,
    /// Whether the key is a path, which is cut at its beginning.
    pub is_path: bool,
    /// The models' names, the dearest first.
    pub models: Vec<String>,
    /// The figures.
    pub tally: Tally,
    /// How it looks.
    pub emphasis: Emphasis,
}

impl TableRow {
    /// A row without models.
    pub fn new(key: &str, tally: Tally, emphasis: Emphasis) -> Self {
        Self { key: key.to_owned(), is_path: false, models: Vec::new(), tally, emphasis }
    }
}

/// The table of one report.
#[derive(Clone, Copy, Debug)]
pub struct TableStyle<'a> {
    /// The header of the first column.
    pub key: &'a str,
    /// Whether keys are ids or paths.
    pub has_long_keys: bool,
    /// Whether there is a column for models.
    pub has_models: bool,
}

/// What is shown in a given width.
#[derive(Clone, Copy)]
struct Layout {
    /// Columns of the key, at most.
    key: usize,
    /// Columns of the models, at most; 0: not shown.
    models: usize,
    /// Cache writes and reads in columns of their own.
    split: bool,
    /// Columns of the bar; 0: not shown.
    bar: usize,
    /// Cache and total in thousands.
    thousands: bool,
}

impl Layout {
    const fn split(key: usize, models: usize, bar: usize) -> Self {
        Self { key, models, split: true, bar, thousands: false }
    }

    const fn merged(key: usize, models: usize) -> Self {
        Self { key, models, split: false, bar: 0, thousands: false }
    }

    const fn narrow(key: usize, models: usize) -> Self {
        Self { thousands: true, ..Self::merged(key, models) }
    }
}

/// Layouts for keys that say little once they are cut, such as ids and paths, from the widest.
const LONG_KEYS: [Layout; 9] = [
    Layout::split(60, 40, 16),
    Layout::split(40, 24, 12),
    Layout::split(36, 13, 10),
    Layout::split(36, 0, 8),
    Layout::merged(36, 20),
    Layout::merged(36, 13),
    Layout::merged(36, 0),
    Layout::narrow(36, 13),
    Layout::narrow(36, 0),
];

/// Layouts, from the widest. Thirteen columns are enough for a model and `+3`. A bar says less than the models.
const LAYOUTS: [Layout; 18] = [
    Layout::split(60, 40, 16),
    Layout::split(40, 24, 12),
    Layout::split(36, 13, 10),
    Layout::split(24, 13, 8),
    Layout::split(24, 13, 4),
    Layout::split(36, 13, 0),
    Layout::split(24, 0, 8),
    Layout::split(36, 0, 0),
    Layout::merged(36, 32),
    Layout::merged(24, 20),
    Layout::merged(24, 13),
    Layout::merged(16, 13),
    Layout::narrow(24, 13),
    Layout::narrow(16, 13),
    Layout::merged(24, 0),
    Layout::narrow(36, 0),
    Layout::narrow(24, 0),
    Layout::narrow(12, 0),
];

/// The table as text, in the first layout that fits a terminal with this many columns (`None`: any number), if possible
/// without cutting a key: the end of a model's name may be all that tells it from another one.
pub fn render(rows: &[TableRow], style: TableStyle, columns: Option<usize>) -> String {
    let fits = |text: &str| {
        let plain = anstream::adapter::strip_str(text).to_string();
        columns.is_none_or(|columns| plain.lines().all(|line| display_width(line) <= columns))
    };
    let first: &[Layout] = if style.has_long_keys { &LONG_KEYS } else { &[] };
    let longest = rows.iter().map(|row| printable(&row.key, MAX_KEY).chars().count()).max().unwrap_or(0);
    let layouts = || first.iter().chain(&LAYOUTS);
    let whole = layouts().filter(|layout| layout.key >= longest);
    let mut tables = whole.chain(layouts()).map(|layout| table(rows, style, *layout));
    tables.find(|text| fits(text)).unwrap_or_else(|| lines(rows))
}

fn table(rows: &[TableRow], style: TableStyle, layout: Layout) -> String {
    let has_models = style.has_models && layout.models > 0;
    let mut header = vec![style.key];
    if has_models {
        header.push("MODELS");
    }
    header.extend(["INPUT", "OUTPUT"]);
    header.extend(match (layout.split, layout.thousands) {
        (true, _) => &["WRITE 5min", "WRITE 1h", "READ", "TOTAL"][..],
        (false, false) => &["CACHE", "TOTAL"],
        (false, true) => &["CACHE k", "TOTAL k"],
    });
    header.push("USD");
    if layout.bar > 0 {
        header.push("");
    }
    let right = &header[usize::from(has_models) + 1..header.len() - usize::from(layout.bar > 0)];
    let mut table = new_table(&header, right);
    let weight = weigh(rows);
    let largest = rows.iter().filter(|row| row.emphasis == Emphasis::Row).map(&weight).max().unwrap_or(0);
    let is_estimated = rows.iter().any(|row| row.tally.is_estimated());
    for row in rows {
        let look = match row.emphasis {
            Emphasis::Row => Style::new(),
            Emphasis::Detail => Style::new().dimmed(),
            Emphasis::Total | Emphasis::Heading => Style::new().bold(),
        };
        let cell =
            |text: String| Cell::new(if text.is_empty() { text } else { format!("{look}{text}{look:#}") });
        let mut cells = vec![cell(key(row, layout.key))];
        if row.emphasis == Emphasis::Heading {
            table.add_row(cells);
            continue;
        }
        if has_models {
            cells.push(cell(models(&row.models, layout.models)));
        }
        cells.extend(figures(row.tally, layout).map(cell));
        // Without a `+`, a space keeps the decimals in line.
        let pad = if is_estimated && !row.tally.is_estimated() { " " } else { "" };
        cells.push(cell(cost(row.tally) + pad));
        if layout.bar > 0 {
            let is_shown = row.emphasis == Emphasis::Row;
            let share = weight(row) as f64 / largest.max(1) as f64;
            cells.push(Cell::new(if is_shown { share_bar(share, layout.bar) } else { String::new() }));
        }
        table.add_row(cells);
    }
    to_trimmed_text(&table)
}

/// What bars show: the cost, or the tokens if nothing has a price.
fn weigh(rows: &[TableRow]) -> impl Fn(&TableRow) -> u64 {
    let has_price = rows.iter().any(|row| row.tally.nanos > 0);
    move |row| if has_price { row.tally.nanos } else { row.tally.usage.total() }
}

fn key(row: &TableRow, width: usize) -> String {
    let key = printable(&row.key, MAX_KEY);
    let text = if row.is_path { truncate_start(&key, width) } else { truncate(&key, width) };
    if row.emphasis == Emphasis::Detail {
        format!("  {}", truncate(&text, width.saturating_sub(2)))
    } else {
        text
    }
}

/// Cuts the beginning of `text`: the end of a path says most.
fn truncate_start(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(length - width.saturating_sub(1))).collect()
}

/// The models' short names, as many as fit; `+2` counts the others.
fn models(names: &[String], width: usize) -> String {
    let short: Vec<String> = names.iter().map(|name| printable(short_model(name), MAX_KEY)).collect();
    let with = |n: usize| {
        let others = if n < short.len() { format!(" +{}", short.len() - n) } else { String::new() };
        short[..n].join(", ") + &others
    };
    let fitting = (1..=short.len()).rev().map(with).find(|text| text.chars().count() <= width);
    fitting.unwrap_or_else(|| {
        let Some(first) = short.first() else { return String::new() };
        let others = if short.len() > 1 { format!(" +{}", short.len() - 1) } else { String::new() };
        truncate(first, width.saturating_sub(others.len())) + &others
    })
}

fn figures(tally: Tally, layout: Layout) -> impl Iterator<Item = String> {
    let usage = tally.usage;
    let large = if layout.thousands { thousands } else { grouped };
    let mut cells = vec![grouped(usage.input), grouped(usage.output)];
    if layout.split {
        cells.extend([usage.cache_write_5m, usage.cache_write_1h, usage.cache_read].map(grouped));
    } else {
        cells.push(large(tally.cache()));
    }
    cells.push(large(usage.total()));
    cells.into_iter()
}

/// Three lines per row, for very narrow terminals.
fn lines(rows: &[TableRow]) -> String {
    let of = |row: &TableRow| {
        if row.emphasis == Emphasis::Heading {
            return format!("{}\n", row.key);
        }
        let usage = row.tally.usage;
        format!(
            "{}  {}\n  in {} · out {}\n  cache {}\n",
            key(row, 24),
            cost(row.tally),
            grouped(usage.input),
            grouped(usage.output),
            grouped(row.tally.cache()),
        )
    };
    rows.iter().map(of).collect()
}
