//! Text in other languages, searched for Fusebox's names beside words that write or run something.

use super::tables::HOOKS;
use super::text::base;
use super::world::World;
use super::{Client, Reach, Reason, own};

/// What stands in code that changes files; in lower case.
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

/// What stands in code that takes whole folders away.
const CLEARS: [&str; 6] = ["rmtree", "rename", "move", "rmsync", "rm(", "rm -"];

/// What stands in code that runs programs.
const RUNS: [&str; 10] =
    ["system", "exec", "spawn", "subprocess", "popen", "run(", "call(", "`", "check_output", "shell"];

/// Looks at `code`. Returns whether it writes anything.
pub fn search(world: &mut World, code: &str) -> bool {
    let lower = code.to_lowercase();
    let writes = WRITES.iter().any(|mark| lower.contains(mark));
    let runs = RUNS.iter().any(|mark| lower.contains(mark));
    let words = words(code);
    if runs {
        run(world, &words);
    }
    if writes || runs {
        let clears = CLEARS.iter().any(|mark| lower.contains(mark));
        touch(world, &words, if clears { Reach::Children } else { Reach::Itself });
    }
    writes
}

/// Command lines that stand in `text`, wherever they begin.
pub fn command_lines(world: &mut World, text: &str) {
    run(world, &words(text));
}

fn words(code: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '~' | '-' | '$' | '@' | '=');
    code.split(|c| !part(c)).filter(|word| !word.is_empty()).collect()
}

fn run(world: &mut World, words: &[&str]) {
    for (at, word) in words.iter().enumerate() {
        let rest = &words[at + 1..words.len().min(at + 9)];
        match base(word) {
            "fusebox" => {
                let rest: Vec<String> = rest.iter().map(|w| (*w).to_owned()).collect();
                if let Some(command) = own::deciding(&rest) {
                    world.say(Reason::Command(command));
                }
            }
            "pkill" | "killall" | "kill" if rest.iter().any(|w| HOOKS.contains(&base(w))) => {
                world.say(Reason::Hooks);
            }
            name if name == world.at.client.program => {
                let client = world.at.client;
                let changed =
                    |w: &&str| w.starts_with("FUSEBOX_") || *w == client.off || client.variables.contains(w);
                if words.iter().any(changed) {
                    world.say(Reason::Client);
                }
            }
            _ => {}
        }
    }
}

/// Paths, whole or in parts that the code joins.
fn touch(world: &mut World, words: &[&str], reach: Reach) {
    let home = world.at.home.to_owned();
    for at in 0..words.len().min(4096) {
        let mut path = String::new();
        for part in words[at..].iter().take(5) {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part.trim_start_matches("$HOME/"));
            // Only what ends like one of ours is worth a finding.
            if !is_ours(part, world.at.client) {
                continue;
            }
            let path = path.strip_prefix('~').unwrap_or(&path);
            world.touch(path, reach, false);
            // It may be the end of a path that the code begins with the home, or with its folder.
            world.touch(&format!("{home}/{path}"), reach, false);
            if path.starts_with('/') {
                world.touch(&format!(".{path}"), reach, false);
            }
        }
    }
}

fn is_ours(part: &str, client: &Client) -> bool {
    let name = base(part);
    let ours = ["state.db", "guardrails-", "journal.jsonl", "fusebox", "config.toml"];
    let theirs = [client.settings_file, client.managed_file, client.folder];
    HOOKS.contains(&name)
        || ours.into_iter().chain(theirs).any(|beginning| name.starts_with(beginning))
        || (part.starts_with(['/', '~', '$']) && part.len() > 4)
}
