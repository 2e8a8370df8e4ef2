//! `fusebox prices check`: names the models seen that have no exact price.

use serde::Serialize;

use crate::app;
use crate::app::messages::amounts::grouped;
use crate::app::price_check::{UnpricedModel, merged, unpriced_in_store};
use crate::cli::render::{self, counted, counted_many, table};
use crate::cli::{Io, import, select};
use crate::domain::budget::Scope;
use crate::domain::money::usd;
use crate::domain::time::Timestamp;
use crate::ledger::{EstimatedModel, PriceCheck};
use crate::platform::Env;

/// The exit code if there is a model without an exact price.
const UNPRICED: u8 = 3;

/// The models seen, as JSON.
#[derive(Serialize)]
struct CheckJson {
    /// Those without an exact price.
    models: Vec<UnpricedJson>,
    /// Those that were charged at an estimated price, and have an exact one now.
    priced_since: Vec<PricedSinceJson>,
}

#[derive(Serialize)]
struct UnpricedJson {
    model: String,
    /// The model whose price it gets.
    like: Option<&'static str>,
    requests: u64,
    tokens: u64,
    /// What was charged at that price, in dollars.
    estimated_usd: f64,
    /// `ledger` or `store`: where the numbers are from.
    seen_in: &'static str,
}

#[derive(Serialize)]
struct PricedSinceJson {
    model: String,
    records: u64,
    requests: u64,
    tokens: u64,
    estimated_usd: f64,
}

/// Runs the command.
///
/// # Errors
/// The configuration, the ledger or the store cannot be used.
pub fn run(json: bool, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    import::import_new("this check", env, io)?;
    let mut opened = select::open_current(env, io.err)?;
    let prices = opened.config.prices;
    let (ledger, is_unused) = match app::import::known_ledger(env)? {
        Some(ledger) => (ledger.check_prices(&prices)?, ledger.models()?.is_empty()),
        None => (PriceCheck::default(), true),
    };
    let in_store = opened.store.call(|store| unpriced_in_store(store, &prices, env.now))?;
    let is_unused =
        is_unused && opened.store.call(|store| store.values(Scope::Model, Timestamp(i64::MIN)))?.is_empty();
    let unpriced = merged(ledger.unpriced.into_iter().map(UnpricedModel::from).collect(), in_store);
    let code = if unpriced.is_empty() { 0 } else { UNPRICED };
    if json {
        let models = unpriced.into_iter().map(UnpricedJson::from).collect();
        let priced_since = ledger.priced_since.into_iter().map(PricedSinceJson::from).collect();
        render::json(io.out, &CheckJson { models, priced_since })?;
    } else if is_unused {
        io.line("No model has been used yet.")?;
    } else {
        show(&unpriced, &ledger.priced_since, io)?;
    }
    Ok(code)
}

fn show(unpriced: &[UnpricedModel], priced_since: &[EstimatedModel], io: &mut Io) -> anyhow::Result<()> {
    if unpriced.is_empty() {
        io.line("Every model seen has an exact price.")?;
    } else {
        const HEADER: [&str; 6] = ["MODEL", "REQUESTS", "TOKENS", "ESTIMATED", "PRICED AS", "SEEN IN"];
        let cells = |model: &UnpricedModel| {
            vec![
                model.model.clone(),
                grouped(model.requests),
                grouped(model.tokens),
                render::usd(model.estimated_nanos),
                model.like.unwrap_or("(none)").to_owned(),
                model.seen_in.name().to_owned(),
            ]
        };
        let rows: Vec<Vec<String>> = unpriced.iter().map(cells).collect();
        let right = ["REQUESTS", "TOKENS", "ESTIMATED"];
        write!(io.out, "{}", table::table_or_lines(&HEADER, &right, &rows, 1))?;
        io.line("")?;
        let (verb, whose) = if unpriced.len() == 1 { ("has", "its") } else { ("have", "their") };
        io.line(&format!(
            "{} {verb} no exact price: {whose} responses are charged as estimates. Set rates in [prices] of your configuration; \
             then `fusebox prices reprice` prices the ledger's records again.",
            counted(unpriced.len(), "model")
        ))?;
    }
    for EstimatedModel { model, records, estimated_nanos, .. } in priced_since {
        io.line(&format!(
            "{model} has an exact price now, but {} of it ({}) in the ledger {} charged as estimates: \
             `fusebox prices reprice` prices them again.",
            counted_many(*records, "record"),
            render::usd(*estimated_nanos),
            if *records == 1 { "was" } else { "were" },
        ))?;
    }
    Ok(())
}

impl From<UnpricedModel> for UnpricedJson {
    fn from(model: UnpricedModel) -> Self {
        let UnpricedModel { model, like, requests, tokens, estimated_nanos, seen_in } = model;
        Self { model, like, requests, tokens, estimated_usd: usd(estimated_nanos), seen_in: seen_in.name() }
    }
}

impl From<EstimatedModel> for PricedSinceJson {
    fn from(model: EstimatedModel) -> Self {
        let EstimatedModel { model, records, requests, tokens, estimated_nanos, .. } = model;
        Self { model, records, requests, tokens, estimated_usd: usd(estimated_nanos) }
    }
}
