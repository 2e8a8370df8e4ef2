//! The options of `fusebox report`.

use std::path::PathBuf;

use chrono::Weekday;
use clap::ValueEnum;

use crate::cli::values;
use crate::ledger::report::read::Column;
use crate::ledger::report::rows::Grouping;

/// Show what was used and what it cost.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a grouping: today, this week and this month, and this month by model and by project.
What is new in the transcripts is read first. A + marks sums that include estimates.

Examples:
  fusebox report
  fusebox report daily --last 7 --breakdown
  fusebox report project --since 2026-11-01 --sort tokens
  fusebox report monthly --project 'api-*' --csv > invoice.csv
  fusebox report session --json | jq '.rows[0]'
  fusebox report daily --json --ccusage         for scripts written for ccusage

ccusage is another tool that reports Claude Code's use: https://github.com/ryoppippi/ccusage"
)]
pub struct ReportArgs {
    /// What to group by.
    #[arg(value_enum, value_name = "GROUPING")]
    pub(super) kind: Option<Kind>,
    /// The first day, as YYYY-MM-DD or YYYYMMDD.
    #[arg(long, value_name = "DATE")]
    pub(super) since: Option<String>,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    pub(super) until: Option<String>,
    /// Only the N rows that were used last.
    #[arg(long, value_name = "N", value_parser = values::rows)]
    pub(super) last: Option<u32>,
    /// The time zone of days, such as Europe/Berlin [default: this machine's].
    #[arg(long, short = 'z', value_name = "ZONE")]
    pub(super) timezone: Option<String>,
    /// The first day of weeks [default: monday; sunday with --ccusage].
    #[arg(long, value_enum, value_name = "DAY", hide_possible_values = true)]
    pub(super) start_of_week: Option<StartOfWeek>,
    /// Only projects that match: the whole path, or its last folder. May be repeated.
    #[arg(long, value_name = "GLOB")]
    pub(super) project: Vec<String>,
    /// Only models that match: the whole name, or the short one in tables. May be repeated.
    #[arg(long, value_name = "GLOB")]
    pub(super) model: Vec<String>,
    /// Show the models of each row.
    #[arg(long, short)]
    pub(super) breakdown: bool,
    /// Sort by key, dollars or tokens [default: key for periods and agents, otherwise usd].
    #[arg(long, value_enum, value_name = "FIELD")]
    pub(super) sort: Option<SortField>,
    /// Ascending or descending [default: asc for keys, otherwise desc].
    #[arg(long, value_enum, value_name = "ORDER")]
    pub(super) order: Option<Order>,
    /// Write JSON.
    #[arg(long, short)]
    pub(super) json: bool,
    /// With --json: write the JSON of ccusage 20, of `ccusage claude daily` (claude, default) or of `ccusage daily` (all), for
    /// daily, weekly, monthly, session and blocks.
    #[arg(
        long,
        value_enum,
        value_name = "SHAPE",
        requires = "json",
        conflicts_with = "csv",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "claude"
    )]
    pub(super) ccusage: Option<CcusageShape>,
    /// Write CSV: a line for each key and model.
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    /// Read this ledger instead of this machine's. May be repeated: a record in several of them counts once.
    #[arg(long, value_name = "FILE")]
    pub(super) ledger: Vec<PathBuf>,
    /// Do not read what is new in the transcripts first.
    #[arg(long)]
    pub(super) no_import: bool,
}

/// The groupings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Days.
    Daily,
    /// Weeks.
    Weekly,
    /// Months.
    Monthly,
    /// Five-hour blocks.
    Blocks,
    /// Sessions.
    Session,
    /// Models.
    Model,
    /// Projects.
    Project,
    /// Branches.
    Branch,
    /// Types of agents, the main one first.
    Agent,
    /// Platforms: Claude Code, and those of recorded calls.
    Platform,
    /// Chains of recorded calls.
    Chain,
    /// Tasks.
    Task,
}

impl Kind {
    pub(super) fn grouping(self) -> Grouping {
        match self {
            Self::Daily => Grouping::Day,
            Self::Weekly => Grouping::Week,
            Self::Monthly => Grouping::Month,
            Self::Blocks => Grouping::Block,
            Self::Model => Grouping::Model,
            Self::Project => Grouping::Project,
            Self::Session => Grouping::By(Column::Session),
            Self::Branch => Grouping::By(Column::Branch),
            Self::Agent => Grouping::By(Column::AgentType),
            Self::Platform => Grouping::By(Column::Platform),
            Self::Chain => Grouping::By(Column::Chain),
            Self::Task => Grouping::By(Column::Task),
        }
    }

    /// The header of the table's first column.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Daily => "DAY",
            Self::Weekly => "WEEK OF",
            Self::Monthly => "MONTH",
            Self::Blocks => "BLOCK",
            Self::Session => "SESSION",
            Self::Model => "MODEL",
            Self::Project => "PROJECT",
            Self::Branch => "BRANCH",
            Self::Agent => "AGENT",
            Self::Platform => "PLATFORM",
            Self::Chain => "CHAIN",
            Self::Task => "TASK",
        }
    }
}

/// The first day of weeks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StartOfWeek {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<StartOfWeek> for Weekday {
    fn from(day: StartOfWeek) -> Self {
        match day {
            StartOfWeek::Monday => Self::Mon,
            StartOfWeek::Tuesday => Self::Tue,
            StartOfWeek::Wednesday => Self::Wed,
            StartOfWeek::Thursday => Self::Thu,
            StartOfWeek::Friday => Self::Fri,
            StartOfWeek::Saturday => Self::Sat,
            StartOfWeek::Sunday => Self::Sun,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SortField {
    Key,
    Usd,
    Tokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    Asc,
    Desc,
}

/// The shapes of ccusage's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CcusageShape {
    /// Of `ccusage claude daily --json` and so on.
    Claude,
    /// Of `ccusage daily --json` and so on.
    All,
}
