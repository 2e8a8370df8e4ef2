//! Warns of prices in the configuration that may not do what they seem to do.

use crate::config::{LoadedConfig, Problem, Source};
use crate::domain::time::Timestamp;
use crate::prices::own::CLASSES;
use crate::prices::table::Model;
use crate::prices::{OwnRates, dearest_like, name};

/// The models with prices of two names, and those that are not in the price list.
pub fn price_warnings(loaded: &LoadedConfig, now: Timestamp) -> Vec<Problem> {
    let models = &loaded.config.prices.models;
    let same = models.iter().enumerate().filter_map(|(i, own)| under_two_names(own, &models[..i]));
    let unlisted = models.iter().filter_map(|own| not_listed(own, now));
    let warning = |(model, message): (&str, String)| {
        let key = format!("prices.\"{model}\"");
        let of_model = loaded.values.iter().find(|value| value.key.starts_with(&format!("{key}.")));
        let source = of_model.map_or(Source::Default, |value| value.source.clone());
        Problem { source, line: None, key, message }
    };
    same.chain(unlisted).map(warning).collect()
}

fn under_two_names<'a>(own: &'a OwnRates, before: &'a [OwnRates]) -> Option<(&'a str, String)> {
    let of = |own: &OwnRates| Model::find(&name::canonical(&own.model));
    let known = of(own)?;
    let other = before.iter().find(|other| of(other) == Some(known))?;
    let message = format!(
        "is another name of {0}, which has prices here, too: a response gets those of exactly its name, or else those of {0}. Set only one",
        other.model
    );
    Some((&own.model, message))
}

fn not_listed(own: &OwnRates, now: Timestamp) -> Option<(&str, String)> {
    let canonical = name::canonical(&own.model);
    let unset: Vec<&str> =
        CLASSES.iter().zip(own.rates).filter(|(_, rate)| rate.is_none()).map(|(class, _)| *class).collect();
    if Model::find(&canonical).is_some() || unset.is_empty() {
        return None;
    }
    let like = dearest_like(&canonical, now, 0, false).0?.label().model;
    let message = format!(
        "is not in the price list: what is not set here ({}) costs as much as {like}, as an estimate",
        unset.join(", ")
    );
    Some((&own.model, message))
}
