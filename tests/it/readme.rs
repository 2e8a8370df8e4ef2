//! README against the program: what it shows must be so.

use crate::harness::Home;

const README: &str = include_str!("../../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in README.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => *block += &format!("{line}\n"),
            (None, Some(tag)) if tag == language => open = Some(String::new()),
            _ => {}
        }
    }
    blocks
}

#[test]
fn the_configuration_is_taken_as_it_stands() {
    let home = Home::new();
    let [toml] = &blocks("toml")[..] else { panic!("one block of TOML") };
    home.configure(toml);
    let ran = home.fusebox(&["config", "show"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("Europe/Berlin"), "{ran:?}");
}

#[test]
fn the_status_object_is_the_one_shown() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[crate::harness::message(1, 1, 1)]);
    home.hook("PostToolUse", "s", serde_json::json!({}));
    let [shown] = &blocks("json")[..] else { panic!("one block of JSON") };
    let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    let real = home.status("s");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&shown), keys(&real));
    assert_eq!(keys(&shown["tokens"]), keys(&real["tokens"]));
    assert_eq!(keys(&shown["budgets"][0]), keys(&real["budgets"][0]));
}

#[test]
fn every_command_shown_is_one() {
    let home = Home::new();
    let shown = blocks("sh").join("\n");
    let mut seen = 0;
    for line in shown.lines().filter_map(|line| line.strip_prefix("fusebox ")) {
        let words: Vec<&str> =
            line.split_whitespace().take_while(|w| !w.starts_with(['-', '#', '"'])).collect();
        let command = &words[..words.len().min(if words[0] == "budget" { 2 } else { 1 })];
        let help = home.fusebox(&[command, &["--help"]].concat());
        assert_eq!(help.code, 0, "{line}: {help:?}");
        let code = line.split(" #").next().unwrap_or_default();
        for flag in code.split_whitespace().filter(|w| w.starts_with("--")) {
            assert!(help.stdout.contains(flag), "{line}: {flag} is not in the help");
        }
        seen += 1;
    }
    assert!(seen >= 5, "{seen} commands");
}

#[test]
fn links_lead_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let headings: Vec<String> = README
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    let targets = README.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for target in targets.filter(|t| !t.starts_with("http")) {
        match target.strip_prefix('#') {
            Some(anchor) => assert!(headings.iter().any(|h| h == anchor), "#{anchor} in {headings:?}"),
            None => assert!(root.join(target).exists(), "{target}"),
        }
    }
}
