//! Rows of a report: records grouped by a key, with a sum for each model.

use std::cmp::Ordering;
use std::collections::HashMap;

use chrono::NaiveDate;

use super::blocks::{Block, block_at, blocks};
use super::calendar::{Calendar, month_of};
use super::read::{Column, Name, Record};
use super::tally::Tally;
use crate::domain::time::Timestamp;

/// What records are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// Days.
    Day,
    /// Weeks.
    Week,
    /// Months.
    Month,
    /// Five-hour blocks.
    Block,
    /// Models.
    Model,
    /// Projects.
    Project,
    /// The values of a column.
    By(Column),
}

impl Grouping {
    /// The column that a query must read for it.
    pub fn column(self) -> Option<Column> {
        match self {
            Self::By(column) => Some(column),
            _ => None,
        }
    }

    /// Whether its rows are periods of time.
    pub fn is_period(self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month | Self::Block)
    }
}

/// What the records of a row have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A date: of a day, or of the first day of a week.
    Date(NaiveDate),
    /// The first day of a month.
    Month(NaiveDate),
    /// The start of a block.
    Block(Timestamp),
    /// A name, such as that of a model.
    Name(Name),
    /// The records have none, such as a call without a branch.
    None,
}

impl Key {
    /// `2026-11-30`, `2026-11`, `2026-11-30T15:00:00Z`, or the name.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Date(date) => Some(date.to_string()),
            Self::Month(date) => Some(date.format("%Y-%m").to_string()),
            Self::Block(start) => Some(start.to_rfc3339()),
            Self::Name(name) => Some(name.to_string()),
            Self::None => None,
        }
    }

    fn of(name: Option<&Name>) -> Self {
        name.map_or(Self::None, |name| Self::Name(Name::clone(name)))
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Key,
    /// The sum for each model: the dearest first, then by tokens and name.
    pub models: Vec<(Name, Tally)>,
    /// The sum of all models.
    pub tally: Tally,
    /// Number of records.
    pub records: u64,
    /// The time of its first record.
    pub first: Timestamp,
    /// The time of its last record.
    pub last: Timestamp,
    /// The project of its last record that has one, and the time of that record.
    pub project: Option<(Timestamp, Name)>,
}

/// Groups records. [`Grouping::Block`] makes no rows here: see [`group_by_block`].
pub fn group(records: &[Record], grouping: Grouping, calendar: &mut Calendar) -> Vec<Row> {
    group_by(records, |record| match grouping {
        Grouping::Day => Some(Key::Date(calendar.day(record.first))),
        Grouping::Week => {
            let day = calendar.day(record.first);
            Some(Key::Date(calendar.week_of(day)))
        }
        Grouping::Month => Some(Key::Month(month_of(calendar.day(record.first)))),
        Grouping::Block => None,
        Grouping::Model => Some(Key::Name(Name::clone(&record.model))),
        Grouping::Project => Some(Key::of(record.project.as_ref())),
        Grouping::By(_) => Some(Key::of(record.value.as_ref())),
    })
}

/// Groups the records that `is_counted` by five-hour block. The blocks are those of all records: a block is a window of the
/// account, whatever is selected from it. Also returns all blocks.
pub fn group_by_block(records: &[Record], is_counted: impl Fn(&Record) -> bool) -> (Vec<Row>, Vec<Block>) {
    let found = blocks(records.iter().map(|record| record.first).collect());
    let rows = group_by(records, |record| {
        let block = is_counted(record).then(|| block_at(&found, record.first)).flatten();
        block.map(|block| Key::Block(block.start))
    });
    (rows, found)
}

/// Groups records by the key that `key_of` finds, if any. Rows are in the order of their keys.
fn group_by(records: &[Record], mut key_of: impl FnMut(&Record) -> Option<Key>) -> Vec<Row> {
    let mut positions: HashMap<Key, usize> = HashMap::new();
    let mut rows: Vec<Row> = Vec::new();
    for record in records {
        let Some(key) = key_of(record) else { continue };
        let position = *positions.entry(key).or_insert_with_key(|key| {
            rows.push(Row {
                key: key.clone(),
                models: Vec::new(),
                tally: Tally::default(),
                records: 0,
                first: record.first,
                last: record.last,
                project: None,
            });
            rows.len() - 1
        });
        rows[position].add(record);
    }
    for row in &mut rows {
        row.models.sort_by(|(a, x), (b, y)| dearest(y, x).then_with(|| a.cmp(b)));
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

impl Row {
    fn add(&mut self, record: &Record) {
        self.tally = self.tally.plus(record.tally);
        self.records += record.records;
        self.first = self.first.min(record.first);
        let project = record.project.as_ref().map(|project| (record.last, Name::clone(project)));
        self.project = self.project.take().max(project);
        self.last = self.last.max(record.last);
        match self.models.iter_mut().find(|(model, _)| *model == record.model) {
            Some((_, tally)) => *tally = tally.plus(record.tally),
            None => self.models.push((Name::clone(&record.model), record.tally)),
        }
    }
}

fn dearest(a: &Tally, b: &Tally) -> Ordering {
    (a.nanos, a.usage.total()).cmp(&(b.nanos, b.usage.total()))
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// The key; agent `main` first, and rows without a key last.
    Key,
    /// Dollars.
    Usd,
    /// Tokens of all classes.
    Tokens,
}

/// Sorts rows; equal ones are in the order of their keys.
pub fn sort(rows: &mut [Row], grouping: Grouping, by: SortBy, descending: bool) {
    let is_agents = grouping == Grouping::By(Column::AgentType);
    let is_other = |row: &Row| is_agents && !matches!(&row.key, Key::Name(name) if &**name == "main");
    rows.sort_by(|a, b| {
        let by_key = || (is_other(a), &a.key).cmp(&(is_other(b), &b.key));
        let order = match by {
            SortBy::Key => by_key(),
            SortBy::Usd => dearest(&a.tally, &b.tally),
            SortBy::Tokens => a.tally.usage.total().cmp(&b.tally.usage.total()),
        };
        let order = if descending { order.reverse() } else { order };
        order.then_with(by_key)
    });
}

/// The `n` rows that were used last, in the same order.
pub fn keep_last(mut rows: Vec<Row>, n: usize) -> Vec<Row> {
    let mut used: Vec<(Timestamp, Key)> = rows.iter().map(|row| (row.last, row.key.clone())).collect();
    used.sort_unstable();
    if let Some(first) = used.len().checked_sub(n).and_then(|dropped| used.get(dropped)) {
        rows.retain(|row| (row.last, &row.key) >= (first.0, &first.1));
    }
    rows
}

/// The sum of all rows.
pub fn total(rows: &[Row]) -> Tally {
    rows.iter().map(|row| row.tally).sum()
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
