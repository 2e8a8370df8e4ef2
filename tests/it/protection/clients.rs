//! Which forms of starting a client are allowed.

use std::collections::BTreeMap;

use fusebox::agents::{ALL, Agent};
use fusebox::domain::protection::{ProtectionReason, ShellContext, Suspicion, check_command};
use proptest::prelude::*;

fn is_client_denied(command: &str) -> bool {
    let at = ShellContext {
        vars: &BTreeMap::new(),
        home: "/home/a",
        cwd: "/home/a/p",
        client: Agent::protected_client(ALL[0]),
    };
    let is_client = |found: &Suspicion| {
        let Suspicion::Forbidden(reason) = found else { return false };
        matches!(reason, ProtectionReason::Client | ProtectionReason::ClientWith(_))
    };
    check_command(command, at).iter().any(is_client)
}

/// A word as a person might quote it.
fn quoted(word: &str, style: usize) -> String {
    let (one, two) = word.split_at(word.len() / 2);
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-=,.".contains(c));
    match style {
        _ if !is_plain => format!("'{word}'"),
        0 => format!("'{word}'"),
        1 => format!("\"{word}\""),
        2 => format!("{one}''{two}"),
        3 => format!("\"{one}\"'{two}'"),
        4 => format!("{one}\\\n{two}"),
        _ => word.replace('-', "\\-"),
    }
}

const GOOD: [&[&str]; 10] = [
    &["-p"],
    &["--print", "go on"],
    &["--model", "haiku"],
    &["--model=opus"],
    &["--max-turns", "3"],
    &["--allowedTools", "Bash(git *)", "Edit"],
    &["--permission-mode", "plan"],
    &["--append-system-prompt", "- be brief"],
    &["-r", "a-session", "--fork-session"],
    &["--setting-sources", "project, user"],
];
const BAD: [&str; 9] = [
    "--bare",
    "--safe-mode",
    "--restricted",
    "--no-session-persistence",
    "--bg",
    "--background",
    "--setting-sources=project",
    "--settings={\"disableAllHooks\":true}",
    "--anything-new",
];
const STARTS: [&str; 7] = [
    "claude",
    "ANTHROPIC_MODEL=haiku claude",
    "timeout 9 nice claude",
    "~/.local/bin/claude",
    "/opt/claude/versions/2.1.332",
    "npx -y @anthropic-ai/claude-code@latest",
    "node /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js",
];

proptest! {
    #[test]
    fn good_options_are_allowed_in_any_order_and_one_bad_among_them_is_not(
        start in 0..STARTS.len(),
        chosen in proptest::sample::subsequence(GOOD.to_vec(), 0..GOOD.len()).prop_shuffle(),
        bad in 0..BAD.len(),
        place in 0_usize..20,
        styles in proptest::collection::vec(0_usize..6, 24),
    ) {
        let line = |words: &[&str]| {
            let words = words.iter().zip(&styles).map(|(word, style)| quoted(word, *style));
            format!("{} {}", STARTS[start], words.collect::<Vec<_>>().join(" "))
        };
        let mut words: Vec<&str> = chosen.concat();
        prop_assert!(!is_client_denied(&line(&words)), "{}", line(&words));
        words.insert(place % (words.len() + 1), BAD[bad]);
        prop_assert!(is_client_denied(&line(&words)), "{}", line(&words));
        for around in ["sh -c", "eval"] {
            let inner = line(&words).replace('\'', "'\\''");
            prop_assert!(is_client_denied(&format!("{around} '{inner}'")), "{around}");
        }
    }
}

#[test]
fn variables_that_change_nothing_are_allowed() {
    for (name, denied) in [
        ("ANTHROPIC_API_KEY", false),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", false),
        ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", false),
        ("PATH", false),
        ("CLAUDE_CODE_SKIP_PROMPT_HISTORY", true),
        ("CLAUDE_CODE_SIMPLE", true),
        ("CLAUDECODE", true),
        ("CLAUDE_CONFIG_DIR", true),
        ("ANTHROPIC_CONFIG_DIR", true),
        ("FUSEBOX_TASK_TYPE", true),
        ("XDG_STATE_HOME", true),
        ("HOME", true),
    ] {
        for way in [
            format!("{name}=1 claude -p x"),
            format!("env {name}=1 nohup claude -p x"),
            format!("export {name}=1\nclaude -p x"),
            format!("unset {name}; (cd sub && claude -p x)"),
            format!("env -u {name} claude -p x"),
            format!("bash -c '{name}=1 npx @anthropic-ai/claude-code -p x'"),
        ] {
            assert_eq!(is_client_denied(&way), denied, "{way}");
        }
    }
}
