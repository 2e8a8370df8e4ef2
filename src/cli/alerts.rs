//! `fusebox alerts`: lists and acknowledges alerts and events.

use anstyle::{AnsiColor, Style};
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use comfy_table::Cell;
use serde::Serialize;

use super::render::{self, table};
use super::select::ConfiguredStore;
use super::{Io, UsageError, person_only, select, values};
use crate::app::messages::amounts::{number, quantity};
use crate::app::operator;
use crate::app::status::AlertStatus;
use crate::app::store_access::{self, StoreAccess};
use crate::config::Config;
use crate::domain::alert::{Acknowledgement, AlertFilter, AlertLevel, AlertRecord};
use crate::domain::budget::Mode;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::SessionRow;

/// List and acknowledge alerts: budgets that passed a threshold.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox alerts list --level critical
  fusebox alerts ack 12 13 --reason \"known: the migration\"
  fusebox alerts ack --budget daily --before 2026-11-01
  fusebox alerts ack --all")]
pub struct AlertsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the alerts that nobody has acknowledged, newest first.
    #[command(after_help = "Times are UTC.

Examples:
  fusebox alerts list --all --budget session
  fusebox alerts list --json --limit 0 | jq '.[] | select(.level == \"critical\")'")]
    List {
        /// Include acknowledged ones.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: Filter,
        /// Show at most this many, the newest; 0 for all.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = values::lines)]
        limit: usize,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Acknowledge alerts: note that you have seen them.
    #[command(
        after_help = "Each threshold is raised once per window and limit in force, whether acknowledged or not. An alert must \
match all the options that you give.

Examples:
  fusebox alerts ack 12
  fusebox alerts ack --level info --before 2026-11-01T12:00:00Z --reason \"old\""
    )]
    Ack {
        /// IDs of alerts, as listed.
        #[arg(value_name = "ID", conflicts_with_all = ["all", "budget", "session", "level", "before"])]
        ids: Vec<i64>,
        /// All unacknowledged alerts.
        #[arg(long, conflicts_with_all = ["budget", "session", "level", "before"])]
        all: bool,
        #[command(flatten)]
        filter: Filter,
        /// Only alerts raised before this time: a date (its start in UTC), or an RFC 3339 time.
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        before: Option<Timestamp>,
        /// The reason, stored with the acknowledgement.
        #[arg(long)]
        reason: Option<String>,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only alerts of this budget.
    #[arg(long, value_name = "NAME")]
    budget: Option<String>,
    /// Only alerts of this session's budgets: a session id, or the beginning of one.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only alerts of this level: info below 70% of the limit, warning below 90%, otherwise critical.
    #[arg(long, value_parser = level_parser())]
    level: Option<AlertLevel>,
}

fn level_parser() -> impl TypedValueParser<Value = AlertLevel> {
    let parser = PossibleValuesParser::new(AlertLevel::ALL.map(|(name, _)| name));
    parser.map(|name| {
        AlertLevel::ALL.iter().find(|(n, _)| *n == name).map_or(AlertLevel::Critical, |(_, level)| *level)
    })
}

/// Runs the command.
///
/// # Errors
/// Unknown alert, budget or session; a refused command; an unusable store.
pub fn run(args: &AlertsArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    match &args.command {
        Command::List { all, filter, limit, json } => {
            let (mut opened, rows) = open_current(env, io)?;
            let records = all_alerts(&mut opened.store)?;
            let filter =
                AlertFilter { acknowledged: *all, ..filter.resolve(&opened.config, &rows, &records)? };
            let mut found: Vec<&AlertRecord> = records.iter().filter(|r| filter.matches(r)).collect();
            let there = found.len();
            found.truncate(if *limit == 0 { there } else { *limit });
            list(&found, &filter, *json, io)?;
            if found.len() < there {
                let shown = found.len();
                writeln!(io.err, "Showing the newest {shown} of {there}; --limit 0 lists all.")?;
            }
            Ok(0)
        }
        Command::Ack { ids, all, filter, before, reason, json } => {
            person_only::refuse_in_agent(env, "fusebox alerts ack")?;
            if ids.is_empty() && !all && before.is_none() && filter.is_empty() {
                let way = "choose alerts by ID, --all, --budget, --session, --level or --before";
                return Err(UsageError(format!("{way}; `fusebox alerts list` lists them")).into());
            }
            let find = |io: &mut Io| {
                let (mut opened, rows) = open_current(env, io)?;
                let records = all_alerts(&mut opened.store)?;
                anyhow::Ok((opened, rows, records))
            };
            let (mut opened, rows, records) = find(io).map_err(select::with_unchanged)?;
            let meant = if ids.is_empty() {
                let filter =
                    AlertFilter { before: *before, ..filter.resolve(&opened.config, &rows, &records)? };
                records.iter().filter(|r| filter.matches(r)).map(|r| r.alert.id).collect()
            } else {
                check_ids(ids, &records)?
            };
            let done = acknowledge(&mut opened, &meant, reason.as_deref(), env)?;
            let already = meant.into_iter().filter(|id| !done.contains(id)).collect();
            report(&AcknowledgedJson { acknowledged: done, already }, *json, io)
        }
    }
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.budget.is_none() && self.session.is_none() && self.level.is_none()
    }

    /// The filter with full names. They must be known: a misspelt one would match nothing, and look as if all was well.
    fn resolve(
        &self,
        config: &Config,
        rows: &[SessionRow],
        records: &[AlertRecord],
    ) -> anyhow::Result<AlertFilter> {
        let session = self.session.as_deref().map(|id| select::find_session(rows, id)).transpose()?;
        if let Some(name) = &self.budget {
            let configured = config.budgets.iter().map(|b| b.name.as_str());
            let mut known: Vec<&str> =
                configured.chain(records.iter().map(|r| r.alert.budget.as_str())).collect();
            known.sort_unstable();
            known.dedup();
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                return Err(UsageError(format!("no budget named {name}; budgets: {known}")).into());
            }
        }
        Ok(AlertFilter {
            budget: self.budget.clone(),
            session: session.map(|row| row.session.id.clone()),
            level: self.level,
            ..AlertFilter::default()
        })
    }
}

/// Acknowledges these alerts. Returns those that nobody had acknowledged before.
///
/// # Errors
/// The store failed, or its user may record, but not decide.
pub(super) fn acknowledge(
    opened: &mut ConfiguredStore,
    meant: &[i64],
    reason: Option<&str>,
    env: &Env,
) -> anyhow::Result<Vec<i64>> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    let by = Acknowledgement { by: env.user(), at: env.now, reason: reason.map(str::to_owned) };
    let done = opened.store.call(|store| store.acknowledge(meant, &by));
    done.map_err(|error| match error.is_denied() {
        true => anyhow::anyhow!(
            "nothing was acknowledged: {}",
            operator::denied_text(&opened.config, &ack_command(meant, reason))
        ),
        false => error.into(),
    })
}

/// Opens the store of the working folder's configuration, and catches up on all sessions.
fn open_current<'a>(env: &'a Env, io: &mut Io) -> anyhow::Result<(ConfiguredStore<'a>, Vec<SessionRow>)> {
    let mut opened = select::open_current(env, io.err)?;
    let rows = select::sessions(&mut opened.store)?;
    select::catch_up(env, &opened.config, &rows, io.err)?;
    Ok((opened, rows))
}

fn all_alerts(store: &mut StoreAccess) -> store_access::Result<Vec<AlertRecord>> {
    store.call(|store| store.alerts())
}

/// The ids without duplicates. All must exist.
fn check_ids(ids: &[i64], records: &[AlertRecord]) -> anyhow::Result<Vec<i64>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let strange = ids.iter().filter(|id| records.iter().all(|r| r.alert.id != **id));
    let strange: Vec<String> = strange.map(i64::to_string).collect();
    if strange.is_empty() {
        return Ok(ids);
    }
    let strange = strange.join(", ");
    let refusal =
        format!("no alert {strange}; `fusebox alerts list --all` lists all alerts. Nothing was changed");
    Err(UsageError(refusal).into())
}

fn list(found: &[&AlertRecord], filter: &AlertFilter, json: bool, io: &mut Io) -> anyhow::Result<()> {
    if json {
        return render::json(io.out, &found.iter().map(|r| AlertStatus::from_record(r)).collect::<Vec<_>>());
    }
    if found.is_empty() {
        let text = match filter.acknowledged {
            true => "No alerts.",
            false => "No unacknowledged alerts; --all includes acknowledged ones.",
        };
        writeln!(io.out, "{text}")?;
        return Ok(());
    }
    const HEADER: [&str; 10] =
        ["ID", "AT", "LEVEL", "BUDGET", "FOR", "PASSED", "USED", "LIMIT", "UNIT", "ACKNOWLEDGED"];
    // The last column is only shown if an alert was acknowledged.
    let columns = HEADER.len() - usize::from(found.iter().all(|r| r.acknowledged.is_none()));
    let mut rows = table::new_table(&HEADER[..columns], &["ID", "PASSED", "USED", "LIMIT"]);
    for record in found {
        let alert = &record.alert;
        let acknowledged = record.acknowledged.as_ref().map_or(String::new(), |a| a.by.clone());
        let cells = [
            Cell::new(alert.id),
            Cell::new(alert.at.to_rfc3339()),
            Cell::new(coloured(alert.level)),
            Cell::new(table::truncate(&budget(record), 24)),
            Cell::new(table::truncate(table::short_value(alert.scope, &alert.value), 16)),
            Cell::new(percent(record)),
            Cell::new(number(alert.used, alert.unit)),
            Cell::new(number(alert.limit, alert.unit)),
            Cell::new(alert.unit.noun()),
            Cell::new(table::truncate(&acknowledged, 16)),
        ];
        rows.add_row(cells.into_iter().take(columns));
    }
    match table::fit_to_terminal(&mut rows) {
        Some(text) => write!(io.out, "{text}")?,
        None => found.iter().try_for_each(|record| print_two_lines(record, io))?,
    }
    Ok(())
}

fn print_two_lines(record: &AlertRecord, io: &mut Io) -> anyhow::Result<()> {
    let alert = &record.alert;
    let of = table::truncate(table::short_value(alert.scope, &alert.value), 16);
    let (id, level, scope) = (alert.id, coloured(alert.level), alert.scope.name());
    writeln!(io.out, "{id}  {level}  {} ({scope} {of})  passed {}", budget(record), percent(record))?;
    let (used, limit) = (number(alert.used, alert.unit), quantity(alert.limit, alert.unit));
    writeln!(io.out, "  {}  {used} of {limit}", alert.at.to_rfc3339())?;
    if let Some(acknowledgement) = &record.acknowledged {
        writeln!(io.out, "  {}", acknowledged(acknowledgement))?;
    }
    Ok(())
}

/// `acknowledged by alice 2026-11-25T07:30:16Z: why`
pub fn acknowledged(acknowledgement: &Acknowledgement) -> String {
    let Acknowledgement { by, at, reason } = acknowledgement;
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("acknowledged by {by} {}{reason}", at.to_rfc3339())
}

fn budget(record: &AlertRecord) -> String {
    let shadow = if record.alert.mode == Mode::Shadow { " (shadow)" } else { "" };
    format!("{}{shadow}", record.alert.budget)
}

fn percent(record: &AlertRecord) -> String {
    format!("{}%", (record.alert.threshold * 10_000.0).round() / 100.0)
}

fn coloured(level: AlertLevel) -> String {
    let style = match level {
        AlertLevel::Info => Style::new(),
        AlertLevel::Warning => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        AlertLevel::Critical => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
    };
    format!("{style}{}{style:#}", level.name())
}

#[derive(Serialize)]
struct AcknowledgedJson {
    /// Newly acknowledged.
    acknowledged: Vec<i64>,
    /// Acknowledged before.
    already: Vec<i64>,
}

fn report(done: &AcknowledgedJson, json: bool, io: &mut Io) -> anyhow::Result<u8> {
    if json {
        render::json(io.out, done)?;
        return Ok(0);
    }
    let alerts = |n: usize| if n == 1 { "1 alert".to_owned() } else { format!("{n} alerts") };
    match (done.acknowledged.len(), done.already.len()) {
        (0, 0) => writeln!(io.out, "There is nothing to acknowledge.")?,
        (0, n) => writeln!(io.out, "Already acknowledged: {}.", alerts(n))?,
        (n, 0) => writeln!(io.out, "Acknowledged: {}.", alerts(n))?,
        (n, m) => writeln!(io.out, "Acknowledged: {}; already acknowledged: {m}.", alerts(n))?,
    }
    Ok(0)
}

/// The command line that acknowledges these alerts.
fn ack_command(meant: &[i64], reason: Option<&str>) -> String {
    let ids: Vec<String> = meant.iter().map(i64::to_string).collect();
    let why = if reason.is_some() { " --reason \"…\"" } else { "" };
    format!("fusebox alerts ack {}{why}", ids.join(" "))
}
