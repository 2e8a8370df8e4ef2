//! Checks that every model seen has an exact price.

use super::finding::Finding;
use super::survey::Survey;
use crate::app::import::known_ledger;
use crate::app::open_store::StoreLocation;
use crate::app::price_check::{UnpricedModel, merged, unpriced_in_store};
use crate::cli::render::counted;

/// How many models are named.
const MAX_NAMED: usize = 5;

/// Names the models of the ledger and of the store that have no exact price. Imports nothing.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let (env, config) = (survey.env, &survey.loaded.config);
    let of_ledger = known_ledger(env).and_then(|ledger| {
        ledger.map_or_else(|| Ok(Vec::new()), |ledger| Ok(ledger.check_prices(&config.prices)?.unpriced))
    });
    let (of_ledger, unreadable) = match of_ledger {
        Ok(models) => (models, None),
        Err(error) => (Vec::new(), Some(Finding::warning(error.to_string(), "follow the message"))),
    };
    // Another check reports an unreachable store.
    let opened = StoreLocation::new(config).open(env, None);
    let of_store =
        opened.and_then(|(mut store, _)| unpriced_in_store(store.as_mut(), &config.prices, env.now));
    let models =
        merged(of_ledger.into_iter().map(UnpricedModel::from).collect(), of_store.unwrap_or_default());
    unreadable.into_iter().chain(unpriced(&models)).collect()
}

fn unpriced(models: &[UnpricedModel]) -> Option<Finding> {
    let named: Vec<&str> = models.iter().take(MAX_NAMED).map(|model| model.model.as_str()).collect();
    let more = if models.len() > MAX_NAMED { ", …" } else { "" };
    let found = format!(
        "{} without an exact price, charged as estimates: {}{more}",
        counted(models.len(), "model"),
        named.join(", ")
    );
    let whose = if models.len() == 1 { "its" } else { "their" };
    let fix = format!(
        "`fusebox prices check` shows what was charged; set {whose} rates in [prices] of your configuration"
    );
    (!models.is_empty()).then(|| Finding::warning(found, fix))
}
