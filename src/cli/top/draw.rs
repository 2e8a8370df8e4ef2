//! Draws a [`View`]: the header, the panes, the line at the bottom.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::sessions::short_dollars;
use super::view::{Pane, View};
use super::{details, overlay, sessions};
use crate::cli::render::{age, counted, fit};
use crate::config::printable;
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;

/// The smallest screen on which everything fits.
pub const MIN_COLUMNS: u16 = 60;
/// The smallest screen on which everything fits.
pub const MIN_ROWS: u16 = 16;

/// The most rows of a message or a problem.
const MAX_MESSAGE_ROWS: usize = 3;

/// Rows that are always there: the header, the heading of sessions, the session's title, three headings, the keys.
const FIXED_ROWS: usize = 7;

/// Draws everything.
pub fn draw(frame: &mut Frame, view: &View) {
    let area = frame.area();
    if area.width < MIN_COLUMNS || area.height < MIN_ROWS {
        draw_too_small(frame, area);
        return;
    }
    let problem = problem_lines(view, area.width);
    let message = message_lines(view, area.width);
    let rows = Rows::new(view, usize::from(area.height).saturating_sub(problem.len() + message.len()));
    let parts = [
        Constraint::Length(1),
        Constraint::Length(problem.len() as u16),
        Constraint::Length(rows.sessions as u16 + 1),
        Constraint::Min(0),
        Constraint::Length(message.len() as u16),
        Constraint::Length(1),
    ];
    let [header, problems, table, below, bottom, keys] = Layout::vertical(parts).areas(area);
    frame.render_widget(header_line(view, area.width), header);
    frame.render_widget(Paragraph::new(problem), problems);
    if view.sessions().is_empty() {
        draw_empty(frame, table.union(below), view);
    } else {
        sessions::draw(frame, table, view);
        details::draw(frame, below, view, rows);
    }
    frame.render_widget(Paragraph::new(message), bottom);
    frame.render_widget(keys_line(view, area.width), keys);
    if view.help {
        overlay::draw_help(frame, area, view.theme);
    }
    if let Some(dialog) = &view.dialog {
        overlay::draw_dialog(frame, area, dialog, view.theme);
    }
}

/// How many rows each list gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    sessions: usize,
    /// Of budgets.
    pub budgets: usize,
    /// Of agents.
    pub agents: usize,
}

impl Rows {
    /// Shares the screen: what is left goes to the activity, which gets at least three rows.
    fn new(view: &View, height: usize) -> Self {
        let free = height.saturating_sub(FIXED_ROWS);
        let (budgets, agents) = view.session().map_or((1, 1), |(_, session)| {
            (session.states.len().max(1), super::subject::circuits(session).len().max(1))
        });
        let sessions = view.sessions().len().clamp(1, (free / 3).max(2));
        let budgets = budgets.min((free / 5).max(2));
        let agents = agents.min((free / 5).max(2));
        let over = (sessions + budgets + agents + 3).saturating_sub(free);
        Self { sessions: sessions.saturating_sub(over).max(1), budgets, agents }
    }
}

fn draw_too_small(frame: &mut Frame, area: Rect) {
    let said = format!(
        "This screen has {}x{}. `fusebox top` needs {MIN_COLUMNS}x{MIN_ROWS}: use `fusebox status --watch`. (q: quit)",
        area.width, area.height
    );
    frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: true }), area);
}

/// What to show instead of sessions.
fn draw_empty(frame: &mut Frame, area: Rect, view: &View) {
    let unknown = view.only.as_ref().map(|id| format!("No session's id begins with {}.", printable(id, 40)));
    let said = match &view.data {
        None if view.problem.is_some() => "No data yet.",
        None => "Reading the store …",
        Some(data) if data.store.is_none() => {
            "Nothing has been recorded on this machine yet. Start a Claude Code session; `fusebox init` registers \
             the hooks that Fusebox needs."
        }
        Some(_) => unknown.as_deref().unwrap_or("No sessions."),
    };
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: true }), area);
}

/// `Fusebox  3 running · $12.40 today · $3.21 in the last hour`, and on the right the store and the time.
fn header_line(view: &View, columns: u16) -> Line<'static> {
    let theme = view.theme;
    let mut spans = vec![Span::styled("Fusebox", theme.heading()), Span::raw("  ")];
    let mut place = String::new();
    if let Some(data) = &view.data {
        spans.push(Span::raw(format!("{} running", data.live)));
        if let Some(today) = data.today {
            spans.push(Span::raw(format!(" · {} today", short_dollars(today))));
        }
        spans.push(Span::raw(format!(" · {} last hour", short_dollars(data.last_hour))));
        let critical = data.alerts.iter().map(|record| record.alert.level).max();
        if let Some(level) = critical {
            spans.push(Span::raw(" · "));
            spans.push(Span::styled(counted(data.alerts.len(), "alert"), theme.level(level)));
        }
        place = data.store.as_ref().map_or("no store", |store| store.kind).to_owned();
    }
    let time = clock_time(view.now, &view.zone);
    let line = Line::from(spans);
    let free = usize::from(columns).saturating_sub(line.width());
    let mut right = format!("{place}  {time}");
    // The time is more important than the store.
    if fit::width(&right) + 2 > free {
        right = time;
    }
    let mut line = line;
    if fit::width(&right) < free {
        line.push_span(Span::styled(fit::right(&right, free), theme.dim()));
    }
    line
}

/// Why the data is old, incomplete or missing.
fn problem_lines(view: &View, columns: u16) -> Vec<Line<'static>> {
    let said = match (&view.problem, &view.data) {
        (Some(problem), Some(data)) => {
            let old = age(view.now.millis_since(data.at));
            format!("{} Shown is the data of {old} ago; trying again.", sentence(problem))
        }
        (Some(problem), None) => format!("{} Trying again.", sentence(problem)),
        (None, Some(data)) => {
            let recovering = data.store.as_ref().is_some_and(|store| !store.recovering.is_empty());
            let lost =
                "The store lost something, and not everything has been read again: run `fusebox status`.";
            let lost = recovering.then_some(lost).into_iter();
            lost.chain(data.warnings.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
        }
        (None, None) => String::new(),
    };
    wrapped(&said, columns).into_iter().map(|line| Line::styled(line, view.theme.bad())).collect()
}

/// A problem with a full stop.
fn sentence(problem: &str) -> String {
    format!("{}.", problem.trim_end_matches('.'))
}

/// The result of the last key.
fn message_lines(view: &View, columns: u16) -> Vec<Line<'static>> {
    let Some(message) = &view.message else { return vec![Line::default()] };
    let style = if message.is_error { view.theme.bad() } else { view.theme.good() };
    wrapped(&message.text, columns).into_iter().map(|line| Line::styled(line, style)).collect()
}

/// Foreign text as a few lines; what does not fit is cut.
fn wrapped(said: &str, columns: u16) -> Vec<String> {
    let columns = usize::from(columns);
    let said = printable(said, MAX_MESSAGE_ROWS * columns);
    let lines = textwrap::wrap(&said, columns);
    lines.iter().filter(|line| !line.is_empty()).take(MAX_MESSAGE_ROWS).map(ToString::to_string).collect()
}

/// The keys that do something now, as many as fit.
fn keys_line(view: &View, columns: u16) -> Line<'static> {
    let ended = if view.ended { "hide ended" } else { "show ended" };
    let keys = match &view.dialog {
        Some(_) => vec![("Enter", "continue"), ("Esc", "cancel")],
        None => vec![
            ("q", "quit"),
            ("?", "help"),
            ("e", "extend"),
            ("r", "reset"),
            ("a", "acknowledge"),
            ("Tab", "next pane"),
            ("s", ended),
        ],
    };
    let mut line = Line::default();
    for (key, what) in keys {
        let gap = if line.spans.is_empty() { "" } else { "  " };
        let shown = [
            Span::raw(gap),
            Span::styled(key.to_owned(), view.theme.heading()),
            Span::styled(format!(" {what}"), view.theme.dim()),
        ];
        if line.width() + shown.iter().map(Span::width).sum::<usize>() > usize::from(columns) {
            break;
        }
        line.extend(shown);
    }
    line
}

/// `14:32:10`, by the clocks of a zone.
pub fn clock_time(at: Timestamp, zone: &Zone) -> String {
    zone.local(at).format("%H:%M:%S").to_string()
}

/// The rows of a list of `count` that are shown in `height` rows, with the selected one among them.
pub fn visible(count: usize, height: usize, selected: usize) -> std::ops::Range<usize> {
    let first = (selected + 1).saturating_sub(height).min(count.saturating_sub(height));
    first..count.min(first + height)
}

/// A row with the selection on it, over the whole screen and without its own colours, which would look like patches.
pub fn marked(view: &View, row: &Line, columns: u16) -> Line<'static> {
    let said: String = row.iter().map(|span| span.content.as_ref()).collect();
    Line::styled(fit::left(&said, usize::from(columns)), view.theme.selected(true))
}

/// The heading of a pane, marked if it has the focus.
pub fn pane_heading(view: &View, pane: Pane, heading: &str) -> Span<'static> {
    if view.pane == pane {
        Span::styled(format!("▸{heading}"), view.theme.focus())
    } else {
        Span::styled(format!(" {heading}"), view.theme.heading())
    }
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn the_selected_row_is_visible() {
        assert_eq!(visible(3, 5, 2), 0..3);
        assert_eq!(visible(10, 4, 0), 0..4);
        assert_eq!(visible(10, 4, 5), 2..6);
        assert_eq!(visible(10, 4, 9), 6..10);
        assert_eq!(visible(0, 4, 0), 0..0);
    }
}
