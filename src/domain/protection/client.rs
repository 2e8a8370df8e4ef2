//! Clients started by a call: with or without this session's variables and hooks.

use super::analysis::Analysis;
use super::text::file_name;
use super::{ProtectionReason, Suspicion};

/// How a client is named and started. Defined in the agent's folder.
#[derive(Debug)]
pub struct Client {
    /// The name of the program.
    pub program: &'static str,
    /// Prefix of its package's name, for package runners.
    pub package_prefix: &'static str,
    /// Parts of the paths of its package.
    pub package_paths: &'static [&'static str],
    /// Parts of the paths of its installed versions.
    pub version_paths: &'static [&'static str],
    /// Variables that determine where it finds its hooks.
    pub variables: &'static [&'static str],
    /// Options that start it without its hooks.
    pub hookless_options: &'static [&'static str],
    /// The option that selects settings sources, and the source that contains its hooks.
    pub sources_option: (&'static str, &'static str),
    /// The option that adds settings: JSON, or a file.
    pub settings_option: &'static str,
    /// The setting that disables its hooks.
    pub hooks_off_setting: &'static str,
    /// The name of its settings folder, in a project and in the home folder.
    pub settings_folder: &'static str,
    /// Prefix of the names of its settings files.
    pub settings_file: &'static str,
    /// Prefix of the names of files with managed settings.
    pub managed_file: &'static str,
    /// Prefix of its variables.
    pub variable_prefix: &'static str,
}

/// Package runners.
const RUNNERS: [&str; 8] = ["npx", "bunx", "pnpm", "yarn", "npm", "node", "bun", "pnpx"];

/// Variables that determine where a client and Fusebox find their files.
const FOLDERS: [&str; 3] = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];

impl Client {
    /// Whether a variable changes how a client is guarded.
    pub fn is_guard_variable(&self, name: &str) -> bool {
        name.starts_with("FUSEBOX_") || FOLDERS.contains(&name) || self.variables.contains(&name)
    }

    /// Whether a program starts the client, by its own name or its package's.
    pub fn is_started_by(&self, program: &str, arguments: &[String]) -> bool {
        let has = |word: &str, parts: &[&str]| parts.iter().any(|part| word.contains(part));
        let package = |word: &str| word.starts_with(self.package_prefix) || has(word, self.package_paths);
        match file_name(program) {
            name if name == self.program => true,
            name if RUNNERS.contains(&name) => arguments.iter().take(4).any(|word| package(word)),
            _ => package(program) || has(program, self.version_paths),
        }
    }

    /// Whether settings disable hooks, or set variables of Fusebox.
    pub fn is_weakened_by(&self, settings: &str) -> bool {
        settings.contains(self.hooks_off_setting) || settings.contains("FUSEBOX_")
    }

    /// Whether `text` could name something of Fusebox's, or the client's settings. Ignores quotes and backslashes,
    /// which a shell removes.
    pub fn is_mentioned(&self, text: &str) -> bool {
        let needles = [
            self.program,
            self.variable_prefix,
            self.settings_file,
            self.hooks_off_setting,
            "fusebox",
            "FUSEBOX",
            "state.db",
            "guardrails",
            "tool-use",
            "prompt-submit",
            "session-event",
        ];
        // Byte by byte: a faster search first detects CPU features, which takes longer than this whole loop.
        let quoting = |b: &u8| matches!(b, b'\'' | b'"' | b'\\');
        let bytes: Vec<u8> = text.bytes().filter(|b| !quoting(b)).collect();
        let begins = |at: usize| needles.iter().any(|needle| bytes[at..].starts_with(needle.as_bytes()));
        (0..bytes.len()).any(begins)
    }
}

/// Checks the start of a client; `changed`: variables that differ from this session's.
pub fn check_start<'n>(
    analysis: &mut Analysis,
    arguments: &[String],
    changed: impl IntoIterator<Item = &'n String>,
) {
    let client = analysis.context.client;
    if changed.into_iter().any(|name| client.is_guard_variable(name) || name == "*") {
        analysis.forbid(ProtectionReason::Client);
    }
    for (at, word) in arguments.iter().enumerate() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), arguments.get(at + 1).cloned()),
        };
        let value = value.unwrap_or_default();
        let (sources, needed) = client.sources_option;
        let reads_hooks = || value.split(',').any(|source| source.trim() == needed);
        let is_loosened = option == client.settings_option && client.is_weakened_by(&value);
        if client.hookless_options.contains(&option) || (option == sources && !reads_hooks()) || is_loosened {
            analysis.forbid(ProtectionReason::Client);
        } else if option == client.settings_option && !value.trim_start().starts_with('{') {
            let path = analysis.resolve_path(&value);
            match analysis.files.get(&path) {
                Some(text) if client.is_weakened_by(text) => analysis.forbid(ProtectionReason::Client),
                Some(_) => {}
                None => analysis.report(Suspicion::ClientSettings(path)),
            }
        }
    }
}
