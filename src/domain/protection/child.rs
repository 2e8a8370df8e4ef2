//! Clients that a call starts: with this session's variables and hooks, or around them?

use super::text::base;
use super::world::World;
use super::{Finding, Reason};

/// Variables that say where a client finds its hooks, and Fusebox its files.
const DECIDING: [&str; 6] = [
    "CLAUDE_CONFIG_DIR",
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "CLAUDE_CODE_SIMPLE",
    "CLAUDE_CODE_SAFE_MODE",
];

/// Whether a variable changes what guards a client.
pub fn is_deciding(name: &str) -> bool {
    name.starts_with("FUSEBOX_") || DECIDING.contains(&name)
}

/// Whether a program is a client: by its name, or its package's.
pub fn is_client(program: &str, arguments: &[String]) -> bool {
    let package =
        |word: &str| word.starts_with("@anthropic-ai/claude-code") || word.contains("/claude-code/");
    match base(program) {
        "claude" => true,
        "npx" | "bunx" | "pnpm" | "yarn" | "npm" | "node" | "bun" | "pnpx" => {
            arguments.iter().take(4).any(|word| package(word))
        }
        _ => package(program) || program.contains("/claude/versions/"),
    }
}

/// Looks at the start of a client; `changed`: variables that are not this session's.
pub fn check<'n>(world: &mut World, arguments: &[String], changed: impl IntoIterator<Item = &'n String>) {
    if changed.into_iter().any(|name| is_deciding(name) || name == "*") {
        world.say(Reason::Client);
    }
    for (at, word) in arguments.iter().enumerate() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), arguments.get(at + 1).cloned()),
        };
        let value = value.unwrap_or_default();
        match option {
            "--bare" | "--safe-mode" => world.say(Reason::Client),
            "--setting-sources" if !value.split(',').any(|source| source.trim() == "user") => {
                world.say(Reason::Client);
            }
            "--settings" if loosens(&value) => world.say(Reason::Client),
            "--settings" if !value.trim_start().starts_with('{') => {
                let path = world.place(&value);
                match world.files.get(&path) {
                    Some(text) if loosens(text) => world.say(Reason::Client),
                    Some(_) => {}
                    None => world.find(Finding::Settings(path)),
                }
            }
            _ => {}
        }
    }
}

/// Whether settings turn hooks off, or set variables of Fusebox's.
pub fn loosens(settings: &str) -> bool {
    settings.contains("disableAllHooks") || settings.contains("FUSEBOX_")
}
