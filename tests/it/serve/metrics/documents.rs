//! The dashboard, the rules and the page about metrics use names that are exported, and `promtool` accepts them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::super::{Serve, busy_session};
use super::{ONE, wait_for};
use crate::harness::{Home, Ran, run};

const DASHBOARD: &str = include_str!("../../../../docs/grafana.json");
const RULES: &str = include_str!("../../../../docs/prometheus-rules.yml");
const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// The names of all samples, without the prefix.
fn exported(home: &Home) -> BTreeSet<String> {
    busy_session(home, ONE);
    let serve = Serve::start(home, &[]);
    let found = wait_for(&serve, "asdlc_store_up", 1.0);
    found
        .keys()
        .map(|name| name.split('{').next().unwrap().strip_prefix("asdlc_").unwrap().to_owned())
        .collect()
}

/// The names after each occurrence of `prefix`.
fn names_after<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    text.split(prefix).skip(1).map(|rest| &rest[..end(rest)]).collect()
}

#[test]
fn they_use_what_is_exported() {
    let exported = exported(&Home::new());
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(
        queries.len() >= panels.len() && queries.iter().all(|query| query.contains("${prefix}")),
        "{queries:?}"
    );
    let default =
        dashboard["templating"]["list"].as_array().unwrap().iter().find(|one| one["name"] == "prefix");
    assert_eq!(default.unwrap()["query"], "asdlc_");
    let expressions: String = RULES.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    // Names of recording rules have colons before and after those of metrics.
    let in_rules: BTreeSet<&str> = expressions
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| !word.contains(':'))
        .filter_map(|word| word.strip_prefix("asdlc_"))
        .collect();
    for (of, used) in [("dashboard", names_after(&queries.join(" "), "${prefix}")), ("rules", in_rules)] {
        let missing: Vec<_> = used.iter().filter(|name| !exported.contains(**name)).collect();
        assert!(missing.is_empty() && used.len() >= 10, "{of}: {missing:?} of {used:?}");
    }
}

#[test]
fn the_page_describes_every_metric() {
    let family = |name: String| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part).map(str::to_owned))
            .unwrap_or(name)
    };
    let exported: BTreeSet<String> = exported(&Home::new()).into_iter().map(family).collect();
    let described: BTreeSet<String> = PAGE
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .collect();
    assert_eq!(described, exported);
}

fn promtool(arguments: &[&str], input: &[u8]) -> Ran {
    run(Command::new("promtool").args(arguments), input)
}

#[test]
fn live_promtool_finds_nothing_to_say() {
    let home = Home::new();
    busy_session(&home, ONE);
    let serve = Serve::start(&home, &[]);
    wait_for(&serve, "asdlc_store_up", 1.0);
    for server in [&serve, &Serve::start(&Home::new(), &[])] {
        let checked = promtool(&["check", "metrics"], server.get("/metrics").body.as_bytes());
        assert_eq!((checked.code, checked.stdout.as_str(), checked.stderr.as_str()), (0, "", ""));
    }
}

#[test]
fn live_promtool_accepts_the_rules() {
    let (home, root) = (Home::new(), env!("CARGO_MANIFEST_DIR"));
    let rules = format!("{root}/docs/prometheus-rules.yml");
    let checked = promtool(&["check", "rules", &rules], b"");
    assert_eq!(checked.code, 0, "{checked:?}");
    let tests = include_str!("../../../fixtures/prometheus/rules.test.yml").replace("RULES", &rules);
    let file = home.path("rules.test.yml");
    std::fs::write(&file, tests).unwrap();
    let tested = promtool(&["test", "rules", file.to_str().unwrap()], b"");
    assert_eq!(tested.code, 0, "{tested:?}");
}
