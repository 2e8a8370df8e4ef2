//! Prices as the vendors publish them. `tests/it/prices.rs` compares with the calculator of the price list.

use proptest::prelude::*;

use super::table::Model;
use super::*;
use crate::domain::usage::Usage;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"))
}

const TODAY: &str = "2026-11-29T12:00:00Z";
const STANDARD: Terms = Terms { fast: false, us_only: false, batch: false };
const FAST: Terms = Terms { fast: true, ..STANDARD };

fn quote(model: &str, when: &str, prompt: u64, terms: Terms) -> Rates {
    Prices::default().quote(model, at(when), prompt, terms)
}

/// Dollars per million tokens: input, output, writes for 5 minutes and 1 hour, reads.
fn dollars(rates: Rates) -> [f64; 5] {
    [rates.input, rates.output, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read]
        .map(|rate| rate as f64 / 1e6)
}

#[test]
fn the_published_table() {
    const SMALL: u64 = 100_000;
    const LARGE: u64 = 100_001;
    let table = [
        ("claude-fable-5-2", TODAY, 0, [8.0, 40.0, 10.0, 16.0, 0.2]),
        ("claude-mythos-5-2", "2026-11-09T00:00:00Z", 0, [8.0, 40.0, 10.0, 16.0, 0.2]),
        ("claude-fable-5-1", TODAY, 0, [10.0, 50.0, 12.5, 20.0, 0.25]),
        ("claude-mythos-5-1", "2026-09-01T00:00:00Z", 0, [10.0, 50.0, 12.5, 20.0, 0.25]),
        ("claude-fable-5", TODAY, 0, [10.0, 50.0, 12.5, 20.0, 1.0]),
        ("claude-mythos-5", TODAY, 0, [10.0, 50.0, 12.5, 20.0, 1.0]),
        ("claude-opus-5-5", TODAY, 0, [4.0, 20.0, 5.0, 8.0, 0.2]),
        ("claude-opus-5", TODAY, 0, [5.0, 25.0, 6.25, 10.0, 0.5]),
        ("claude-opus-4-8", TODAY, 0, [5.0, 25.0, 6.25, 10.0, 0.5]),
        ("claude-opus-4-7", TODAY, 0, [5.0, 25.0, 6.25, 10.0, 0.5]),
        ("claude-opus-4-6", TODAY, 0, [5.0, 25.0, 6.25, 10.0, 0.5]),
        ("claude-opus-4-5", TODAY, 0, [5.0, 25.0, 6.25, 10.0, 0.5]),
        ("claude-sonnet-5-5", "2026-10-06T23:59:59Z", 0, [2.0, 10.0, 2.5, 4.0, 0.2]),
        ("claude-sonnet-5-5", "2026-10-07T00:00:00Z", 0, [2.0, 10.0, 2.5, 4.0, 0.1]),
        ("claude-sonnet-5", TODAY, 0, [2.0, 10.0, 2.5, 4.0, 0.2]),
        ("claude-haiku-5-5", TODAY, SMALL, [0.1, 0.5, 0.125, 0.2, 0.01]),
        ("claude-haiku-5-5", TODAY, LARGE, [0.5, 2.5, 0.625, 1.0, 0.05]),
        ("claude-haiku-4-5", TODAY, 0, [1.0, 5.0, 1.25, 2.0, 0.1]),
    ];
    for (model, when, prompt, expected) in table {
        let rates = quote(model, when, prompt, STANDARD);
        assert_eq!(dollars(rates), expected, "{model} {when} {prompt}");
        assert_eq!((rates.web_search, rates.is_estimate), (10_000_000, false), "{model}");
        let batch = quote(model, when, prompt, Terms { batch: true, ..STANDARD });
        assert_eq!(dollars(batch), expected.map(|dollars| dollars / 2.0), "{model}");
        assert_eq!(batch.web_search, 10_000_000, "{model}");
    }
}

#[test]
fn fast_mode_where_it_is_sold() {
    for (model, expected) in [
        ("claude-fable-5-2", [16.0, 80.0, 20.0, 32.0, 0.4]),
        ("claude-mythos-5-2", [16.0, 80.0, 20.0, 32.0, 0.4]),
        ("claude-opus-5-5", [8.0, 40.0, 10.0, 16.0, 0.4]),
        ("claude-opus-5", [10.0, 50.0, 12.5, 20.0, 1.0]),
        ("claude-opus-4-8", [10.0, 50.0, 12.5, 20.0, 1.0]),
    ] {
        let rates = quote(model, TODAY, 0, FAST);
        assert_eq!((dollars(rates), rates.is_estimate), (expected, false), "{model}");
    }
    // It ended for these: whatever says that it was fast then gets the last price, as an estimate.
    for (model, last, first_without, input) in [
        ("claude-opus-4-8", "2026-11-29T23:59:59.999Z", "2026-11-30T00:00:00Z", 10.0),
        ("claude-opus-4-7", "2026-07-23T23:59:59.999Z", "2026-07-24T00:00:00Z", 30.0),
        ("claude-opus-4-6", "2026-07-23T23:59:59.999Z", "2026-07-24T00:00:00Z", 30.0),
    ] {
        let (sold, ended) = (quote(model, last, 0, FAST), quote(model, first_without, 0, FAST));
        assert_eq!((dollars(sold)[0], sold.is_estimate), (input, false), "{model}");
        assert_eq!((dollars(ended)[0], ended.is_estimate), (input, true), "{model}");
    }
    let never = quote("claude-sonnet-5", TODAY, 0, FAST);
    assert_eq!((dollars(never), never.is_estimate), ([4.0, 20.0, 5.0, 8.0, 0.4], true));
    // The name says nothing about the speed.
    assert_eq!(dollars(quote("claude-opus-5-fast", TODAY, 0, STANDARD))[0], 5.0);
}

#[test]
fn a_tier_is_of_its_time_and_prices_the_whole_request() {
    for (model, last, flat, [small, large]) in [
        ("claude-opus-4-6", "2026-03-12T23:59:59Z", "2026-03-13T00:00:00Z", [5.0, 10.0]),
        ("claude-sonnet-4-6", "2026-03-12T23:59:59Z", "2026-03-13T00:00:00Z", [3.0, 6.0]),
        ("claude-sonnet-4-5", "2026-04-29T23:59:59Z", "2026-04-30T00:00:00Z", [3.0, 6.0]),
    ] {
        let input = |when, prompt| dollars(quote(model, when, prompt, STANDARD))[0];
        assert_eq!([input(last, 200_000), input(last, 200_001)], [small, large], "{model}");
        assert_eq!([input(flat, 200_000), input(flat, 200_001)], [small; 2], "{model}");
    }
    assert_eq!(dollars(quote("gemini-2.5-pro", TODAY, 200_000, STANDARD))[..2], [1.25, 10.0]);
    assert_eq!(dollars(quote("gemini-2.5-pro", TODAY, 200_001, STANDARD))[..2], [2.5, 15.0]);
}

#[test]
fn inference_in_the_united_states_costs_more_from_4_6_on() {
    let us_only = Terms { us_only: true, ..STANDARD };
    let factor = |model: &str| {
        let of = |terms| quote(model, TODAY, 0, terms);
        assert_eq!(of(us_only).web_search, of(STANDARD).web_search);
        of(us_only).cache_read as f64 / of(STANDARD).cache_read as f64
    };
    for model in
        ["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-5-5", "claude-fable-5", "claude-mythos-5-2"]
    {
        assert_eq!(factor(model), 1.1, "{model}");
    }
    // Every Claude model with a price is in the list, or older.
    for model in Model::all().map(|model| model.label()).filter(|label| label.vendor == "anthropic") {
        let old = ["claude-2", "claude-3", "claude-v1", "4-0", "4-1", "4-5"]
            .iter()
            .any(|old| model.model.contains(old));
        assert_eq!(factor(model.model), if old { 1.0 } else { 1.1 }, "{model:?}");
    }
    assert_eq!(factor("claude-opus-9"), 1.1);
    assert_eq!(factor("a-gateways-own-name"), 1.1);
    assert_eq!(factor("gpt-6-sol"), 1.0);
}

#[test]
fn other_names_of_a_model_have_its_price() {
    for (name, model) in [
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("anthropic.claude-fable-5-2-v1:0", "claude-fable-5-2"),
        ("anthropic.claude-v2:1", "claude-2"),
        ("anthropic/claude-opus-4.5", "claude-opus-4-5"),
        ("openrouter/anthropic/claude-fable-5.2", "claude-fable-5-2"),
        ("anthropic/claude-haiku-5.5-20261007", "claude-haiku-5-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-5-5@20261001", "claude-sonnet-5-5"),
        ("publishers/anthropic/models/claude-opus-5@default", "claude-opus-5"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5-v1:0", "claude-opus-5"),
        ("claude-sonnet-4-6[1m]", "claude-sonnet-4-6"),
        ("CLAUDE-OPUS-5-5", "claude-opus-5-5"),
        (" Claude-Sonnet-5 ", "claude-sonnet-5"),
        ("claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-latest"),
        ("claude-opus-4-20250514", "claude-opus-4-0"),
        ("claude-2.1", "claude-2"),
        ("openai/gpt-6-sol", "gpt-6-sol"),
        ("gpt-6-sol-2026-09-01", "gpt-6-sol"),
        ("global.openai.gpt-6-sol", "gpt-6-sol"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("gemini-3.5-flash-001", "gemini-3.5-flash"),
    ] {
        let found = Model::find(&name::canonical(name)).map(|found| found.label().model);
        assert_eq!(found, Some(model), "{name}");
        assert!(!quote(name, TODAY, 0, STANDARD).is_estimate, "{name}");
    }
}

#[test]
fn what_is_not_known_costs_what_the_dearest_of_its_family_costs() {
    for (name, [input, output]) in [
        ("claude-opus-6", [15.0, 75.0]),
        ("claude-opus-4-10", [15.0, 75.0]),
        ("claude-opus-4-5-5", [15.0, 75.0]),
        ("claude-sonnet-7-20270101", [3.0, 15.0]),
        ("claude-haiku-6", [1.0, 5.0]),
        ("us.anthropic.claude-fable-6-v1:0", [10.0, 50.0]),
        ("claude-mythos-9", [10.0, 50.0]),
        ("claude-saga-1", [15.0, 75.0]),
        ("a-gateways-own-name", [15.0, 75.0]),
        ("", [15.0, 75.0]),
    ] {
        let rates = quote(name, TODAY, 0, STANDARD);
        assert_eq!((dollars(rates)[..2].to_vec(), rates.is_estimate), (vec![input, output], true), "{name}");
    }
    for (name, family) in [("gpt-99", "gpt"), ("gemini-99-ultra", "gemini"), ("x-ai/grok-99", "grok")] {
        let rates = quote(name, TODAY, 0, STANDARD);
        let dearest = Model::family(family).map(|model| model.rates(at(TODAY), 0, false).output).max();
        assert!(rates.is_estimate && Some(rates.output) == dearest && rates.output > 0, "{name}: {rates:?}");
    }
}

#[test]
fn a_model_that_is_listed_as_free_is_free() {
    let rates = quote("qwen/qwen3-coder:free", TODAY, 0, STANDARD);
    assert_eq!(rates, Rates::default());
    assert!(quote("qwen/qwen3-coder", TODAY, 0, STANDARD).output > 0);
    assert!(quote("qwen/not-listed:free", TODAY, 0, STANDARD).output > 0);
    let free = Model::all().filter(|model| model.rates(at(TODAY), 0, false) == Rates::default());
    assert!(free.count() > 50);
}

#[test]
fn prices_by_the_hour() {
    let input = |when| quote("deepseek-v4-pro", when, 0, STANDARD).input;
    assert_ne!(input("2026-11-29T00:59:59.999Z"), input("2026-11-29T01:00:00Z"));
    assert_ne!(input("2026-11-29T03:59:59.999Z"), input("2026-11-29T04:00:00Z"));
}

#[test]
fn a_request_costs_its_tokens_times_their_rates() {
    // 4,425 × $5 and 600 × $25, each per million.
    let usage = Usage { input: 4_425, output: 600, ..Usage::default() };
    assert_eq!(quote("claude-opus-4-8", TODAY, 4_425, STANDARD).cost(usage, 0), 37_125_000);
}

const NONE: [Option<u64>; 5] = [None; 5];

fn own(model: &str, rates: [Option<u64>; 5], discount: Option<u32>) -> Prices {
    Prices { models: vec![OwnRates { model: model.to_owned(), rates, discount }], ..Prices::default() }
}

#[test]
fn own_rates_and_discounts() {
    let of = |prices: &Prices, model: &str, terms| prices.quote(model, at(TODAY), 0, terms);
    let mut input = NONE;
    input[0] = Some(1_000_000);
    let half = own("claude-opus-4-5", input, Some(500_000));
    for name in ["claude-opus-4-5", "us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-4.5-opus"] {
        assert_eq!(dollars(of(&half, name, STANDARD)), [0.5, 12.5, 3.125, 5.0, 0.25], "{name}");
        assert_eq!(of(&half, name, STANDARD).web_search, 5_000_000);
    }
    assert_eq!(dollars(of(&half, "claude-opus-5", STANDARD))[0], 5.0);
    let batch = of(&half, "claude-opus-4-5", Terms { batch: true, ..STANDARD });
    assert_eq!(dollars(batch)[0], 0.25);
    let fast = of(&half, "claude-opus-4-5", FAST);
    assert_eq!((dollars(fast)[0], fast.is_estimate), (1.0, true));

    let all = Prices { discount: 100_000, ..half.clone() };
    assert_eq!(dollars(of(&all, "claude-opus-5", STANDARD))[..2], [4.5, 22.5]);
    assert_eq!(dollars(of(&all, "claude-opus-4-5", STANDARD))[0], 0.5, "the model's own discount");

    for (rates, is_estimate) in [([Some(7), Some(7), Some(7), Some(7), None], true), ([Some(7); 5], false)] {
        let quoted = of(&own("my-model", rates, None), "My-Model", STANDARD);
        assert_eq!((quoted.input, quoted.is_estimate), (7, is_estimate));
    }
}

#[test]
fn what_is_set_survives_the_cache() {
    let prices = own("claude-opus-4-5", [Some(1), None, None, None, None], Some(2));
    let text = serde_json::to_string(&prices).expect("JSON");
    assert_eq!(
        text,
        r#"{"models":[{"model":"claude-opus-4-5","rates":[1,null,null,null,null],"discount":2}]}"#
    );
    assert_eq!(serde_json::from_str::<Prices>(&text).expect("prices"), prices);
    assert_eq!(serde_json::to_string(&Prices::default()).expect("JSON"), "{}");
}

proptest! {
    #[test]
    fn every_name_has_a_price(name in "\\PC{0,40}", tail in "(claude|opus|gpt-|[-.@:/*\\[\\]0-9a-zé]){0,12}", time in any::<i64>(), prompt in any::<u64>()) {
        for name in [format!("{name}{tail}"), format!("claude-opus-5{tail}"), tail] {
            for bits in 0..8u8 {
                let terms = Terms { fast: bits & 1 > 0, us_only: bits & 2 > 0, batch: bits & 4 > 0 };
                let rates = Prices::default().quote(&name, Timestamp(time), prompt, terms);
                let known = Model::find(&name::canonical(&name)).is_some();
                prop_assert!(known || (rates.is_estimate && rates.output > 0), "{} {:?}", name, rates);
            }
        }
    }
}

#[test]
fn every_claude_model_is_found_by_its_name_and_by_names_with_dates() {
    for model in Model::all().filter(|model| model.label().vendor == "anthropic") {
        let name = model.label().model;
        for name in
            [name.to_owned(), format!("{name}-20261231"), format!("us.anthropic.{name}-20261231-v1:0")]
        {
            assert_eq!(Model::find(&name::canonical(&name)), Some(model), "{name}");
        }
    }
}
