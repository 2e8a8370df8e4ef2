//! Checks the docs against the program: links work, commands parse, configurations are valid, and every key and
//! variable is in its table, with its default.

mod page;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use fusebox::domain::breaker::rules::RULES;
use fusebox::domain::scope::Scope;
use serde_json::{Value, json};

use self::page::Page;
use crate::harness::{Home, message};

/// External hosts that pages may link to.
const HOSTS: [&str; 2] = ["semver.org", "github.com"];

const CONFIGURATION: &str = "docs/configuration.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> Page {
    Page::read(root(), Path::new(name))
}

fn pages() -> Vec<Page> {
    let docs = root().join("docs").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| Path::new("docs").join(name));
    let mut names: Vec<PathBuf> =
        docs.filter(|name| name.extension().is_some_and(|kind| kind == "md")).collect();
    names.sort();
    names.extend(
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "tests/fixtures/README.md"].map(PathBuf::from),
    );
    names.iter().map(|name| Page::read(root(), name)).collect()
}

/// Why a link is broken; `None` if it works.
fn broken(page: &Page, link: &str) -> Option<String> {
    if let Some((scheme, rest)) = link.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        let known = scheme == "https" && HOSTS.contains(&host);
        return (!known).then(|| "not https, or a host that is not expected".into());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        page.name.clone()
    } else {
        page::plain(&page.name.parent().unwrap().join(path))
    };
    if !root().join(&target).exists() {
        return Some(format!("there is no {}", target.display()));
    }
    let missing = || !Page::read(root(), &target).anchors.contains(anchor);
    (!anchor.is_empty() && missing()).then(|| format!("{} has no #{anchor}", target.display()))
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for page in pages() {
        for link in &page.links {
            assert_eq!(broken(&page, link), None, "{}: {link}", page.name.display());
            links += 1;
        }
    }
    assert!(links > 20, "{links} links");
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let page = page(CONFIGURATION);
    for (link, leads) in [
        ("guarantees.md#fail-safe", true),
        ("../README.md", true),
        ("#variables", true),
        ("guarantees.md#no-such-heading", false),
        ("no-such-page.md", false),
        ("README.md", false),
        ("#no-such-heading", false),
        ("http://semver.org", false),
        ("https://example.com/", false),
    ] {
        assert_eq!(broken(&page, link).is_none(), leads, "{link}");
    }
}

#[test]
fn each_page_can_be_reached_from_readme() {
    let links = page("README.md").links;
    for page in pages().iter().filter(|page| page.name.starts_with("docs")) {
        let name = page.name.to_str().unwrap();
        assert!(links.iter().any(|link| link.split('#').next() == Some(name)), "{name}");
    }
}

#[test]
fn every_configuration_shown_is_taken() {
    let mut seen = 0;
    for page in pages() {
        for toml in page.blocks("toml") {
            let home = Home::new();
            home.configure(toml);
            let ran = home.fusebox(&["config", "check"]);
            let is_valid = ran.code == 0 && ran.stdout.starts_with("The configuration is valid.\n\n");
            assert!(is_valid, "{}:\n{toml}\n{ran:?}", page.name.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} configurations");
}

/// The `fusebox` command lines in a line of shell.
fn commands(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("no line of shell: {line}"));
    let parts = words.split(|word| ["|", "&&", ";"].contains(&word.as_str()));
    let own = parts.map(|part| {
        let words = part.iter().skip_while(|word| word.contains('=')).take_while(|word| *word != ">");
        words.cloned().collect::<Vec<_>>()
    });
    own.filter(|words| words.first().is_some_and(|word| word.rsplit('/').next() == Some("fusebox"))).collect()
}

#[test]
fn every_command_shown_is_one() {
    let mut seen = 0;
    for page in pages() {
        let blocks: Vec<String> = page.blocks("sh").map(|block| block.replace("\\\n", " ")).collect();
        for line in blocks.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty()) {
            for words in commands(line) {
                if let Err(error) = fusebox::cli::Cli::try_parse_from(&words) {
                    panic!("{}: {line}\n{error}", page.name.display());
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "{seen} commands");
    let line = "X=1 target/release/fusebox budget extend session --tokens 5 --reason 'a | b' | jq . && fusebox nonsense # c";
    let [first, second] = &commands(line)[..] else { panic!("two commands") };
    assert!(fusebox::cli::Cli::try_parse_from(first).is_ok());
    assert!(fusebox::cli::Cli::try_parse_from(second).is_err());
}

#[test]
fn the_status_object_is_the_one_shown() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 1, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    let commands = page("docs/commands.md");
    let shown: Value = serde_json::from_str(commands.blocks("json").next().unwrap()).unwrap();
    let real = home.status("s");
    assert_eq!(keys(&shown), keys(&real));
    assert_eq!(keys(&shown["tokens"]), keys(&real["tokens"]));
    assert_eq!(keys(&shown["budgets"][0]), keys(&real["budgets"][0]));
}

#[test]
fn the_alert_object_is_the_one_shown() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 5, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    let configuration = page(CONFIGURATION);
    let shown: Value = serde_json::from_str(configuration.blocks("json").next().unwrap()).unwrap();
    assert_eq!(keys(&shown), keys(&home.fusebox(&["alerts", "list", "--json"]).json()[0]));
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The values in force without any configuration; `limit` and the like are those of the built-in budget.
fn defaults() -> Vec<(String, Value)> {
    let shown = Home::new().fusebox(&["config", "show", "--json"]).json();
    let throttled = Home::new()
        .var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", "1")
        .fusebox(&["config", "show", "--json"])
        .json();
    // Throttling limits apply only with the hard limit, which has no default.
    let only_with_it = throttled["values"].as_array().unwrap().iter().filter(|v| {
        v["key"].as_str().unwrap().starts_with("throttle.") && v["key"] != "throttle.hard_limit_tokens"
    });
    let values = shown["values"].as_array().unwrap().iter().chain(only_with_it);
    values.map(|v| (v["key"].as_str().unwrap().to_owned(), v["value"].clone())).collect()
}

/// A value as documented: TOML in code, or `none`.
fn documented(cell: &page::Cell) -> Option<Value> {
    match (&cell.code[..], cell.text.as_str()) {
        ([], "none") => Some(Value::Null),
        ([code], _) => {
            let table: toml::Table = toml::from_str(&format!("x = {code}")).unwrap();
            Some(serde_json::to_value(&table["x"]).unwrap())
        }
        _ => None,
    }
}

#[test]
fn every_key_stands_in_its_table_with_its_default() {
    let configuration = page(CONFIGURATION);
    for (table, prefix) in [("settings", ""), ("budgets", "budget.session.")] {
        let rows = configuration.table(table);
        let of_table = |key: &str| key.starts_with("budget.") != prefix.is_empty();
        let defaults: Vec<(String, Value)> =
            defaults().into_iter().filter(|(key, _)| of_table(key)).collect();
        let documented_keys: BTreeSet<String> =
            rows.iter().map(|row| format!("{prefix}{}", row[0].code[0])).collect();
        let keys: BTreeSet<String> = defaults.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(documented_keys, keys, "{table}");
        for row in &rows {
            let key = format!("{prefix}{}", row[0].code[0]);
            let (_, default) = defaults.iter().find(|(name, _)| *name == key).unwrap();
            match documented(&row[2]) {
                Some(value) => assert_eq!(value, *default, "{key}"),
                None => {
                    assert!(row[2].text.contains("1,000,000") && key.ends_with(".limit"), "{key}: {row:?}")
                }
            }
        }
    }
}

/// Rates and platforms have no defaults without a table of them.
#[test]
fn keys_of_rates_and_platforms_stand_in_their_tables_with_their_defaults() {
    let home = Home::new();
    home.configure("[[rate]]\nname = \"x\"\nlimit = 5\nminutes = 5\n[[platform]]\nname = \"x\"\n");
    let shown = home.fusebox(&["config", "show", "--json"]).json();
    for (table, prefix) in [("rates", "rate.x."), ("platforms", "platform.x.")] {
        let rows = page(CONFIGURATION).table(table);
        let values = shown["values"].as_array().unwrap().iter();
        let values: Vec<(&str, &Value)> =
            values.filter_map(|v| Some((v["key"].as_str()?.strip_prefix(prefix)?, &v["value"]))).collect();
        assert_eq!(
            rows.iter().map(|row| row[0].code[0].as_str()).collect::<Vec<_>>(),
            values.iter().map(|v| v.0).collect::<Vec<_>>()
        );
        for (row, (key, value)) in rows.iter().zip(values) {
            let default = documented(&row[2]).unwrap();
            let is_required = row[4].text.ends_with("; required");
            assert!(default == *value || (is_required && default.is_null()), "{key}: {row:?}");
        }
    }
}

#[test]
fn what_the_project_may_is_what_stands_in_the_tables() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("project/.claude")).unwrap();
    std::fs::write(home.path("project/.claude/fusebox.toml"), "enabled = false\n").unwrap();
    let said = home.fusebox(&["config", "show"]).stderr;
    let list = said.trim().rsplit("tighten existing ones (").next().unwrap();
    let (list, tables) = list.split_once("), ").unwrap();
    let program: BTreeSet<&str> = list.split(", ").collect();
    let rows = [page(CONFIGURATION).table("settings"), page(CONFIGURATION).table("budgets")].concat();
    let tighten =
        rows.iter().filter(|row| row[3].text.starts_with("tighten")).map(|row| row[0].code[0].as_str());
    let (in_tables, rest): (BTreeSet<&str>, BTreeSet<&str>) = tighten.partition(|key| {
        key.split_once('.').is_some_and(|(table, _)| tables.contains(&format!("[{table}]")))
    });
    assert_eq!(rest, program);
    assert!(in_tables.len() > 15, "{in_tables:?}");
}

/// Every variable in a string literal of the sources.
fn read_by_sources(dir: &Path, found: &mut BTreeSet<String>) {
    const BEGINNINGS: [&str; 3] = ["FUSEBOX_", "CLAUDE", "XDG_"];
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "tests" {
            read_by_sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let is_name =
                |word: &&str| word.len() > 6 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            let names = text.split('"').filter(is_name).filter(|word| !word.ends_with('_'));
            let names = names.filter(|word| BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)));
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_variable_stands_in_the_page() {
    let home = Home::new().var("FUSEBOX_NONSENSE", "1");
    let said = home.fusebox(&["config", "show"]).stderr;
    let list = said.lines().find_map(|line| line.split_once("allowed: ")).unwrap().1;
    let allowed: BTreeSet<String> = list.split(", ").map(str::to_owned).collect();
    let mut known = allowed.clone();
    read_by_sources(&root().join("src"), &mut known);
    // Release builds ignore it.
    known.retain(|name| !name.starts_with("FUSEBOX_TEST_"));
    known.retain(|name| !name.starts_with("FUSEBOX_BUDGET_") || name.contains('<'));
    assert!(known.len() > 20, "{known:?}");

    let configuration = page(CONFIGURATION);
    let named: BTreeSet<String> = configuration.codes.iter().cloned().collect();
    let missing: Vec<&String> = known.iter().filter(|name| !named.contains(*name)).collect();
    assert_eq!(missing, [] as [&String; 0], "not in the page");

    let rows = configuration.table("variables");
    let documented: BTreeSet<&String> = rows.iter().flat_map(|row| &row[0].code).collect();
    assert!(allowed.iter().all(|name| documented.contains(name)), "{documented:?}");
    // Not Fusebox's own names: libraries and the system read them.
    let others = ["HOME", "USER", "PATH", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"];
    let strange: Vec<&&String> = documented
        .iter()
        .filter(|name| !known.contains(**name) && !others.contains(&name.as_str()))
        .collect();
    assert_eq!(strange, [] as [&&String; 0], "no such variable");
}

#[test]
fn every_command_stands_in_the_table() {
    let home = Home::new();
    let all = crate::manual::commands(&home, &[]);
    let last = |path: &&Vec<String>| {
        !path.is_empty() && !all.iter().any(|other| other.len() > path.len() && other.starts_with(path))
    };
    let program: BTreeSet<String> = all.iter().filter(last).map(|path| path.join(" ")).collect();
    let rows = page("docs/commands.md").table("commands");
    let documented: BTreeSet<String> = rows.iter().map(|row| row[0].code[0].clone()).collect();
    assert_eq!(documented, program);

    let home = Home::new().var("CLAUDECODE", "1");
    for row in rows.iter().filter(|row| row[2].text.starts_with("refuses")) {
        let words: Vec<&str> = row[0].code[0].split(' ').collect();
        let more: &[&str] = match words[..] {
            ["budget", "extend"] => &["session", "--tokens", "5", "--reason", "x"],
            ["budget", _] => &["session", "--reason", "x"],
            ["quota", "reset"] => &["--platform", "p", "--reason", "x", "--yes"],
            ["alerts", "ack"] => &["--all"],
            ["circuit", _] => &["--reason", "x"],
            _ => &[],
        };
        let ran = home.fusebox(&[&words[..], more].concat());
        assert!(ran.code == 2 && ran.stderr.contains("inside an agent's shell"), "{words:?}: {ran:?}");
    }
}

#[test]
fn every_rule_stands_in_the_table_with_its_presets() {
    let documented: Vec<Vec<String>> = page("docs/breaker.md")
        .table("the-rules")
        .iter()
        .map(|row| {
            let numbers = row[2..].iter().map(|cell| cell.text.replace(',', ""));
            [row[0].code[0].clone(), row[1].code[0].clone()].into_iter().chain(numbers).collect()
        })
        .collect();
    let rules: Vec<Vec<String>> = RULES
        .iter()
        .map(|rule| {
            let numbers = rule.presets.map(|limit| limit.map_or("off".to_owned(), |n| n.to_string()));
            let key = rule.key.trim_start_matches("breaker.").to_owned();
            [rule.name.to_owned(), key].into_iter().chain(numbers).collect()
        })
        .collect();
    assert_eq!(documented, rules);
}

#[test]
fn every_scope_stands_in_the_table() {
    let rows = page(CONFIGURATION).table("scopes");
    let documented: Vec<String> = rows.iter().map(|row| row[0].text.clone()).collect();
    assert_eq!(documented, Scope::ALL.map(|(name, _)| name));
}
