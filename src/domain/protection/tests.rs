//! What is read out of a shell's text; and that no text at all is too much.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::place::Place;
use super::{Client, Finding, Kind, Reach, Reason, Surroundings, Touch, of_shell};

/// A client that there is not: nothing here depends on one.
static CLIENT: Client = Client {
    program: "agent",
    package: "@some/agent",
    package_paths: &["/some-agent/"],
    version_paths: &[],
    variables: &["AGENT_HOME"],
    bare: &["--bare"],
    sources: ("--from", "user"),
    settings: "--settings",
    off: "noHooks",
    folder: ".agent",
    settings_file: "settings",
    managed_file: "managed",
    prefix: "AGENT",
};

fn read(text: &str) -> Vec<Finding> {
    let vars = BTreeMap::from([("HOME".to_owned(), "/home/a".to_owned())]);
    of_shell(text, Surroundings { vars: &vars, home: "/home/a", cwd: "/home/a/p", client: &CLIENT })
}

/// The paths that are changed.
fn touched(text: &str) -> Vec<String> {
    let path = |finding| match finding {
        Finding::Touch(touch) => Some(touch.path),
        _ => None,
    };
    read(text).into_iter().filter_map(path).collect()
}

fn decides(text: &str) -> bool {
    read(text).iter().any(|finding| matches!(finding, Finding::Says(Reason::Command(_))))
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
    let file = Place::file("/home/a/.agent/settings.json", Kind::Registration);
    let touch = |path: &str, reach| {
        let touch = Touch { path: path.into(), reach, names: vec![], surely: true };
        file.is_touched(&touch)
    };
    assert!(touch("/home/a/.agent/settings.json", Reach::Itself));
    assert!(!touch("/home/a/.agent/settings.json/x", Reach::Itself));
    assert!(!touch("/home/a/.agent", Reach::Itself));
    assert!(touch("/home/a/.agent", Reach::Children));
    assert!(!touch("/home/a", Reach::Children));
    assert!(touch("/home/a", Reach::Tree));
    assert!(!touch("/home/b", Reach::Tree));
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
