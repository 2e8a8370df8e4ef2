//! The table of sessions.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::draw::{marked, visible};
use super::style::Theme;
use super::view::{Pane, View};
use crate::app::messages::amounts::grouped;
use crate::app::overview::SessionOverview;
use crate::cli::render::fit::{compact, left, right, width};
use crate::cli::render::{age, table};
use crate::domain::budget::{BudgetState, Mode, Scope, TokenClasses};
use crate::domain::money::NANOS_PER_USD;
use crate::domain::time::Timestamp;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Session,
    Project,
    State,
    Breaker,
    Agents,
    Tokens,
    Cost,
    LastHour,
    Seen,
    Budget,
}

impl Column {
    /// Every column from left to right, with its width, and the width of the screen from which on it is shown. The
    /// project and the budget share what is left.
    const ALL: [(Self, &'static str, usize, u16); 10] = [
        (Self::Session, "SESSION", 8, 0),
        (Self::Project, "PROJECT", 0, 0),
        (Self::State, "STATE", 9, 0),
        (Self::Breaker, "BREAKER", 9, 110),
        (Self::Agents, "AGENTS", 6, 76),
        (Self::Tokens, "TOKENS", 6, 0),
        (Self::Cost, "COST", 8, 0),
        (Self::LastHour, "$/HOUR", 7, 70),
        (Self::Seen, "SEEN", 6, 100),
        (Self::Budget, "BUDGET", 0, 0),
    ];

    fn is_right(self) -> bool {
        matches!(self, Self::Agents | Self::Tokens | Self::Cost | Self::LastHour | Self::Seen)
    }
}

/// Draws the heading and the sessions.
pub fn draw(frame: &mut Frame, area: Rect, view: &View) {
    let columns = columns(area.width);
    let height = usize::from(area.height).saturating_sub(1);
    let (selected, sessions) = (view.row(Pane::Sessions), view.sessions());
    let mut lines = vec![heading(view, &columns)];
    for at in visible(sessions.len(), height, selected) {
        lines.push(row(view, &columns, &sessions[at], at == selected, area.width));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The columns on a screen of this width, each with its own.
fn columns(screen: u16) -> Vec<(Column, &'static str, usize)> {
    let shown = Column::ALL.into_iter().filter(|(.., from)| screen >= *from);
    let mut shown: Vec<_> = shown.map(|(column, name, width, _)| (column, name, width)).collect();
    // One column before each for the mark or a space.
    let fixed: usize = shown.iter().map(|(.., width)| width + 1).sum();
    let free = usize::from(screen).saturating_sub(fixed);
    let project = (free * 9 / 20).min(24);
    for (column, _, width) in &mut shown {
        match column {
            Column::Project => *width = project,
            Column::Budget => *width = free - project,
            _ => {}
        }
    }
    shown
}

fn heading(view: &View, columns: &[(Column, &'static str, usize)]) -> Line<'static> {
    let focus = view.pane == Pane::Sessions;
    let style = if focus { view.theme.focus() } else { view.theme.heading() };
    let mut line = Line::default();
    for (i, (column, name, width)) in columns.iter().enumerate() {
        let gap = if i == 0 && focus { "▸" } else { " " };
        let name = if column.is_right() { right(name, *width) } else { left(name, *width) };
        line.push_span(Span::styled(format!("{gap}{name}"), style));
    }
    line
}

fn row(
    view: &View,
    columns: &[(Column, &'static str, usize)],
    session: &SessionOverview,
    is_selected: bool,
    screen: u16,
) -> Line<'static> {
    let theme = view.theme;
    let mut line = Line::default();
    for (column, _, width) in columns {
        line.push_span(Span::raw(" "));
        line.extend(cells(*column, *width, session, theme, view.now));
    }
    match (is_selected, view.pane == Pane::Sessions) {
        (true, true) => marked(view, &line, screen),
        (true, false) => line.style(theme.selected(false)),
        _ if session.is_live => line,
        _ => line.style(theme.dim()),
    }
}

/// One cell, of exactly this width.
fn cells(
    column: Column,
    width: usize,
    session: &SessionOverview,
    theme: Theme,
    now: Timestamp,
) -> Vec<Span<'static>> {
    let status = &session.status;
    let (said, style) = match column {
        Column::Session => (table::short_value(Scope::Session, &status.session).to_owned(), Style::new()),
        Column::Project => {
            (table::short_value(Scope::Project, &session.row.session.project).to_owned(), Style::new())
        }
        Column::State => state(session, theme),
        Column::Breaker => breaker(session, theme),
        Column::Agents => (agents(session), Style::new()),
        Column::Tokens => (compact(TokenClasses::FRESH.tokens(status.tokens)), Style::new()),
        Column::Cost => (short_dollars(status.cost.nanos()), Style::new()),
        Column::LastHour => (short_dollars(session.last_hour), Style::new()),
        Column::Seen => (age(now.millis_since(session.row.last_seen)).replace("days", "d"), Style::new()),
        Column::Budget => return nearest(session, width, theme),
    };
    let said = if column.is_right() { right(&said, width) } else { left(&said, width) };
    vec![Span::styled(said, style)]
}

/// Whether it is live, stopped, or held back by its breaker.
fn state(session: &SessionOverview, theme: Theme) -> (String, Style) {
    let circuit = session.status.circuit.as_ref().map_or("closed", |circuit| circuit.state);
    match (session.status.stopped, session.is_live, circuit) {
        (true, ..) => ("stopped".to_owned(), theme.bad()),
        (_, false, _) => ("ended".to_owned(), theme.dim()),
        (.., "open") => ("breaker".to_owned(), theme.bad()),
        (.., "half_open") => ("half-open".to_owned(), theme.warning()),
        _ if session.states.iter().any(BudgetState::blocks) => ("at limit".to_owned(), theme.bad()),
        _ => ("live".to_owned(), theme.good()),
    }
}

/// The state of the main agent's breaker, and how many breakers of subagents are not closed.
fn breaker(session: &SessionOverview, theme: Theme) -> (String, Style) {
    let Some(circuit) = &session.status.circuit else { return ("off".to_owned(), theme.dim()) };
    let tripped = session.status.agents.values().filter(|agent| agent.circuit.state != "closed").count();
    let more = if tripped == 0 { String::new() } else { format!("+{tripped}") };
    let style = if tripped == 0 { theme.circuit(circuit.state) } else { theme.bad() };
    let state = if circuit.state == "half_open" { "half" } else { circuit.state };
    (format!("{state}{more}"), style)
}

/// Subagents at work, and how many may work at once: `2/4`.
fn agents(session: &SessionOverview) -> String {
    session
        .status
        .throttle
        .map_or_else(|| "-".to_owned(), |throttle| format!("{}/{}", throttle.live, throttle.max))
}

/// The budget that is used most, with a bar. One that only reports comes after all that hold the agent.
fn nearest(session: &SessionOverview, columns: usize, theme: Theme) -> Vec<Span<'static>> {
    let by = |a: &&BudgetState, b: &&BudgetState| {
        let enforced = |state: &BudgetState| state.budget.mode == Mode::Enforce;
        enforced(a).cmp(&enforced(b)).then(a.utilization().total_cmp(&b.utilization()))
    };
    let most = session.states.iter().max_by(by);
    let Some(state) = most else { return vec![Span::raw(left("-", columns))] };
    let percent = format!("{:>3.0}%", (state.utilization() * 100.0).min(999.0).floor());
    let bar_columns = columns.saturating_sub(5).min(10);
    let mut spans = bar(state.utilization(), bar_columns, theme).to_vec();
    spans.push(Span::styled(format!(" {percent}"), theme.utilization(state.utilization())));
    let used: usize = spans.iter().map(Span::width).sum();
    let name = if columns > used + 4 { format!(" {}", state.budget.name) } else { String::new() };
    spans.push(Span::raw(left(&name, columns.saturating_sub(used))));
    spans
}

/// A bar such as `████░░░░`. Any usage shows at least one block; only a full bar has all.
pub fn bar(utilization: f64, columns: usize, theme: Theme) -> [Span<'static>; 2] {
    let blocks = (utilization.clamp(0.0, 1.0) * columns as f64) as usize;
    let blocks = if utilization > 0.0 { blocks.max(1) } else { 0 }.min(columns);
    [
        Span::styled("█".repeat(blocks), theme.utilization(utilization)),
        Span::styled("░".repeat(columns - blocks), theme.dim()),
    ]
}

/// Dollars in seven columns: `$12.34`, `$1,234`.
pub fn short_dollars(nanos: u64) -> String {
    let cents = nanos / (NANOS_PER_USD / 100);
    match cents {
        0 if nanos > 0 => "<$0.01".to_owned(),
        0..100_000 => format!("${}.{:02}", cents / 100, cents % 100),
        _ => {
            let whole = format!("${}", grouped(cents / 100));
            if width(&whole) > 7 { format!("${}", compact(cents / 100)) } else { whole }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fill_the_screen() {
        for screen in 60..250 {
            let all: usize = columns(screen).iter().map(|(.., width)| width + 1).sum();
            assert_eq!(all, usize::from(screen));
        }
        let project =
            |screen| columns(screen).iter().find(|(column, ..)| *column == Column::Project).unwrap().2;
        assert!(
            project(60) >= 9 && project(80) >= 9 && project(120) >= 12,
            "{} {}",
            project(60),
            project(80)
        );
    }

    #[test]
    fn dollars_are_short() {
        for (nanos, shown) in [
            (0, "$0.00"),
            (1, "<$0.01"),
            (12_345_678_901, "$12.34"),
            (999_999_999_999, "$999.99"),
            (1_234_567_890_123, "$1,234"),
            (123_456_789_012_345, "$123.5k"),
        ] {
            assert_eq!(short_dollars(nanos), shown);
        }
    }
}
