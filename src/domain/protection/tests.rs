//! Tests of the analysis of shell text, including that it handles any text.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::protected_path::ProtectedPath;
use super::{
    ChangeExtent, Client, PathChange, ProtectedKind, ProtectionReason, ShellContext, Suspicion, check_command,
};

/// A fictitious client: nothing here depends on a real one.
static CLIENT: Client = Client {
    program: "agent",
    package_paths: &["@some/agent"],
    version_paths: &[],
    harmless_variables: "AGENT_MODEL AGENT_KEY_*",
    variable_prefixes: &["FUSEBOX_", "AGENT_"],
    harmless_options: "print model",
    harmless_letters: "pm",
    commands: "doctor --version",
    sources_option: ("--from", "user"),
    settings_option: "--settings",
    hooks_off_setting: "noHooks",
    settings_folder: ".agent",
    settings_file: "settings",
    managed_file: "managed",
    variable_prefix: "AGENT",
};

fn read(text: &str) -> Vec<Suspicion> {
    let vars = BTreeMap::from([("HOME".to_owned(), "/home/a".to_owned())]);
    check_command(text, ShellContext { vars: &vars, home: "/home/a", cwd: "/home/a/p", client: &CLIENT })
}

/// The changed paths.
fn touched(text: &str) -> Vec<String> {
    let path = |suspicion| match suspicion {
        Suspicion::PathChanged(change) => Some(change.path),
        _ => None,
    };
    read(text).into_iter().filter_map(path).collect()
}

fn decides(text: &str) -> bool {
    read(text).iter().any(|suspicion| matches!(suspicion, Suspicion::Forbidden(ProtectionReason::Command(_))))
}

#[test]
fn paths_are_those_that_a_shell_would_make_of_the_words() {
    for (text, paths) in [
        ("> a", vec!["/home/a/p/a"]),
        ("echo x 2>/dev/null >>~/b", vec!["/home/a/b"]),
        ("echo x 2>&1 >&c", vec!["/home/a/p/c"]),
        ("cd ../q && : > \"$PWD/d\"", vec!["/home/a/q/d"]),
        ("(cd /x; : > d); : > e", vec!["/x/d", "/home/a/p/e"]),
        ("X=/y; : > $X/f", vec!["/y/f"]),
        (": > \"${UNSET:-/z}/g\"", vec!["/z/g"]),
        (": > '$HOME'", vec!["/home/a/p/$HOME"]),
        ("cat <<'E' > h\nit's > no\nE\n: > i", vec!["/home/a/p/h", "/home/a/p/i"]),
        ("rm {j,k}/l", vec!["/home/a/p/j/l", "/home/a/p/k/l"]),
        ("case a in b) : > m;; c|d) : > n;; esac", vec!["/home/a/p/m", "/home/a/p/n"]),
        ("[[ a > b ]] && (( 1 > 0 )); echo $((2 > 1))", vec![]),
        ("# > o\necho '>' \\> a#b", vec![]),
        ("diff <(sort a) <(sort b)", vec![]),
    ] {
        let mut found = touched(text);
        found.sort();
        let mut wanted: Vec<String> = paths.into_iter().map(str::to_owned).collect();
        wanted.sort();
        assert_eq!(found, wanted, "{text}");
    }
}

#[test]
fn text_that_is_only_said_is_no_command() {
    let line = "fusebox budget reset session";
    for (text, is_one) in [
        (line.to_owned(), true),
        (format!("echo {line}"), false),
        (format!("echo '; {line}'"), false),
        (format!("echo $({line})"), true),
        (format!("echo '$({line})'"), false),
        (format!("git commit -m \"$(cat <<'E'\nthat's how: {line}\nE\n)\""), false),
        (format!("cat <<E\n$({line})\nE"), true),
        (format!("echo {line} | cat"), false),
        (format!("echo {line} | sh"), true),
        (format!("x() {{ {line}; }}"), true),
        (format!("# {line}"), false),
    ] {
        assert_eq!(decides(&text), is_one, "{text}");
    }
}

#[test]
fn a_place_is_touched_as_far_as_a_command_reaches() {
    let file = ProtectedPath::file("/home/a/.agent/settings.json", ProtectedKind::Registration);
    let changes = |path: &str, extent| {
        let change = PathChange { path: path.into(), extent, names: vec![], is_certain: true };
        file.is_changed_by(&change)
    };
    assert!(changes("/home/a/.agent/settings.json", ChangeExtent::Itself));
    assert!(!changes("/home/a/.agent/settings.json/x", ChangeExtent::Itself));
    assert!(!changes("/home/a/.agent", ChangeExtent::Itself));
    assert!(changes("/home/a/.agent", ChangeExtent::Children));
    assert!(!changes("/home/a", ChangeExtent::Children));
    assert!(changes("/home/a", ChangeExtent::Tree));
    assert!(!changes("/home/b", ChangeExtent::Tree));
}

#[test]
fn a_text_that_stands_for_endlessly_many_words_ends() {
    let deep = |open: &str, close: &str, n: usize| format!("{}x{}", open.repeat(n), close.repeat(n));
    for text in [
        format!("a=xxxxxxxxxx\n{}echo $a > $a", "a=$a$a$a$a\n".repeat(60)),
        format!("echo xxxxxxxx > f\n{}", "cat f f f f > g; cat g g g g > f\n".repeat(60)),
        format!("rm {}", "{a,b}".repeat(60)),
        deep("$(", ")", 50_000),
        deep("(", ")", 50_000),
        deep("{a,", "}", 5_000),
        deep("\"$(", ")\"", 20_000),
        "[a[a``<< \\".to_owned(),
        "<<a ".repeat(60_000),
        "`".repeat(50_001),
        "${".repeat(50_000),
        "eval eval ".repeat(20_000),
        "f() { f; }; ".repeat(10_000),
        "echo 'sh $0' > s; sh s; ".repeat(1_000),
    ] {
        read(&text);
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "[a-z/ ~*?{},$()'\"`\\\\<>|&;=\n#\\[\\]!E-]{0,200}") {
        read(&text);
    }

    #[test]
    fn words_in_quotes_are_the_same_words(cut in 1_usize..6) {
        let (before, after) = "fusebox".split_at(cut);
        for quote in ["''", "\"\"", "\\\n"] {
            prop_assert!(decides(&format!("{before}{quote}{after} budget reset session")), "{before}{quote}{after}");
        }
    }
}
