//! The demo: what it prints fits a terminal, and can be copied from it.

use crate::harness::Home;

#[test]
fn its_lines_are_short_and_break_inside_no_id() {
    let ran = Home::new().fusebox(&["demo"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    for line in ran.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let has_row =
        |words: [&str; 2]| ran.stdout.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has_row(["BUDGET", "STATUS"]) && has_row(["105.25%", "paused"]), "{}", ran.stdout);
    let id = "67393810-3473-4bd3-b05f-e73c943b62e9";
    let whole = ran.stdout.matches(id).count();
    assert!(whole > 5, "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("67393810-").count(), whole, "{}", ran.stdout);
    for said in ["session budget reached", "use it to finish your work", "PreToolUse stopped"] {
        let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{said}: {}", ran.stdout);
    }
}
