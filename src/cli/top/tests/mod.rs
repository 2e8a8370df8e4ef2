//! The screen, drawn from made-up data on screens of several sizes.

mod sample;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use self::sample::{FIRST, NOW, SECOND, data, session};
use super::actions::Change;
use super::draw::draw;
use super::style::Theme;
use super::view::{Pane, Request, View};
use crate::app::overview::Overview;
use crate::domain::budget::Unit;
use crate::domain::window::Zone;

fn view(data: Overview) -> View {
    let mut view = View::new(NOW, Zone::utc(), Theme { colours: true });
    view.on_data(Some(data), None);
    view
}

fn terminal(view: &View, columns: u16, rows: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
    terminal.draw(|frame| draw(frame, view)).expect("drawn");
    terminal
}

/// The screen's text, without the spaces at the ends of lines.
fn screen(view: &View, columns: u16, rows: u16) -> String {
    let terminal = terminal(view, columns, rows);
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    let lines = cells.chunks(usize::from(columns)).map(|line| line.concat().trim_end().to_owned() + "\n");
    lines.collect()
}

fn press(view: &mut View, keys: &str) -> Vec<Request> {
    let key = |c| match c {
        '\n' => KeyCode::Enter,
        '\t' => KeyCode::Tab,
        '\u{1b}' => KeyCode::Esc,
        '\u{8}' => KeyCode::Backspace,
        c => KeyCode::Char(c),
    };
    keys.chars().filter_map(|c| view.on_key(KeyEvent::new(key(c), KeyModifiers::NONE))).collect()
}

#[test]
fn everything_is_on_a_screen_of_80_by_24() {
    let shown = screen(&view(data()), 80, 24);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("Fusebox  2 running · $12.40 today · $1.00 last hour · 1 alert"), "{shown}");
    assert!(lines[0].ends_with("12:00:00"), "{shown}");
    assert!(lines[1].contains("SESSION") && lines[1].contains("BUDGET"), "{shown}");
    let row: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(row[..7], ["3f2a1b2c", "payments", "live", "2/4", "412.3k", "$1.23", "$0.50"], "{shown}");
    assert!(lines[2].contains(" 98%"), "the nearest budget:\n{shown}");
    assert!(
        lines[3].contains("67393810") && lines[3].contains("stopped") && lines[3].contains("120%"),
        "{shown}"
    );
    assert!(lines[4].contains("ended"), "{shown}");
    for text in [
        "── 3f2a1b2c-3473-4bd3-b05f-e73c943b62e9 ─ alice ─ /home/alice/src/payments ─",
        "412,300 of 1,000,000 tokens",
        "4,900,000 of 5,000,000 tokens",
        "$12.50 of $20.00",
        "↻ 12 h",
        "2 subagents at work, at most 4 at once",
        " main         breaker closed     12/1000 calls since a prompt",
        " a1b2c3       breaker open       the same call with the same result",
        " 11:59:00   main: a call to Bash was denied",
        " 11:58:00 ! critical: budget daily (user alice): passed 90% of 5,000,000",
        " 11:57:00   budget session: extended by 50,000 by bob: nearly done",
        "q quit  ? help  e extend  r reset  a acknowledge  Tab next pane  s show ended",
    ] {
        assert!(shown.contains(text), "{text}:\n{shown}");
    }
}

#[test]
fn a_wide_screen_says_more() {
    let shown = screen(&view(data()), 120, 40);
    for text in
        [" BREAKER ", " SEEN ", "closed+1", "98% daily", "resets Tue 1 Dec 00:00", "embedded  12:00:00"]
    {
        assert!(shown.contains(text), "{text}:\n{shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 120), "{shown}");
}

#[test]
fn a_screen_that_is_too_small_says_what_to_do() {
    let shown = screen(&view(data()), 20, 5).replace(['\n', ' '], "");
    assert!(shown.contains("Thisscreenhas20x5.") && shown.contains("`fuseboxstatus--watch`"), "{shown}");
    let shown = screen(&view(data()), 79, 15);
    assert!(shown.contains("79x15"), "{shown}");
    for (columns, rows) in [(1, 1), (60, 16), (61, 17), (300, 100)] {
        screen(&view(data()), columns, rows);
    }
}

#[test]
fn names_cannot_break_the_screen() {
    let evil = "\u{1b}[2J\u{7}\n項目\u{202e}é\u{301}\u{200b}👩\u{200d}👩\u{200d}👧x".repeat(20);
    let mut data = data();
    let of = |view: &View, columns, rows| screen(view, columns, rows);
    for session in &mut data.sessions {
        session.row.session.project = format!("/{evil}/{evil}");
        session.row.session.user = evil.clone();
        let agents = std::mem::take(&mut session.status.agents);
        session.status.agents = agents.into_values().map(|agent| (evil.clone(), agent)).collect();
        for state in &mut session.states {
            state.budget.name = format!("{evil}{}", state.budget.name);
            state.value = evil.clone();
        }
        for event in &mut session.events {
            event.agent = evil.clone();
        }
    }
    data.operations[0].reason = evil.clone();
    let mut view = view(data);
    view.on_result(Err(evil.clone()));
    for (columns, rows) in [(80, 24), (120, 40), (60, 16)] {
        let shown = of(&view, columns, rows);
        assert!(!shown.replace('\n', "").contains(char::is_control), "{shown}");
        assert!(shown.contains('項'), "{shown}");
        assert_eq!(shown.lines().count(), usize::from(rows), "{shown}");
        assert!(shown.contains("ALERTS AND EVENTS"), "{shown}");
    }
    press(&mut view, "e");
    let shown = of(&view, 80, 24);
    assert!(
        shown.contains("╭ Extend: session 3f2a1b2c ─") && !shown.replace('\n', "").contains(char::is_control),
        "{shown}"
    );
}

#[test]
fn without_data_the_screen_says_why() {
    let mut view = View::new(NOW, Zone::utc(), Theme { colours: false });
    assert!(screen(&view, 80, 24).contains("Reading the store …"));
    view.on_data(None, Some("Redis at r:6379 cannot be reached: refused. Start Redis".into()));
    let shown = screen(&view, 80, 24);
    assert!(
        shown.contains("refused. Start Redis. Trying again.") && shown.contains("No data yet."),
        "{shown}"
    );
    let nothing = Overview { store: None, sessions: Vec::new(), alerts: Vec::new(), live: 0, ..data() };
    view.on_data(Some(nothing), None);
    assert!(screen(&view, 80, 24).contains("Nothing has been recorded on this machine yet."));
    view.on_data(Some(data()), None);
    view.on_data(None, Some("the store is locked".into()));
    view.now = NOW.plus_millis(40_000);
    let shown = screen(&view, 80, 24);
    assert!(shown.contains("the store is locked. Shown is the data of 40 s ago; trying again."), "{shown}");
    assert!(shown.contains("payments"), "the last data stays:\n{shown}");
    assert_eq!(press(&mut view, "e"), [], "keys work meanwhile");
    assert!(view.dialog.is_some());
}

#[test]
fn colours_can_be_turned_off() {
    for colours in [true, false] {
        let mut view = view(data());
        view.theme = Theme { colours };
        press(&mut view, "e");
        let terminal = terminal(&view, 80, 24);
        let cells = terminal.backend().buffer().content();
        let coloured = cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(coloured, colours);
        assert!(
            cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)),
            "the selection is visible"
        );
    }
}

#[test]
fn the_selection_follows_its_session() {
    let mut view = view(data());
    press(&mut view, "j");
    assert_eq!(view.selected.as_deref(), Some(SECOND));
    let mut other = data();
    other.sessions.reverse();
    view.on_data(Some(other), None);
    assert_eq!(view.session().map(|(at, _)| at), Some(1), "after another order");
    press(&mut view, "jjjj");
    assert_eq!(view.selected.as_deref(), Some(FIRST), "the last");
    press(&mut view, "gk");
    assert_eq!(view.selected.as_deref(), Some("ended"));
    let mut without = data();
    without.sessions.pop();
    view.on_data(Some(without), None);
    assert_eq!(view.selected.as_deref(), Some(FIRST), "the selected one is gone");
}

#[test]
fn keys_extend_the_nearest_budget_first() {
    let mut view = view(data());
    assert_eq!(press(&mut view, "e"), []);
    let shown = screen(&view, 80, 24);
    assert!(shown.contains("1  budget daily (user alice)"), "{shown}");
    let requests = press(&mut view, "3200\u{8}k\nnearly done\n");
    let [Request::Act(action)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((action.session.as_str(), action.reason.as_str()), (FIRST, "nearly done"));
    let Change::Extend { budget, value, amount } = &action.change else { panic!("{action:?}") };
    assert_eq!(
        (budget.as_str(), value.as_str(), amount.in_unit(Unit::Tokens)),
        ("session", FIRST, Some(20_000))
    );
    assert!(screen(&view, 80, 24).contains("Extending …"));
    view.on_result(Ok("session: done".into()));
    assert!(screen(&view, 80, 24).contains("session: done"));
}

#[test]
fn a_pane_says_what_a_key_is_about() {
    let mut view = view(data());
    press(&mut view, "\tj");
    assert_eq!((view.pane, view.row(Pane::Budgets)), (Pane::Budgets, 1));
    press(&mut view, "r");
    assert!(screen(&view, 80, 24).contains("Budget daily (user alice)"));
    let requests = press(&mut view, "new month\n");
    let [Request::Act(action)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(action.change, Change::ResetBudget { budget: "daily".into(), value: "alice".into() });

    press(&mut view, "\ta");
    assert!(screen(&view, 80, 24).contains("This circuit breaker is not open."));
    let requests = press(&mut view, "jaup again\n");
    let [Request::Act(action)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(action.change, Change::AcknowledgeCircuit { agent: "a1b2c3".into() });

    press(&mut view, "\tja");
    let shown = screen(&view, 80, 24);
    assert!(shown.contains("Alert: critical: budget daily (user alice): passed 90%"), "{shown}");
    let requests = press(&mut view, "seen\n");
    let [Request::Act(action)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(action.change, Change::AcknowledgeAlerts { ids: vec![7] });
}

#[test]
fn escape_cancels_a_dialog_and_otherwise_quits() {
    let mut view = view(data());
    assert_eq!(press(&mut view, "r\u{1b}"), []);
    assert!(screen(&view, 80, 24).contains("Nothing was changed."));
    press(&mut view, "?");
    assert!(screen(&view, 80, 24).contains("extend a budget of the session"));
    assert_eq!(press(&mut view, "q"), [], "it closes the help");
    assert_eq!(press(&mut view, "\u{1b}"), [Request::Quit]);
    let both = KeyEvent::new(KeyCode::Char('?'), KeyModifiers::ALT);
    assert_eq!(view.on_key(both), None);
    assert!(!view.help, "a key of its own, without a meaning");
    press(&mut view, "r");
    assert_eq!(view.on_key(both), None);
    assert!(view.dialog.is_none() && view.help, "Escape, and a key right after it");
    press(&mut view, "xeq");
    assert_eq!(press(&mut view, "q"), [], "a letter in a dialog");
    assert_eq!(view.on_key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Request::Quit));
}

#[test]
fn many_rows_scroll_with_the_selection() {
    let mut data = data();
    let many = (0..30).map(|n| session(&format!("{n:08}"), &format!("/p/project-{n}"), Vec::new()));
    data.sessions = many.collect();
    let mut view = view(data);
    assert!(screen(&view, 80, 24).contains("project-0") && !screen(&view, 80, 24).contains("project-20"));
    press(&mut view, "G");
    let shown = screen(&view, 80, 24);
    assert!(shown.contains("project-29") && !shown.contains("project-0"), "{shown}");
    assert!(shown.contains("ALERTS AND EVENTS"), "{shown}");
}
