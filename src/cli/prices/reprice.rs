//! `fusebox prices reprice`: prices the ledger's records again.

use serde::Serialize;

use crate::app;
use crate::app::messages::amounts::grouped;
use crate::cli::render::{self, counted_many, table, usd_or_more};
use crate::cli::{Io, UsageError, confirm, import, person_only, select, values};
use crate::domain::money::usd;
use crate::domain::time::Timestamp;
use crate::ledger::{LedgerDatabase, LedgerLock, RepriceFilter, RepricedModel};
use crate::platform::Env;

/// Price the ledger's records again, with today's price list and configuration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each record gets the rates of its own date, and keeps them in later imports. What is new in the history is \
imported first, and what would change is shown before you are asked. Budgets keep what they counted. With both options, a record must \
match both.

Examples:
  fusebox prices reprice --dry-run
  fusebox prices reprice --model 'claude-opus-*' --since 2026-11-01
  fusebox prices reprice --yes --json | jq '.after_usd'"
)]
pub struct RepriceArgs {
    /// Records from this time on: a date (its start in UTC), or an RFC 3339 time.
    #[arg(long, value_name = "DATE", value_parser = values::time)]
    since: Option<Timestamp>,
    /// Records of the models with such a name, also a short one: `*` stands for any text, `?` for any character.
    #[arg(long, value_name = "GLOB")]
    model: Option<String>,
    /// Only show what would change.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// What changed, as JSON.
#[derive(Serialize)]
struct RepricedJson<'a> {
    since: Option<String>,
    model: Option<&'a str>,
    /// Whether nothing was changed, because only that was asked for.
    dry_run: bool,
    #[serde(flatten)]
    total: FiguresJson,
    /// The models with records that changed.
    models: Vec<ModelJson<'a>>,
}

#[derive(Serialize)]
struct ModelJson<'a> {
    model: &'a str,
    #[serde(flatten)]
    figures: FiguresJson,
}

#[derive(Serialize)]
struct FiguresJson {
    /// The records that were looked at.
    records: u64,
    /// Those among them with other rates.
    changed: u64,
    /// What all of them cost before, in dollars.
    before_usd: f64,
    /// What they cost now.
    after_usd: f64,
    /// Whether some of the new rates are estimates.
    price_estimated: bool,
}

/// Runs the command.
///
/// # Errors
/// It runs in an agent's shell, is not confirmed, names an unknown model, or the configuration or the ledger cannot be
/// used.
pub fn run(args: &RepriceArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    if !args.dry_run {
        person_only::refuse_in_agent(env, "fusebox prices reprice")?;
        if !args.yes && !confirm::can_ask() {
            return refuse(
                "`fusebox prices reprice` asks before it changes anything, but there is no terminal; add --yes or --dry-run",
            );
        }
    }
    // Unlike an import, not with the last prices that could be read: all records would get them.
    let prices = select::configuration(env)?.prices;
    import::import_for("the ledger", env, io)?;
    let _lock = LedgerLock::wait(&app::import::ledger_dir(env)?, || ())?;
    let mut ledger = app::import::open_ledger(env)?.database;
    let filter = RepriceFilter { since: args.since, model: args.model.clone() };
    check_model(&filter, &ledger)?;
    let mut models = ledger.to_reprice(&filter, &prices)?;
    let planned = total(&models);
    let mut was_shown = false;
    if planned.changed > 0 && !args.dry_run {
        if !args.yes {
            write!(io.err, "{}", changes(&models))?;
            let question = format!(
                "Reprice {} in {} ({})?",
                counted_many(planned.changed, "record"),
                ledger.path().display(),
                difference(&planned)
            );
            if !confirm::ask(&question, io)? {
                return refuse("not confirmed");
            }
            was_shown = true;
        }
        models = ledger.reprice(&filter, &prices)?;
    }
    if args.json {
        render::json(io.out, &json(args, &models))?;
    } else {
        show(args, &models, was_shown, io)?;
    }
    Ok(0)
}

fn refuse(why: &str) -> anyhow::Result<u8> {
    Err(UsageError(format!("{why}. Nothing was changed")).into())
}

/// A misspelt model would match nothing, and look as if all was well.
fn check_model(filter: &RepriceFilter, ledger: &LedgerDatabase) -> anyhow::Result<()> {
    let known = ledger.models()?;
    if filter.model.is_none() || known.iter().any(|model| filter.names(model)) {
        return Ok(());
    }
    let some: Vec<&str> = known.iter().take(5).map(String::as_str).collect();
    let more = if known.len() > some.len() { ", …" } else { "" };
    let there = if some.is_empty() { "none".to_owned() } else { some.join(", ") + more };
    let named = filter.model.as_deref().unwrap_or_default();
    Err(UsageError(format!("the ledger has no model like {named}; models: {there}. Nothing was changed"))
        .into())
}

/// `was_shown`: a person has just seen the table.
fn show(args: &RepriceArgs, models: &[RepricedModel], was_shown: bool, io: &mut Io) -> anyhow::Result<()> {
    let sum = total(models);
    if sum.changed == 0 {
        let text = match sum.records {
            0 => "There is no such record.".to_owned(),
            1 => "1 record: its price does not change.".to_owned(),
            many => format!("{}: their prices do not change.", counted_many(many, "record")),
        };
        io.line(&text)?;
        return Ok(());
    }
    if !was_shown {
        write!(io.out, "{}", changes(models))?;
        io.line("")?;
    }
    let done = if args.dry_run { "would get other prices" } else { "got other prices" };
    let (changed, all, difference) =
        (grouped(sum.changed), counted_many(sum.records, "record"), difference(&sum));
    io.line(&format!("{changed} of {all} {done}: {difference}."))?;
    if args.dry_run {
        io.line("Nothing was changed.")?;
    }
    Ok(())
}

/// A table of the models with records that change.
fn changes(models: &[RepricedModel]) -> String {
    const HEADER: [&str; 5] = ["MODEL", "RECORDS", "CHANGED", "BEFORE", "AFTER"];
    let cells = |model: &RepricedModel| {
        vec![
            model.model.clone(),
            grouped(model.records),
            grouped(model.changed),
            usd_or_more(model.before_nanos, model.was_estimated),
            usd_or_more(model.after_nanos, model.price_estimated),
        ]
    };
    let rows: Vec<Vec<String>> = models.iter().filter(|model| model.changed > 0).map(cells).collect();
    table::table_or_lines(&HEADER, &HEADER[1..], &rows, 1)
}

fn json<'a>(args: &'a RepriceArgs, models: &'a [RepricedModel]) -> RepricedJson<'a> {
    let changed = models.iter().filter(|model| model.changed > 0);
    RepricedJson {
        since: args.since.map(Timestamp::to_rfc3339),
        model: args.model.as_deref(),
        dry_run: args.dry_run,
        total: FiguresJson::of(&total(models)),
        models: changed
            .map(|model| ModelJson { model: &model.model, figures: FiguresJson::of(model) })
            .collect(),
    }
}

impl FiguresJson {
    fn of(model: &RepricedModel) -> Self {
        let RepricedModel { records, changed, before_nanos, after_nanos, price_estimated, .. } = *model;
        let (before_usd, after_usd) = (usd(before_nanos), usd(after_nanos));
        Self { records, changed, before_usd, after_usd, price_estimated }
    }
}

/// The sum of all models.
fn total(models: &[RepricedModel]) -> RepricedModel {
    models.iter().fold(RepricedModel::default(), |sum, model| RepricedModel {
        model: String::new(),
        records: sum.records + model.records,
        changed: sum.changed + model.changed,
        before_nanos: sum.before_nanos.saturating_add(model.before_nanos),
        after_nanos: sum.after_nanos.saturating_add(model.after_nanos),
        price_estimated: sum.price_estimated || model.price_estimated,
        was_estimated: sum.was_estimated || model.was_estimated,
    })
}

/// `$5.00 → $4.50+`.
fn difference(sum: &RepricedModel) -> String {
    format!(
        "{} → {}",
        usd_or_more(sum.before_nanos, sum.was_estimated),
        usd_or_more(sum.after_nanos, sum.price_estimated)
    )
}
