//! `[prices]`: rates of models, and discounts.

use serde_json::json;

use super::{Case, MANAGED, PROJECT, USER};
use crate::config::{Config, Source};
use crate::prices::{OwnRates, Prices};

const RATES: &str = "[prices]\ndiscount = 0.1\n[prices.\"claude-opus-4.5\"]\ninput = 5\noutput = 12.5\n\
                     cache_write_5m = 6.25\ncache_write_1h = 10.0\ncache_read = 0.0125\n\
                     [prices.my-model]\ndiscount = 0.25\n";

#[test]
fn rates_are_dollars_per_million_tokens() {
    let loaded = Case::user(RATES).good();
    let rates = [5_000_000, 12_500_000, 6_250_000, 10_000_000, 12_500].map(Some);
    let models = vec![
        OwnRates { model: "claude-opus-4.5".into(), rates, discount: None },
        OwnRates { model: "my-model".into(), rates: [None; 5], discount: Some(250_000) },
    ];
    assert_eq!(loaded.config.prices, Prices { discount: 100_000, models });
    let user = Source::User(USER.into());
    assert_eq!(loaded.value("prices.discount"), (json!(0.1), user.clone()));
    assert_eq!(loaded.value("prices.\"claude-opus-4.5\".cache_read"), (json!(0.0125), user));
}

#[test]
fn a_configuration_without_prices_has_none_in_the_cache() {
    let config = Case::new().good().config;
    assert_eq!(config.prices, Prices::default());
    let text = serde_json::to_string(&config).unwrap();
    assert!(!text.contains("prices"), "{text}");
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    let config = Case::user(RATES).good().config;
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
}

#[test]
fn a_variable_sets_the_discount() {
    let loaded = Case::user(RATES).var("FUSEBOX_PRICES_DISCOUNT", "0.5").good();
    assert_eq!(loaded.config.prices.discount, 500_000);
}

#[test]
fn what_is_refused() {
    const DOLLARS: &str = "must be a number of dollars from 0 to 1000000";
    const FRACTION: &str = "must be a number from 0 to 1";
    const KEYS: &str = "input, output, cache_write_5m, cache_write_1h, cache_read, discount";
    let of_model = |line: &str| format!("[prices.\"m\"]\n{line}\n");
    let cases = [
        (of_model("input = -1"), format!("prices.\"m\".input: {DOLLARS} (found -1)")),
        (of_model("output = \"5\""), format!("prices.\"m\".output: {DOLLARS} (found \"5\")")),
        (of_model("cache_read = nan"), format!("prices.\"m\".cache_read: {DOLLARS} (found NaN)")),
        (of_model("cache_write_5m = inf"), format!("prices.\"m\".cache_write_5m: {DOLLARS} (found inf)")),
        (
            of_model("cache_write_1h = 1_000_001"),
            format!("prices.\"m\".cache_write_1h: {DOLLARS} (found 1000001)"),
        ),
        (of_model("discount = 10"), format!("prices.\"m\".discount: {FRACTION} (found 10)")),
        (
            of_model("inptu = 1"),
            format!("prices.\"m\".inptu: unknown key; did you mean input? allowed: {KEYS}"),
        ),
        (of_model("cache_write = 1"), format!("prices.\"m\".cache_write: unknown key; allowed: {KEYS}")),
        ("[prices]\ndiscount = \"a lot\"".into(), format!("prices.discount: {FRACTION} (found \"a lot\")")),
        (
            "[prices.\"a b\"]\ninput = 1".into(),
            "prices.\"a b\".input: must be the name of a model, without spaces, quotes and backslashes"
                .into(),
        ),
    ];
    for (text, message) in cases {
        let loaded = Case::user(&text).load();
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, [format!("{USER}:2: {message}")]);
        let prices = loaded.config.prices;
        assert!(prices.is_default(), "{prices:?}");
    }
    let tables = [
        ("prices = 5", "prices: must be a table, [prices] (found 5)"),
        (
            "prices.claude = 5",
            "prices.claude: unknown key; allowed in [prices]: discount, or a table [prices.\"MODEL\"]",
        ),
        ("prices.rebate = 0.1", "prices.rebate: unknown key; allowed in [prices]: discount, or a table"),
        (
            "[prices]\n\"claude-opus-4-5\" = 3",
            "prices.claude-opus-4-5: unknown key; allowed in [prices]: discount, or a table [prices.\"MODEL\"] with input, \
             output, cache_write_5m, cache_write_1h, cache_read, discount",
        ),
    ];
    for (text, message) in tables {
        let [refusal] = &Case::user(text).refusals()[..] else { panic!("one problem") };
        let line = text.lines().count();
        assert!(refusal.starts_with(&format!("{USER}:{line}: {message}")), "{refusal}");
    }
}

#[test]
fn the_project_may_not_set_prices() {
    for text in ["[prices]\ndiscount = 0.0", "[prices.\"claude-opus-5\"]\ninput = 1000"] {
        let case = Case::user(RATES).project(text);
        let [refusal] = &case.refusals()[..] else { panic!("one problem: {:?}", case.refusals()) };
        assert!(refusal.starts_with(&format!("{PROJECT}:2: prices.")), "{refusal}");
        assert!(refusal.contains("cannot be set by the project"), "{refusal}");
        assert_eq!(case.load().config, Case::user(RATES).good().config);
    }
    let variable = Case::user(RATES).project_var("FUSEBOX_PRICES_DISCOUNT", "0.9");
    assert_eq!(variable.load().config.prices.discount, 100_000);
    assert_eq!(variable.refusals().len(), 1);
}

#[test]
fn prices_of_the_managed_file_are_the_only_ones() {
    let managed = "[prices]\ndiscount = 0.2\n[prices.b]\noutput = 7\n";
    let loaded = Case::user(RATES).managed(managed).var("FUSEBOX_PRICES_DISCOUNT", "1").good();
    let rates = [None, Some(7_000_000), None, None, None];
    let output = OwnRates { model: "b".into(), rates, discount: None };
    assert_eq!(loaded.config.prices, Prices { discount: 200_000, models: vec![output] });
    assert_eq!(loaded.value("prices.discount").1, Source::Managed(MANAGED.into()));
    let without = Case::user(RATES).managed("enabled = true\n").good();
    assert_eq!(without.config.prices, Case::user(RATES).good().config.prices);
}
