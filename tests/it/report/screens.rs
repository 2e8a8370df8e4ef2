//! Reports in a real terminal of 80 and of 120 columns.

use std::cell::Cell;
use std::process::Command;
use std::time::{Duration, Instant};

use super::ledger::{self, Entry};
use super::{HAIKU, OPUS, at};
use crate::harness::{Home, program_path};

/// Far longer than a report takes.
const LIMIT: Duration = Duration::from_mins(1);

/// Figures of a heavy user: widths that real tables have.
fn heavy() -> Vec<Entry> {
    let mut entries = Vec::new();
    for day in 1..=30 {
        for (n, model) in [OPUS, HAIKU, "claude-sonnet-5-5", "claude-opus-4-5-20251101"].iter().enumerate() {
            let at = format!("2026-11-{day:02}T{:02}:30:00.000Z", 9 + n);
            let scale = u64::from(day == 13) * 3 + 1;
            let tokens = [12_345, 345_678, 1_234_567, 2_345_678, 234_567_890].map(|n| n * scale);
            entries.push(Entry {
                session: Some(format!("67393810-3473-4bd3-b05f-e73c943b62{day:02}")),
                project: Some(format!("/home/dev/src/company/services/project-{}", day % 7)),
                price_estimated: n == 3 && day > 20,
                ..Entry::new(
                    &format!("{day} {model}"),
                    &at,
                    model,
                    tokens,
                    12_345_678_901 * scale / (n as u64 + 1),
                )
            });
        }
    }
    entries
}

/// A terminal, and a ledger to report on.
struct Screens {
    home: Home,
    servers: Cell<u32>,
}

impl Screens {
    fn new(entries: &[Entry]) -> Self {
        Self::of(super::client_home(), entries)
    }

    /// At this time.
    fn at(now: &str, entries: &[Entry]) -> Self {
        Self::of(at(super::client_home(), now), entries)
    }

    fn of(home: Home, entries: &[Entry]) -> Self {
        let home = home.var("TZ", "UTC").var("LC_ALL", "C.UTF-8");
        ledger::write(&home.path("state/ledger.db"), entries);
        std::fs::write(home.path("tmux.conf"), "set -g status off\n").unwrap();
        Self { home, servers: Cell::new(0) }
    }

    fn tmux(&self) -> Command {
        let mut command = self.home.furnish(Command::new("tmux"));
        // A server of its own each time: one that is ending refuses clients.
        let socket = format!("socket-{}", self.servers.get());
        command.arg("-u").arg("-S").arg(self.home.path(&socket)).arg("-f").arg(self.home.path("tmux.conf"));
        command
    }

    /// The screen of a terminal of this width after `fusebox report ARGUMENTS`.
    fn report(&self, columns: usize, rows: usize, arguments: &str) -> String {
        self.screen(columns, rows, &format!("report {arguments}"))
    }

    /// The same after `fusebox ARGUMENTS`.
    fn screen(&self, columns: usize, rows: usize, arguments: &str) -> String {
        self.servers.set(self.servers.get() + 1);
        let script =
            format!("{} {arguments}; printf '\\033]0;ended\\007'; exec cat", program_path("fusebox"));
        let size = [columns, rows].map(|n| n.to_string());
        let started = self
            .tmux()
            .args(["new-session", "-d", "-x", &size[0], "-y", &size[1], "sh", "-c", &script])
            .output()
            .unwrap();
        assert!(started.status.success(), "{started:?}");
        let end = Instant::now() + LIMIT;
        let ask = |arguments: &[&str]| {
            String::from_utf8(self.tmux().args(arguments).output().unwrap().stdout).unwrap()
        };
        // The title comes after all output.
        while ask(&["display-message", "-p", "#{pane_title}"]).trim() != "ended" {
            assert!(Instant::now() < end, "no end: {}", ask(&["capture-pane", "-p"]));
        }
        // Without -J, a line that the terminal wrapped would be two.
        let screen = ask(&["capture-pane", "-p"]);
        ask(&["kill-server"]);
        screen.trim_end().to_owned()
    }
}

impl Drop for Screens {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}

/// The words of a line.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_day_is_a_line_at_80_and_at_120_columns() {
    let screens = Screens::new(&heavy());
    let narrow = screens.report(80, 50, "daily");
    let wide = screens.report(120, 50, "daily");
    for (screen, columns) in [(&narrow, 80), (&wide, 120)] {
        let lines: Vec<&str> = screen.lines().collect();
        assert_eq!(
            lines.len(),
            33,
            "a header, 30 days, the total and a note, and no line is wrapped:\n{screen}"
        );
        assert!(lines.iter().all(|line| line.chars().count() <= columns), "{screen}");
        assert!(lines[31].starts_with("total"), "{screen}");
        assert!(lines[32].starts_with("+ includes estimates"), "{screen}");
        // Estimates since the 21st.
        assert!(lines[20].contains("$25.72 ") || lines[20].ends_with("$25.72"), "{screen}");
        assert!(lines[21].contains("$25.72+") && lines[31].contains("$848.77+"), "{screen}");
        // Decimal points stand below each other.
        let point = |line: &str| line.chars().position(|c| c == '.').unwrap();
        assert!(lines[1..32].iter().all(|line| point(line) == point(lines[1])), "{screen}");
    }
    assert_eq!(words(narrow.lines().next().unwrap())[..3], ["DAY", "MODELS", "INPUT"], "{narrow}");
    assert!(narrow.contains("opus-5-5") && narrow.contains("+3"), "{narrow}");
    let header = words(wide.lines().next().unwrap());
    assert!(["WRITE", "READ", "TOTAL", "USD"].iter().all(|column| header.contains(column)), "{wide}");
    assert!(wide.contains("4,691,359") || wide.contains("4,938,268"), "cache writes in full:\n{wide}");
    assert!(header.contains(&"MODELS"), "models say more than a bar: {wide}");
    // The 13th has the longest bar.
    let widest = screens.report(140, 50, "daily");
    let blocks = |line: &str| line.chars().filter(|c| *c == '█').count();
    let bars: Vec<usize> = widest.lines().skip(1).take(30).map(blocks).collect();
    assert!(
        bars.iter().enumerate().all(|(i, n)| if i == 12 { *n >= 8 } else { (1..=3).contains(n) }),
        "{bars:?}\n{widest}"
    );
}

#[test]
fn every_grouping_fits_80_columns() {
    let screens = Screens::new(&heavy());
    for grouping in [
        "weekly",
        "monthly",
        "session --last 20",
        "model",
        "project",
        "branch",
        "agent",
        "platform",
        "chain",
        "task",
    ] {
        let screen = screens.report(80, 50, grouping);
        let lines: Vec<&str> = screen.lines().collect();
        let total =
            lines.iter().position(|line| line.starts_with("total")).unwrap_or_else(|| panic!("{screen}"));
        // Each row ends with its cost: no line is wrapped.
        assert!(lines[1..=total].iter().all(|line| line.contains('$')), "{grouping}:\n{screen}");
        assert!(total >= 2, "{screen}");
    }
    let screen = screens.report(80, 50, "daily --breakdown --last 2");
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines.len(), 1 + 2 * 5 + 2, "{screen}");
    assert!(lines[1].starts_with("2026-11-29") && lines[2].starts_with("  opus-5-5"), "{screen}");
    // The beginning of an id is enough to name a session.
    let session = screens.report(80, 50, "session --last 1");
    assert!(session.contains("\n67393810-3473-4…  "), "{session}");
    let project = screens.report(80, 50, "project --last 1");
    assert!(project.lines().nth(1).unwrap().starts_with('…') && project.contains("project-2 "), "{project}");
}

#[test]
fn an_id_is_not_cut_while_something_else_can_go() {
    let id = "67393810-3473-4bd3-b05f-e73c943b62e9";
    let entry = Entry::new("a", "2026-11-01T09:00:00.000Z", OPUS, [123, 45_678, 0, 234_567, 5_678_901], 1);
    let screens = Screens::new(&[Entry { session: Some(id.into()), ..entry }]);
    for columns in [80, 120] {
        let screen = screens.report(columns, 10, "session");
        assert!(screen.contains(&format!("\n{id}  ")) && screen.contains("<$0.01"), "{screen}");
    }
}

/// The date tells these models apart; the models of an agent say more than a bar.
#[test]
fn a_bar_goes_before_a_key_is_cut_and_before_the_models() {
    let mut entries = heavy();
    for (entry, model) in entries.iter_mut().zip(["claude-haiku-4-5-20251001", "claude-haiku-4-5-20260303"]) {
        entry.model = model.into();
    }
    let screens = Screens::new(&entries);
    let screen = screens.report(120, 50, "model");
    assert!(screen.contains("\nclaude-haiku-4-5-20251001 ") && screen.contains("-20260303 "), "{screen}");
    for columns in [80, 120] {
        let screen = screens.report(columns, 50, "agent");
        assert!(screen.lines().next().unwrap().contains("MODELS"), "{columns}:\n{screen}");
    }
}

/// Half a block or more of the largest.
#[test]
fn small_amounts_have_no_bar() {
    let of = |id: &str, model: &str, nanos| {
        Entry::new(id, "2026-11-01T09:00:00.000Z", model, [1, 1, 0, 0, 0], nanos)
    };
    let screens = Screens::new(&[of("a", OPUS, 75_000_000_000), of("b", HAIKU, 10_000_000)]);
    let screen = screens.report(120, 10, "model");
    let blocks =
        |name: &str| screen.lines().find(|line| line.starts_with(name)).unwrap().matches('█').count();
    assert!(blocks(OPUS) >= 8 && blocks(HAIKU) == 0, "{screen}");
}

#[test]
fn a_narrow_terminal_gets_lines() {
    let screens = Screens::new(&heavy()[..4]);
    let screen = screens.report(34, 20, "daily");
    assert!(screen.lines().next().unwrap().starts_with("2026-11-01  $25.72"), "{screen}");
    assert!(screen.contains("cache 952,592,540"), "{screen}");
}

#[test]
#[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
fn the_overview_is_one_screen() {
    let screens = Screens::at("2026-11-30T10:00:00Z", &heavy());
    for columns in [80, 120] {
        let screen = screens.report(columns, 24, "");
        let lines: Vec<&str> = screen.lines().collect();
        assert!(lines.len() < 24 && lines[0].starts_with("Usage  2026-11-30, UTC"), "{screen}");
        let of = |name: &str| {
            let line = lines.iter().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("{name}: {screen}")).to_string()
        };
        assert!(of("today").contains("$25.72+"), "{screen}");
        // The 30th is a Monday.
        assert!(of("this week").contains("$25.72+") && of("this month").contains("$848.77+"), "{screen}");
        let spark = of("last 30 days").chars().filter(|c| ('▁'..='█').contains(c)).count();
        assert_eq!(spark, 30, "{screen}");
        assert!(of("claude-opus-5-5").contains("$407.41") && of("3 others").contains("$308.64+"), "{screen}");
        // One table: the decimal points stand below each other.
        let costs: Vec<&&str> = lines.iter().filter(|line| line.contains('$')).collect();
        assert_eq!(costs.len(), 3 + 4 + 5, "{screen}");
        let point = |line: &str| line.chars().position(|c| c == '.').unwrap();
        assert!(costs.iter().all(|line| point(line) == point(costs[0])), "{screen}");
    }
    // The next day, the month is new, and the week is not.
    let screens = Screens::at("2026-12-01T10:00:00Z", &heavy());
    let json = screens.home.fusebox(&["report", "--json"]).json();
    assert_eq!((&json["today"]["usd"], &json["month"]["usd"]), (&0.0.into(), &0.0.into()));
    assert_eq!(json["week"]["requests"], 4);
    assert_eq!(json["models"], serde_json::json!([]));
    // With the week before, and a filter.
    let screens = Screens::at("2026-11-15T23:59:00Z", &heavy());
    let json = screens.home.fusebox(&["report", "--json", "--model", "haiku*"]).json();
    assert_eq!(json["week"]["requests"], 7);
    assert_eq!(json["month"]["requests"], 15, "not the days after today");
}

#[test]
#[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
fn the_active_block_says_what_it_comes_to() {
    let screens = Screens::at("2026-11-30T12:40:00Z", &heavy());
    let screen = screens.report(80, 30, "blocks --last 3 --timezone Asia/Kolkata");
    assert!(screen.contains("2026-11-30 14:30"), "09:00 in UTC:\n{screen}");
    // The block has estimates.
    let note = screen
        .lines()
        .skip_while(|line| !line.starts_with("The current block"))
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        note.starts_with("The current block ends at 19:30, in 1 h 20 min. At its rate so far it will reach "),
        "{screen}"
    );
    assert!(note.contains(" tokens, $") && note.ends_with("+."), "{screen}");
}

#[test]
fn colours_end_with_no_color_and_in_pipes() {
    let home = super::client_home().var("TZ", "UTC");
    ledger::write(&home.path("state/ledger.db"), &heavy());
    for arguments in [&["report", "daily"][..], &["report"]] {
        assert!(!home.fusebox(arguments).stdout.contains('\u{1b}'), "{arguments:?}");
    }
}

#[test]
fn keys_from_transcripts_cannot_control_the_terminal() {
    let home = super::client_home().var("TZ", "UTC");
    let evil = Entry { branch: Some("x\u{1b}[2J\ny".into()), ..heavy()[0].clone() };
    ledger::write(&home.path("state/ledger.db"), &[evil]);
    let ran = home.fusebox(&["report", "branch"]);
    assert!(!ran.stdout.contains('\u{1b}') && ran.stdout.contains("x\\u{1b}[2J\\ny"), "{ran:?}");
}

#[test]
fn other_tables_of_prices_and_costs_fit_80_columns() {
    let long = "a-model-with-a-name-that-is-far-too-long-for-a-table-on-a-terminal-of-eighty-columns";
    let mut entries = heavy()[..4].to_vec();
    entries[0].model = long.into();
    let screens = Screens::new(&entries);
    let call =
        ["cost", "record", "--task", "t", "--platform", "a-platform", "--model", "claude-haiku-4-5-20251001"];
    let call = screens.home.fusebox(&[&call[..], &["--input", "1", "--output", "1"]].concat());
    assert_eq!(call.code, 0, "{call:?}");
    for (arguments, first, found) in [
        (
            "prices list --vendor anthropic",
            "anthropic  ",
            "anthropic  claude-haiku-5-5\n  prompt up to 100,000 · speed standard · input 0.10 · output 0.50 · write 5min",
        ),
        (
            "cost task t",
            "task t: 2 tokens",
            "  platform a-platform · model claude-haiku-4-5-20251001 · input 1",
        ),
        ("prices check", &long[..80], "  requests 1 · "),
    ] {
        let screen = screens.screen(80, 300, arguments);
        assert!(screen.starts_with(first) && screen.contains(found), "{screen}");
        if arguments.starts_with("prices list") {
            let rows = screen.lines().take_while(|line| !line.is_empty());
            let is_whole = |line: &str| line.starts_with("anthropic  ") || line.starts_with("  ");
            assert!(rows.clone().count() > 50 && rows.clone().all(is_whole), "{screen}");
        }
        let wide = screens.screen(190, 300, arguments);
        assert!(wide.contains("COST") || wide.contains("READ") || wide.contains("SEEN IN"), "{wide}");
    }
}
