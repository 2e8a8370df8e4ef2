//! The selected session: its budgets, its agents with their breakers, and what happened lately.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::activity::{self, Entry};
use super::draw::{Rows, clock_time, marked, pane_heading, visible};
use super::sessions::bar;
use super::view::{Pane, View};
use crate::app::messages::amounts::{number, quantity};
use crate::app::overview::SessionOverview;
use crate::app::status::CircuitStatus;
use crate::cli::render::fit::{fit, fit_end, left, right, width};
use crate::cli::render::{age, iterations, table};
use crate::domain::budget::{BudgetState, Mode, Status};
use crate::domain::time::Timestamp;

/// Draws them.
pub fn draw(frame: &mut Frame, area: Rect, view: &View, rows: Rows) {
    let Some((_, session)) = view.session() else { return };
    let parts = [
        Constraint::Length(1),
        Constraint::Length(rows.budgets as u16 + 1),
        Constraint::Length(rows.agents as u16 + 1),
        Constraint::Min(1),
    ];
    let [title, budgets, agents, activity] = Layout::vertical(parts).areas(area);
    frame.render_widget(title_line(view, session, area.width), title);
    draw_pane(frame, budgets, view, Pane::Budgets, budget_lines(view, session, area.width));
    draw_pane(frame, agents, view, Pane::Agents, agent_lines(view, session, area.width));
    draw_pane(frame, activity, view, Pane::Activity, activity_lines(view, session, area.width));
}

/// A pane: its heading, its rows (the selected one among them), and a note if there are none.
struct Content {
    heading: Line<'static>,
    rows: Vec<Line<'static>>,
    if_empty: &'static str,
}

fn draw_pane(frame: &mut Frame, area: Rect, view: &View, pane: Pane, content: Content) {
    let Content { mut heading, rows, if_empty } = content;
    let selected = view.row(pane);
    let height = usize::from(area.height).saturating_sub(1);
    let shown = visible(rows.len(), height, selected);
    if shown.len() < rows.len() {
        let more = format!("  {}-{} of {}", shown.start + 1, shown.end, rows.len());
        heading.push_span(Span::styled(more, view.theme.dim()));
    }
    let mut lines = vec![heading];
    if rows.is_empty() {
        lines.push(Line::styled(format!(" {if_empty}"), view.theme.dim()));
    }
    for (at, row) in rows.into_iter().enumerate().take(shown.end).skip(shown.start) {
        // Without the focus, nothing is selected for the eye.
        let is_marked = at == selected && view.pane == pane;
        lines.push(if is_marked { marked(view, &row, area.width) } else { row });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// `── 3f2a1b2c-… ── ~/src/project ───`.
fn title_line(view: &View, session: &SessionOverview, columns: u16) -> Line<'static> {
    let columns = usize::from(columns);
    let id = fit(&session.row.session.id, 40);
    let user = &session.row.session.user;
    let by = if user.is_empty() { String::new() } else { format!(" {} ─", fit(user, 20)) };
    let start = format!("── {id} ─{by} ");
    let free = columns.saturating_sub(width(&start) + 4);
    let project = fit_end(&session.row.session.project, free);
    let start = format!("{start}{project} ");
    let rest = columns.saturating_sub(width(&start));
    Line::styled(start + &"─".repeat(rest), view.theme.dim())
}

fn budget_lines(view: &View, session: &SessionOverview, columns: u16) -> Content {
    let rows = session.states.iter().map(|state| budget_line(view, state, usize::from(columns))).collect();
    let heading = Line::from(pane_heading(view, Pane::Budgets, "BUDGETS"));
    Content { heading, rows, if_empty: "No budget concerns this session." }
}

/// `session  3f2a1b2c  ████░░  41%  412,300 / 1,000,000 tokens  in 3 h`.
fn budget_line(view: &View, state: &BudgetState, columns: usize) -> Line<'static> {
    let theme = view.theme;
    let (name_columns, of_columns) = if columns < 100 { (11, 8) } else { (16, 16) };
    let mut line = Line::from(format!(
        " {} {} ",
        left(&state.budget.name, name_columns),
        left(table::short_value(state.budget.scope, &state.value), of_columns)
    ));
    let style = theme.utilization(state.utilization());
    line.extend(bar(state.utilization(), if columns < 100 { 8 } else { 16 }, theme));
    let percent = format!("{:.0}%", (state.utilization() * 100.0).min(9_999.0).floor());
    line.push_span(Span::styled(format!(" {} ", right(&percent, 5)), style));
    let unit = state.budget.unit;
    line.push_span(Span::raw(format!("{} of {}", number(state.used, unit), quantity(state.limit(), unit))));
    let status = state.status();
    let said = match status {
        Status::Active | Status::Warning => String::new(),
        Status::Paused => "  at its limit".to_owned(),
        Status::Exhausted => "  exhausted".to_owned(),
    };
    line.push_span(Span::styled(said, theme.bad()));
    if let Some(end) = state.window.end {
        line.push_span(Span::styled(resets(view, end, columns), theme.dim()));
    }
    if state.budget.mode == Mode::Shadow {
        line.push_span(Span::styled("  shadow", theme.dim()));
    }
    line
}

/// When a budget starts again from zero.
fn resets(view: &View, end: Timestamp, columns: usize) -> String {
    if columns < 100 {
        return format!("  ↻ {}", age(end.millis_since(view.now)).replace("days", "d"));
    }
    format!("  resets {}", view.zone.local(end).format("%a %-d %b %H:%M"))
}

fn agent_lines(view: &View, session: &SessionOverview, columns: u16) -> Content {
    let mut heading = Line::from(pane_heading(view, Pane::Agents, "AGENTS"));
    if let Some(throttle) = session.status.throttle {
        let low = if throttle.throttled { ", because tokens are running low" } else { "" };
        let said = format!(
            "  {} subagents at work, at most {} at once{low}; {} so far",
            throttle.live, throttle.max, throttle.total
        );
        heading
            .push_span(Span::styled(fit(&said, usize::from(columns).saturating_sub(24)), view.theme.dim()));
    }
    let main = session.status.circuit.iter().map(|circuit| ("main", circuit));
    let subagents = session.status.agents.iter().map(|(id, agent)| (id.as_str(), &agent.circuit));
    let rows = main
        .chain(subagents)
        .map(|(id, circuit)| agent_line(view, id, circuit, usize::from(columns)))
        .collect();
    Content { heading, rows, if_empty: "The circuit breaker is turned off." }
}

/// `main  breaker open  the same call with the same result, 5 times …`.
fn agent_line(view: &View, id: &str, circuit: &CircuitStatus, columns: usize) -> Line<'static> {
    let state = if circuit.state == "half_open" { "half-open" } else { circuit.state };
    let mut line = Line::from(format!(" {} breaker ", left(id, 12)));
    line.push_span(Span::styled(left(state, 9), view.theme.circuit(circuit.state)));
    let calls = iterations(circuit).map_or_else(String::new, |made| format!("{made} calls since a prompt"));
    let said = circuit.reason.clone().unwrap_or(calls);
    let free = columns.saturating_sub(line.width() + 2);
    line.push_span(Span::raw(format!("  {}", fit(&said, free))));
    line
}

fn activity_lines(view: &View, session: &SessionOverview, columns: u16) -> Content {
    let entries = view.data.as_ref().map_or_else(Vec::new, |data| activity::entries(data, session));
    let rows = entries.iter().map(|entry| entry_line(view, entry, usize::from(columns))).collect();
    let heading = Line::from(pane_heading(view, Pane::Activity, "ALERTS AND EVENTS"));
    Content { heading, rows, if_empty: "Nothing has happened yet." }
}

/// `14:32:10  ! warning: budget session (…): passed 80% of …`.
fn entry_line(view: &View, entry: &Entry, columns: usize) -> Line<'static> {
    let theme = view.theme;
    let is_today = view.zone.local(entry.at).date() == view.zone.local(view.now).date();
    let time = if is_today {
        clock_time(entry.at, &view.zone)
    } else {
        view.zone.local(entry.at).format("%b %d  ").to_string()
    };
    let (mark, style) = match entry.alert {
        Some(record) => ("! ", theme.level(record.alert.level)),
        None if entry.is_denial => ("  ", theme.bad()),
        None => ("  ", Style::new()),
    };
    let free = columns.saturating_sub(time.len() + 4);
    let said = fit(&format!("{mark}{}", entry.text), free);
    Line::from(vec![Span::styled(format!(" {time} "), theme.dim()), Span::styled(said, style)])
}
