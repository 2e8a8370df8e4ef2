//! Rules for the source: the layers, words about agents, and code for operating systems.

use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => files(&path, found),
            path => found.push(path),
        }
    }
}

/// Matching lines of the files in `src`, except those in `except`.
fn lines_with(except: &str, is_found: impl Fn(&str) -> bool) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    files(&root.join("src"), &mut all);
    assert!(all.len() > 100);
    let mut found = Vec::new();
    for path in all.iter().filter(|path| !path.starts_with(root.join(except))) {
        // Vendored files may be compressed.
        let Ok(text) = fs::read_to_string(path) else { continue };
        let lines = text.lines().enumerate().filter(|(_, line)| is_found(line));
        let shown = path.strip_prefix(root).unwrap().display();
        found.extend(lines.map(|(n, line)| format!("{shown}:{}: {}", n + 1, line.trim())));
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn only_one_folder_knows_the_system() {
    let marks = ["/proc", "openat2", "target_os", "unsafe ", "unsafe_code"];
    let found = lines_with("src/platform", |line| marks.iter().any(|mark| line.contains(mark)));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_domain_knows_no_agent() {
    let words = ["Claude", "Bash", "PreToolUse", "PostToolUse"];
    let found = lines_with("src/none", |line| words.iter().any(|word| has_word(line, word)));
    let found: Vec<_> = found.iter().filter(|line| line.starts_with("src/domain/")).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_layer_imports_one_above_it() {
    // Each layer with the folders that it must not import.
    let layers = [
        (
            "src/domain/",
            &[
                "prices",
                "platform",
                "transcript",
                "agents",
                "config",
                "store",
                "ledger",
                "app",
                "hook",
                "server",
                "cli",
            ][..],
        ),
        (
            "src/prices/",
            &[
                "platform",
                "transcript",
                "agents",
                "config",
                "store",
                "ledger",
                "app",
                "hook",
                "server",
                "cli",
            ],
        ),
        (
            "src/platform/",
            &["transcript", "agents", "config", "store", "ledger", "app", "hook", "server", "cli"],
        ),
        ("src/transcript/", &["agents", "config", "store", "ledger", "app", "hook", "server", "cli"]),
        ("src/agents/", &["config", "store", "ledger", "app", "hook", "server", "cli"]),
        ("src/config/", &["store", "ledger", "app", "hook", "server", "cli"]),
        ("src/store/", &["agents", "ledger", "app", "hook", "server", "cli"]),
        ("src/ledger/", &["app", "hook", "server", "cli"]),
        ("src/app/", &["hook", "server", "cli"]),
        ("src/hook/", &["server", "cli"]),
        ("src/server/", &["cli"]),
    ];
    let imports = lines_with("src/none", |line| line.contains("crate::"));
    for (layer, above) in layers {
        let is_above = |line: &&String| {
            line.contains("crate::{") || above.iter().any(|room| line.contains(&format!("crate::{room}")))
        };
        let found: Vec<_> = imports.iter().filter(|line| line.starts_with(layer)).filter(is_above).collect();
        assert!(found.is_empty(), "{layer}: {found:#?}");
    }
}
