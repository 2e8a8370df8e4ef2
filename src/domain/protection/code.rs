//! Searches code in other languages for Fusebox's names beside words that write or run something.

use super::analysis::Analysis;
use super::tables::HOOKS;
use super::text::file_name;
use super::{ChangeExtent, Client, ProtectionReason, own_commands};

/// Words in code that changes files, in lower case.
const WRITES: [&str; 36] = [
    "write",
    ".dump(",
    "unlink",
    "remove",
    "rename",
    "os.replace",
    "truncate",
    "chmod",
    "chown",
    "rmtree",
    "symlink",
    "copy",
    "move",
    "delete",
    "insert ",
    "update ",
    "drop ",
    "spawn",
    "popen",
    "'w",
    "\"w",
    "'a'",
    "\"a\"",
    "'a+",
    "'ab",
    "\"ab",
    "'r+",
    "\"r+",
    "'>",
    "\">",
    "touch(",
    "rm ",
    "rmsync",
    "rm(",
    "utimes",
    "fs.cp",
];

/// Words in code that removes or moves whole folders.
const REMOVES_TREES: [&str; 6] = ["rmtree", "rename", "move", "rmsync", "rm(", "rm -"];

/// Words in code that runs programs, or types into a terminal.
const RUNS: [&str; 11] = [
    "system",
    "exec",
    "spawn",
    "subprocess",
    "popen",
    "run(",
    "call(",
    "`",
    "check_output",
    "shell",
    "tiocsti",
];

/// Searches `code`. Returns whether it writes anything.
pub fn search(analysis: &mut Analysis, code: &str) -> bool {
    let lower = code.to_lowercase();
    let writes = WRITES.iter().any(|mark| lower.contains(mark));
    let runs = RUNS.iter().any(|mark| lower.contains(mark));
    let words = split_words(code);
    if runs {
        find_commands(analysis, &words);
    }
    if writes || runs {
        let clears = REMOVES_TREES.iter().any(|mark| lower.contains(mark));
        change_paths(analysis, &words, if clears { ChangeExtent::Children } else { ChangeExtent::Itself });
    }
    writes
}

/// Analyses command lines in `text`, wherever they start.
pub fn command_lines(analysis: &mut Analysis, text: &str) {
    find_commands(analysis, &split_words(text));
}

fn split_words(code: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '~' | '-' | '$' | '@' | '=');
    code.split(|c| !part(c)).filter(|word| !word.is_empty()).collect()
}

fn find_commands(analysis: &mut Analysis, words: &[&str]) {
    for (at, word) in words.iter().enumerate() {
        let rest = &words[at + 1..words.len().min(at + 9)];
        match file_name(word) {
            "fusebox" => {
                let rest: Vec<String> = rest.iter().map(|w| (*w).to_owned()).collect();
                if let Some(command) = own_commands::deciding_command(&rest) {
                    analysis.forbid(ProtectionReason::Command(command));
                }
            }
            "pkill" | "killall" | "kill" if rest.iter().any(|w| HOOKS.contains(&file_name(w))) => {
                analysis.forbid(ProtectionReason::Hooks);
            }
            name if name == analysis.context.client.program => {
                let client = analysis.context.client;
                // Options, each with at most one word as its value.
                let options = rest.iter().zip(std::iter::once(word).chain(rest));
                let options = options.take_while(|(w, before)| {
                    w.starts_with('-') || before.starts_with('-') || *before == word
                });
                let mut options = options.map(|(w, _)| w).filter(|w| w.starts_with("--"));
                let harmful = |w: &&&str| !client.is_harmless_option(w.split('=').next().unwrap_or(w));
                if let Some(option) = options.find(harmful) {
                    analysis.forbid(ProtectionReason::client_with(option));
                }
                let weakens = |w: &&str| match w.split_once('=') {
                    Some((name, _)) => client.is_guard_variable(name),
                    None => client.is_weakened_by(w),
                };
                if words.iter().any(weakens) {
                    analysis.forbid(ProtectionReason::Client);
                }
            }
            _ => {}
        }
    }
}

/// Reports paths, whole or joined from parts.
fn change_paths(analysis: &mut Analysis, words: &[&str], extent: ChangeExtent) {
    let home = analysis.context.home.to_owned();
    for at in 0..words.len().min(4096) {
        let mut path = String::new();
        for part in words[at..].iter().take(5) {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part.trim_start_matches("$HOME/"));
            // Only a path that ends like one of ours is worth reporting.
            if !is_ours(part, analysis.context.client) {
                continue;
            }
            let path = path.strip_prefix('~').unwrap_or(&path);
            analysis.change_path(path, extent, false);
            // It may be the end of a path that the code starts with the home folder, or a folder in it.
            analysis.change_path(&format!("{home}/{path}"), extent, false);
            if path.starts_with('/') {
                analysis.change_path(&format!(".{path}"), extent, false);
            }
        }
    }
}

fn is_ours(part: &str, client: &Client) -> bool {
    let name = file_name(part);
    let ours = ["state.db", "guardrails-", "journal.jsonl", "fusebox", "config.toml"];
    let theirs = [client.settings_file, client.managed_file, client.settings_folder];
    HOOKS.contains(&name)
        || ours.into_iter().chain(theirs).any(|beginning| name.starts_with(beginning))
        || (part.starts_with(['/', '~', '$']) && part.len() > 4)
}
