//! Which records a report shows, and how they are grouped and sorted.

use chrono::NaiveDate;

use super::blocks::Block;
use super::calendar::Calendar;
use super::read::{Query, Record};
use super::rows::{self, Grouping, Key, Row, SortBy};
use crate::domain::time::Timestamp;
use crate::ledger::names::{ModelGlob, ProjectGlob};

/// A selection of records, and how to group and sort them.
pub struct Selection {
    /// What rows are.
    pub grouping: Grouping,
    /// The time zone, and the first day of weeks.
    pub calendar: Calendar,
    /// The first day.
    pub since: Option<NaiveDate>,
    /// The last day.
    pub until: Option<NaiveDate>,
    /// Only records of this platform.
    pub platform: Option<&'static str>,
    /// Only as many rows, those used last.
    pub last_rows: Option<usize>,
    /// What rows are sorted by.
    pub sort_by: SortBy,
    /// Whether the last row comes first.
    pub descending: bool,
    /// Only these projects and models.
    pub filter: Filter,
}

/// The rows of a report.
pub struct Report {
    /// The rows.
    pub rows: Vec<Row>,
    /// The blocks, if rows are blocks: also those that no row shows.
    pub blocks: Vec<Block>,
}

/// Selects records by project and model. Without globs, all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    projects: Vec<ProjectGlob>,
    models: Vec<ModelGlob>,
}

impl Filter {
    /// The filter of these globs.
    pub fn new<'g>(
        projects: impl IntoIterator<Item = &'g String>,
        models: impl IntoIterator<Item = &'g String>,
    ) -> Self {
        Self {
            projects: projects.into_iter().map(|glob| ProjectGlob::new(glob)).collect(),
            models: models.into_iter().map(|glob| ModelGlob::new(glob)).collect(),
        }
    }

    /// Whether a record is selected.
    pub fn selects(&self, record: &Record) -> bool {
        self.is_of_project(record) && self.is_of_model(record)
    }

    fn is_of_project(&self, record: &Record) -> bool {
        let project = record.project.as_deref().unwrap_or_default();
        self.projects.is_empty() || self.projects.iter().any(|glob| glob.matches(project))
    }

    fn is_of_model(&self, record: &Record) -> bool {
        self.models.is_empty() || self.models.iter().any(|glob| glob.matches(&record.model))
    }

    /// The option that selects none of these records by itself, such as a misspelt project.
    pub fn unmatched(&self, records: &[Record]) -> Option<&'static str> {
        let none = |is_of: fn(&Self, &Record) -> bool| !records.iter().any(|record| is_of(self, record));
        if none(Self::is_of_project) {
            return Some("project");
        }
        none(Self::is_of_model).then_some("model")
    }
}

impl Selection {
    /// What to read from the ledger.
    pub fn query(&self) -> Query {
        let from = self.since.map(|date| self.calendar.start_of(date));
        let before = self.until.map(|date| self.calendar.end_of(date));
        // Where a block starts depends on the moments of all records.
        let one_by_one = self.grouping == Grouping::Block;
        let range = if one_by_one { (None, None) } else { (from, before) };
        Query {
            column: self.grouping.column(),
            from: range.0,
            before: range.1,
            platform: self.platform,
            one_by_one,
        }
    }

    /// The report of the records that the query returned.
    pub fn report(&mut self, mut records: Vec<Record>) -> Report {
        let (mut found, mut blocks) = (Vec::new(), Vec::new());
        if self.grouping == Grouping::Block {
            (found, blocks) = rows::group_by_block(&records, |record| self.filter.selects(record));
            found.retain(|row| match row.key {
                Key::Block(start) => self.is_in_range(start),
                _ => false,
            });
        } else {
            records.retain(|record| self.filter.selects(record));
            found.extend(rows::group(&records, self.grouping, &mut self.calendar));
        }
        if let Some(n) = self.last_rows {
            found = rows::keep_last(found, n);
            let first = found.iter().map(|row| row.first).min();
            blocks.retain(|block| first.is_none_or(|first| block.last >= first));
        }
        rows::sort(&mut found, self.grouping, self.sort_by, self.descending);
        Report { rows: found, blocks }
    }

    /// Whether the date of a moment lies between `--since` and `--until`.
    pub fn is_in_range(&mut self, at: Timestamp) -> bool {
        let date = self.calendar.day(at);
        self.since.is_none_or(|since| since <= date) && self.until.is_none_or(|until| date <= until)
    }
}
