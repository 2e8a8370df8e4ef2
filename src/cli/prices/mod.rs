//! `fusebox prices`: lists the models with a price, shows the prices of one, names models without one,
//! and prices the ledger's records again.

mod check;
mod reprice;
mod row;

use serde::Serialize;

use self::row::{PriceRow, dollars};
use super::render::{self, table};
use super::{Io, UsageError, select, values};
use crate::app::messages::amounts::grouped;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::prices::table::{Model, origin};
use crate::prices::{Prices, dearest_like, name};

/// List, show and check what models cost, and price the ledger's records again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox prices list --vendor anthropic
  fusebox prices show claude-opus-5-5
  fusebox prices show claude-sonnet-5-5 --at 2026-10-06 --json
  fusebox prices check
  fusebox prices reprice --dry-run")]
pub struct PricesArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the models with a price and what they cost now.
    #[command(after_help = "Dollars per million tokens, with the rates and discounts of your configuration.

Examples:
  fusebox prices list --vendor openai
  fusebox prices list --json | jq '.[] | select(.input == 0) | .model'")]
    List {
        /// Only the models of this vendor, such as `anthropic`.
        #[arg(long, value_name = "VENDOR")]
        vendor: Option<String>,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a model costs, under any of its names: each kind of tokens, each length of prompt, and fast mode.
    #[command(
        after_help = "Dollars per million tokens, with the rates and discounts of your configuration. A model that is not in the \
price list is charged as the most expensive of its family or, if its family is unknown, as the most expensive Claude model.

Examples:
  fusebox prices show us.anthropic.claude-opus-4-5-20251101-v1:0
  fusebox prices show claude-sonnet-5-5 --at 2026-10-06
  fusebox prices show claude-haiku-5-5 --json | jq '.prices[].input'"
    )]
    Show {
        /// The name of the model: as in responses, or the short one in tables.
        #[arg(value_name = "MODEL", value_parser = values::model)]
        model: String,
        /// At this time: a date (its start in UTC), or an RFC 3339 time. Default: now.
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        at: Option<Timestamp>,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Name the models seen that have no exact price, with what they were charged as estimates.
    #[command(
        after_help = "What is new in the history is imported first. The ledger and the store are looked through; of a model in \
both, the larger numbers are shown.

Exit code: 0 if every model seen has an exact price, 3 if one has none.

Examples:
  fusebox prices check
  fusebox prices check --json | jq -r '.models[].model'"
    )]
    Check {
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    Reprice(reprice::RepriceArgs),
}

/// Runs the command.
///
/// # Errors
/// Wrong use, a configuration that cannot be used; `check`: the ledger or the store cannot be used.
pub fn run(args: &PricesArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let prices = || anyhow::Ok(select::configuration(env)?.prices);
    match &args.command {
        Command::List { vendor, json } => list(&prices()?, vendor.as_deref(), *json, env.now, io),
        Command::Show { model, at, json } => show(&prices()?, model, at.unwrap_or(env.now), *json, io),
        Command::Check { json } => check::run(*json, env, io),
        Command::Reprice(args) => reprice::run(args, env, io),
    }
}

/// A price of a model in the list, as JSON.
#[derive(Serialize)]
struct ListedJson {
    vendor: &'static str,
    model: &'static str,
    #[serde(flatten)]
    row: PriceRow,
}

fn list(
    prices: &Prices,
    vendor: Option<&str>,
    json: bool,
    now: Timestamp,
    io: &mut Io,
) -> anyhow::Result<u8> {
    let is_meant = |name: &str| vendor.is_none_or(|vendor| name.eq_ignore_ascii_case(vendor));
    let mut listed: Vec<ListedJson> = Vec::new();
    for model in Model::all() {
        let label = model.label();
        if is_meant(label.vendor) {
            let rows = PriceRow::of_model(prices, model, label.model, now).into_iter();
            listed.extend(rows.map(|row| ListedJson { vendor: label.vendor, model: label.model, row }));
        }
    }
    if listed.is_empty() {
        let mut vendors: Vec<&str> = Model::all().map(|model| model.label().vendor).collect();
        vendors.dedup();
        let (vendor, known) = (vendor.unwrap_or_default(), vendors.join(", "));
        return Err(UsageError(format!("there is no vendor {vendor:?}: must be one of {known}")).into());
    }
    if json {
        render::json(io.out, &listed)?;
        return Ok(0);
    }
    let cells = |listed: &ListedJson| {
        [vec![listed.vendor.to_owned(), listed.model.to_owned()], listed.row.cells()].concat()
    };
    let rows: Vec<Vec<String>> = listed.iter().map(cells).collect();
    let header = [&["VENDOR", "MODEL"], &row::HEADER[..]].concat();
    write!(io.out, "{}", table::table_or_lines(&header, &row::RIGHT, &rows, 2))?;
    let models = Model::all().filter(|model| is_meant(model.label().vendor)).count();
    io.line("")?;
    io.line(&format!(
        "{}, in dollars per million tokens, at {}. Source: {} and Fusebox's own additions.",
        render::counted(models, "model"),
        now.to_rfc3339(),
        origin()
    ))?;
    Ok(0)
}

/// What a model costs, as JSON.
#[derive(Serialize)]
struct ModelJson {
    name: String,
    /// The model that the name means; null: none that is known.
    model: Option<&'static str>,
    vendor: Option<&'static str>,
    /// The model whose price is used instead.
    like: Option<&'static str>,
    /// Whether all prices are exact.
    exact: bool,
    at: String,
    source: String,
    /// Whether the configuration sets rates or a discount for it.
    configured: bool,
    prices: Vec<PriceRow>,
}

fn show(prices: &Prices, written: &str, at: Timestamp, json: bool, io: &mut Io) -> anyhow::Result<u8> {
    let canonical = name::canonical(written);
    let known = Model::find(&canonical);
    let label = known.map(Model::label);
    let (like, rows) = match known {
        Some(model) => (None, PriceRow::of_model(prices, model, written, at)),
        None => (dearest_like(&canonical, at, 0, false).0, vec![PriceRow::of_name(prices, written, at)]),
    };
    let like = like.map(|model| model.label().model);
    let source = match label {
        Some(label) if !label.source.is_empty() => format!("added by Fusebox from {}", label.source),
        _ => origin().to_owned(),
    };
    let shown = ModelJson {
        name: written.to_owned(),
        model: label.map(|label| label.model),
        vendor: label.map(|label| label.vendor),
        like,
        exact: rows.iter().all(|row| !row.estimated),
        at: at.to_rfc3339(),
        source,
        configured: prices.sets(written),
        prices: rows,
    };
    if json {
        render::json(io.out, &shown)?;
        return Ok(0);
    }
    let means = match (label, shown.like) {
        (Some(label), _) if label.model == written => format!("{written} ({})", label.vendor),
        (Some(label), _) => format!("{written}: {} ({})", label.model, label.vendor),
        (None, Some(_)) if shown.exact => {
            format!("{written} is not in the price list; your configuration sets all its rates")
        }
        (None, Some(like)) => {
            let why = match name::family(like) == name::family(&canonical) {
                true => "the most expensive model of its family",
                false => "the most expensive Claude model",
            };
            format!("{written} is not in the price list; charged as {like}, {why}")
        }
        (None, None) => format!("{written} is not in the price list"),
    };
    io.line(&means)?;
    io.line("")?;
    let rows: Vec<Vec<String>> = shown.prices.iter().map(PriceRow::cells).collect();
    write!(io.out, "{}", table::table_or_lines(&row::HEADER, &row::RIGHT, &rows, 2))?;
    io.line("")?;
    let configured = if shown.configured { ", changed by [prices] of your configuration" } else { "" };
    io.line(&format!(
        "In dollars per million tokens, at {}. Source: {}{configured}.",
        shown.at, shown.source
    ))?;
    let web_search = shown.prices.first().map_or(0.0, |row| row.web_search_per_1000);
    if web_search > 0.0 {
        io.line(&format!("1,000 web searches cost ${}.", dollars(web_search)))?;
    }
    if known.is_some_and(Model::costs_more_in_us) {
        io.line("Inference in the United States only costs 1.1 times as much, a batch request half.")?;
    } else {
        io.line("A batch request costs half.")?;
    }
    Ok(0)
}

/// `any`, `up to 200,000` or `over 200,000`: the prompts that a price is for.
fn prompts(above: u64, next: Option<u64>) -> String {
    match (above, next) {
        (0, None) => "any".into(),
        (0, Some(next)) => format!("up to {}", grouped(next)),
        _ => format!("over {}", grouped(above)),
    }
}
