//! Boxes over the screen: the question of a dialog, and the keys.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use super::dialog::{Dialog, Step};
use super::input::LineInput;
use super::style::Theme;
use super::subject::Subject;
use crate::cli::render::fit::fit;
use crate::cli::render::table;
use crate::domain::budget::{Scope, Unit};

/// The widest box.
const MAX_COLUMNS: u16 = 72;

const KEYS: [(&str, &str); 12] = [
    ("↑ ↓  k j", "select a row (also PgUp, PgDn, Home, End)"),
    ("Tab  ← →", "go to another pane"),
    ("e", "extend a budget of the session"),
    ("r", "reset a budget, or close a circuit breaker"),
    ("a", "acknowledge an open breaker, or alerts"),
    ("s", "show or hide sessions that have ended"),
    ("Ctrl+L", "draw the screen again"),
    ("q  Esc", "quit (also Ctrl+C)"),
    ("", ""),
    ("", "e, r and a are about the selected budget, agent or alert;"),
    ("", "in the list of sessions, about any of that session's."),
    ("", "AGENTS: subagents at work / allowed; $/HOUR: last hour."),
];

/// Draws the keys.
pub fn draw_help(frame: &mut Frame, area: Rect, theme: Theme) {
    let lines = KEYS.iter().map(|(key, what)| {
        Line::from(vec![Span::styled(format!("{key:<10}"), theme.heading()), Span::raw(*what)])
    });
    draw_box(frame, area, " Keys ", lines.collect(), theme);
}

/// Draws a dialog, with the cursor in its input.
pub fn draw_dialog(frame: &mut Frame, area: Rect, dialog: &Dialog, theme: Theme) {
    let columns = usize::from(area.width.min(MAX_COLUMNS)).saturating_sub(4);
    let mut lines = Vec::new();
    let mut cursor = None;
    if dialog.step == Step::Subject {
        for (at, subject) in dialog.subjects.iter().enumerate() {
            let label = fit(&format!("{}  {}", at + 1, subject.label()), columns.saturating_sub(2));
            let style = theme.selected(true);
            let chosen = at == dialog.at;
            lines.push(if chosen {
                Line::styled(format!(" {label} "), style)
            } else {
                Line::raw(format!(" {label}"))
            });
        }
    } else {
        let about = dialog.subject().map(Subject::label).unwrap_or_default();
        lines.push(Line::styled(fit(&capitalized(&about), columns), theme.heading()));
        lines.push(Line::default());
    }
    if dialog.step == Step::Amount {
        cursor = Some((
            lines.len(),
            input_line(&mut lines, &amount_question(dialog.unit()), &dialog.amount, columns),
        ));
    }
    if dialog.step == Step::Reason {
        if !dialog.amount.text().is_empty() {
            lines.push(Line::raw(fit(
                &format!("By: {} {}", dialog.amount.text(), unit_name(dialog.unit())),
                columns,
            )));
        }
        cursor = Some((lines.len(), input_line(&mut lines, "Reason: ", &dialog.reason, columns)));
    }
    lines.push(Line::styled(fit(dialog.error.as_deref().unwrap_or_default(), columns), theme.bad()));
    let session = table::short_value(Scope::Session, &dialog.session);
    let title = format!(" {}: session {} ", dialog.decision.title(), fit(session, 8));
    let inner = draw_box(frame, area, &title, lines, theme);
    if let Some((row, column)) = cursor {
        let place = Position::new(inner.x + column as u16, inner.y + row as u16);
        if inner.contains(place) {
            frame.set_cursor_position(place);
        }
    }
}

/// Adds a question with its answer so far. Returns the cursor's column.
fn input_line(lines: &mut Vec<Line<'static>>, question: &str, input: &LineInput, columns: usize) -> usize {
    let asked = Span::raw(question.to_owned());
    let start = asked.width();
    let (shown, at) = input.shown(columns.saturating_sub(start));
    lines.push(Line::from(vec![asked, Span::raw(shown)]));
    start + at
}

fn amount_question(unit: Unit) -> String {
    match unit {
        Unit::Usd => "Dollars to add (5, 2.50): ".to_owned(),
        _ => format!("{} to add (200000, 200k, 1M): ", capitalized(unit.noun())),
    }
}

fn unit_name(unit: Unit) -> &'static str {
    if unit == Unit::Usd { "dollars" } else { unit.noun() }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Draws a box in the middle. Returns the area for its text.
fn draw_box(frame: &mut Frame, area: Rect, title: &str, lines: Vec<Line<'static>>, theme: Theme) -> Rect {
    let width = area.width.min(MAX_COLUMNS);
    let height = (lines.len() as u16 + 2).min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 3, width, height };
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(theme.focus());
    let block = block.title(Span::styled(title.to_owned(), theme.focus()));
    let inner = block.inner(place);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    frame.render_widget(Paragraph::new(lines), inner);
    inner
}
