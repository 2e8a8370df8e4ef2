//! Clients started by a call: only in forms that are known to keep this session's variables and hooks.

use super::analysis::Analysis;
use super::text::{UNKNOWN, file_name};
use super::{ProtectionReason, Suspicion};

/// How a client is named and started. Defined in the agent's folder.
#[derive(Debug)]
pub struct Client {
    /// The name of the program.
    pub program: &'static str,
    /// Parts of the paths of its package, and the package's name.
    pub package_paths: &'static [&'static str],
    /// Parts of the paths of its installed versions.
    pub version_paths: &'static [&'static str],
    /// Variables of its own that change nothing about its hooks and its transcript. An item may end in `*`.
    pub harmless_variables: &'static str,
    /// Prefixes of its own variables, and of Fusebox's.
    pub variable_prefixes: &'static [&'static str],
    /// Long options, without dashes, with which it keeps its hooks and its transcript.
    pub harmless_options: &'static str,
    /// Letters of short options of the same kind.
    pub harmless_letters: &'static str,
    /// Commands that start no session.
    pub commands: &'static str,
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
    /// Prefix of its variables, to recognise text about it.
    pub variable_prefix: &'static str,
}

/// Programs that run a package or a script, and the words with which package managers do.
const RUNNERS: [&str; 8] = ["npx", "bunx", "pnpm", "yarn", "npm", "node", "bun", "pnpx"];
const RUNNER_VERBS: [&str; 4] = ["x", "exec", "dlx", "run"];

impl Client {
    /// Whether a variable may change how a client is guarded.
    pub fn is_guard_variable(&self, name: &str) -> bool {
        name == "HOME" || name.starts_with("XDG_") || self.is_own_variable(name)
    }

    /// Whether a variable of the client or of Fusebox may change how a client is guarded.
    fn is_own_variable(&self, name: &str) -> bool {
        self.variable_prefixes.iter().any(|prefix| name.starts_with(prefix))
            && !is_listed(self.harmless_variables, name)
    }

    /// The arguments of the client, if a program starts it: by its own name, or as a package.
    pub fn arguments<'w>(&self, program: &str, arguments: &'w [String]) -> Option<&'w [String]> {
        // The package itself, or its program in it.
        let is_start = |rest: &str| !rest.contains('/') || file_name(rest).starts_with(self.program);
        let is_package = |word: &str| {
            !word.contains(char::is_whitespace)
                && self
                    .package_paths
                    .iter()
                    .any(|part| word.split_once(part).is_some_and(|(_, r)| is_start(r)))
        };
        let name = file_name(program);
        if RUNNERS.contains(&name) {
            let at = arguments.iter().take(5).position(|word| is_package(word))?;
            let runs = |word: &String| word.starts_with('-') || RUNNER_VERBS.contains(&word.as_str());
            return arguments[..at].iter().all(runs).then(|| &arguments[at + 1..]);
        }
        let is_version = || self.version_paths.iter().any(|part| program.contains(part));
        (name == self.program || is_package(program) || is_version()).then_some(arguments)
    }

    /// Whether an option, with its dashes and without a value, is known to leave hooks and transcript as they are.
    pub fn is_harmless_option(&self, option: &str) -> bool {
        match option.strip_prefix("--") {
            Some(name) => is_listed(self.harmless_options, name),
            None => option[1..].starts_with(|letter| self.harmless_letters.contains(letter)),
        }
    }

    /// Whether settings disable hooks, or set a variable that could.
    pub fn is_weakened_by(&self, settings: &str) -> bool {
        settings.contains(self.hooks_off_setting)
            || settings.contains("FUSEBOX_")
            || settings.split('"').any(|name| self.is_own_variable(name))
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

/// Whether `name` is in a list separated by spaces.
fn is_listed(list: &str, name: &str) -> bool {
    list.split(' ').any(|item| match item.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => item == name,
    })
}

/// Checks the start of a client; `changed`: variables that differ from this session's.
pub fn check_start(analysis: &mut Analysis, arguments: &[String], changed: &[String]) {
    let client = analysis.context.client;
    if arguments.first().is_some_and(|word| is_listed(client.commands, word)) {
        return;
    }
    if analysis.is_detached {
        analysis.forbid(ProtectionReason::Client);
    }
    if let Some(name) = changed.iter().find(|name| client.is_guard_variable(name)) {
        analysis.forbid(ProtectionReason::client_with(name));
    } else if changed.iter().any(|name| name == "*") {
        analysis.forbid(ProtectionReason::Client);
    }
    for (at, word) in arguments.iter().enumerate() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), arguments.get(at + 1).cloned()),
        };
        // A text may start with a dash, too.
        let is_option = option.starts_with('-') && option.len() > 1 && !option.starts_with("- ");
        if !is_option || option == "--" {
            continue;
        }
        let value = value.unwrap_or_default();
        let (sources, needed) = client.sources_option;
        let is_harmless = match option {
            _ if option == sources => value.split(',').any(|source| source.trim() == needed),
            _ if option == client.settings_option => !client.is_weakened_by(&value),
            _ => client.is_harmless_option(option),
        };
        if !is_harmless {
            analysis.forbid(ProtectionReason::client_with(option));
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

/// Checks copies and links, to the last path: a client under another name is not recognised later.
pub fn check_copies(analysis: &mut Analysis, paths: &[&String]) {
    let client = analysis.context.client;
    let is_client = |path: &str| client.arguments(path, &[]).is_some();
    // In a folder, it keeps its name.
    let Some((to, from)) = paths.split_last() else { return };
    if is_client(to) || to.ends_with(['/', '.']) {
        return;
    }
    for path in from.iter().filter(|path| is_client(path)) {
        match path.contains(UNKNOWN) {
            true => analysis.forbid(ProtectionReason::Client),
            false => analysis.report(Suspicion::ClientCopied(analysis.resolve_path(path))),
        }
    }
}
