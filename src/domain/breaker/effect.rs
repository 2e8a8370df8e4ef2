//! Classifies calls: they look, change something or wait.

/// What a call does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallEffect {
    /// Looks at or tries something.
    #[default]
    Looks,
    /// Changes a file or the state of the project: afterwards, the same call may have another outcome.
    Changes,
    /// Waits for something: may repeat with the same result for a while.
    Waits,
}

/// Parts of the names of MCP tools that wait.
const WAITING_TOOLS: [&str; 4] = ["wait", "poll", "sleep", "monitor"];

/// Parts of the names of MCP tools that change something.
const CHANGING_TOOLS: [&str; 14] = [
    "navigate", "click", "type", "fill", "press", "select", "create", "update", "write", "delete", "insert",
    "execute", "send", "upload",
];

/// First words of commands that wait or poll.
const WAITING_COMMANDS: [&str; 18] = [
    "sleep",
    "watch",
    "wait",
    "until",
    "while",
    "inotifywait",
    "pg_isready",
    "gh run",
    "gh pr checks",
    "gh workflow",
    "glab ci",
    "kubectl rollout",
    "kubectl wait",
    "systemctl status",
    "systemctl is-active",
    "nc -z",
    "tail -f",
    "jobs",
];

/// First words of commands that change files or the state of the project.
const CHANGING_COMMANDS: [&str; 64] = [
    "sed -i",
    "perl -i",
    "perl -pi",
    "tee",
    "patch",
    "mv",
    "cp",
    "rm",
    "mkdir",
    "touch",
    "ln",
    "chmod",
    "chown",
    "kill",
    "pkill",
    "killall",
    "unzip",
    "tar -x",
    "tar x",
    "rsync",
    "git apply",
    "git checkout",
    "git stash",
    "git commit",
    "git merge",
    "git rebase",
    "git cherry-pick",
    "git reset",
    "git restore",
    "git pull",
    "git add",
    "git mv",
    "git rm",
    "git am",
    "git revert",
    "git switch",
    "git clean",
    "git bisect",
    "npm i",
    "npm install",
    "npm ci",
    "npm update",
    "npm uninstall",
    "yarn add",
    "yarn install",
    "pnpm add",
    "pnpm install",
    "pip install",
    "pip3 install",
    "uv add",
    "uv sync",
    "poetry add",
    "cargo add",
    "cargo fix",
    "cargo fmt",
    "cargo update",
    "go get",
    "go mod",
    "go generate",
    "bundle install",
    "apt",
    "apt-get",
    "docker compose up",
    "docker compose restart",
];

/// Options that make a linter or formatter write.
const WRITING_OPTIONS: [&str; 6] =
    [" --fix", " --write", " --in-place", " -w ", " --update-snapshot", " --apply"];

impl CallEffect {
    /// Classifies a tool by the words in its name.
    pub fn from_tool_name(name: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        match (has(&WAITING_TOOLS), has(&CHANGING_TOOLS)) {
            (true, _) => Self::Waits,
            (_, true) => Self::Changes,
            _ => Self::Looks,
        }
    }

    /// Classifies a shell command line. It waits if any part of it waits.
    pub fn from_command(line: &str) -> Self {
        let (mut changes, mut waits) = (redirects(line), false);
        for command in line.split([';', '|', '&', '\n', '(', '`']) {
            let command = strip_prefix_words(command);
            let begins = |with: &&str| {
                command
                    .strip_prefix(*with)
                    .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
            };
            waits |= WAITING_COMMANDS.iter().any(begins)
                || command.contains(" --watch")
                || command.contains(" --retry");
            changes |= CHANGING_COMMANDS.iter().any(begins)
                || WRITING_OPTIONS.iter().any(|word| format!("{command} ").contains(word));
        }
        match (waits, changes) {
            (true, _) => Self::Waits,
            (false, true) => Self::Changes,
            (false, false) => Self::Looks,
        }
    }
}

/// A command without anything before its program: assignments, `sudo`, `time`, shell keywords.
fn strip_prefix_words(command: &str) -> String {
    let words = command.split_whitespace();
    let before = |word: &&str| {
        let is_assignment = word
            .split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
        is_assignment
            || ["sudo", "time", "do", "then", "else", "{", "!", "env", "nohup", "exec", "command"]
                .contains(word)
    };
    words.skip_while(before).collect::<Vec<_>>().join(" ")
}

/// Whether the command line redirects output to a file.
fn redirects(line: &str) -> bool {
    let mut parts = line.split('>');
    let mut before = parts.next().unwrap_or_default();
    for after in parts {
        let target = after.trim_start();
        let is_stream = target.starts_with('&') || target.starts_with("/dev/null");
        // `->`, `=>` and `<a>` are text, `2>` is a stream, `>>` has an empty part between.
        let is_text = before.ends_with(['-', '=', '<']) || target.is_empty() || target.starts_with('=');
        if !is_stream && !is_text && (before.is_empty() || before.ends_with([' ', '2', '1', '"', '\''])) {
            return true;
        }
        before = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_are_for() {
        let of = CallEffect::from_command;
        for command in [
            "sleep 5 && curl x",
            "watch -n1 ls",
            "gh run view 12",
            "until curl x; do sleep 1; done",
            "for i in 1 2; do sleep 1; done",
        ] {
            assert_eq!(of(command), CallEffect::Waits, "{command}");
        }
        for command in [
            "sed -i s/a/b/ f",
            "echo x > f",
            "cat a >> b",
            "cd x && npm install",
            "A=b git commit -m x",
            "ruff check --fix",
            "ls 2> err.txt",
        ] {
            assert_eq!(of(command), CallEffect::Changes, "{command}");
        }
        for command in [
            "ls",
            "cargo test 2>&1 | tail",
            "grep '->' f",
            "sleepy",
            "git status",
            "echo a > /dev/null",
            "mvn test",
            "git log --grep 'a => b'",
        ] {
            assert_eq!(of(command), CallEffect::Looks, "{command}");
        }
        assert_eq!(CallEffect::from_tool_name("wait_for"), CallEffect::Waits);
        assert_eq!(CallEffect::from_tool_name("click"), CallEffect::Changes);
        assert_eq!(CallEffect::from_tool_name("snapshot"), CallEffect::Looks);
    }
}
