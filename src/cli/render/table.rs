//! Tables.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Row, Table};

use super::bar;
use crate::app::brief::{grouped, percent};
use crate::domain::budget::{BudgetState, Mode, Scope};

/// A table without lines; columns named in `right` are aligned to the right.
pub fn plain(header: &[&str], right: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(Row::from(header.to_vec()));
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if right.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Budgets, one a row: bar, share, numbers, status.
pub fn budgets(states: &[BudgetState]) -> String {
    let mut table = plain(&["BUDGET", "OF", "", "%", "USED", "LIMIT", "", "STATUS"], &["%", "USED", "LIMIT"]);
    for state in states {
        let shadow = if state.budget.mode == Mode::Shadow { " (shadow)" } else { "" };
        table.add_row([
            Cell::new(&state.budget.name),
            Cell::new(short(&value(state), 16)),
            Cell::new(bar::bar(state.utilization())),
            Cell::new(percent(state)),
            Cell::new(grouped(state.used)),
            Cell::new(grouped(state.limit())),
            Cell::new(state.budget.unit.noun()),
            Cell::new(format!("{}{shadow}", bar::status(state.status()))),
        ]);
    }
    trimmed(&table)
}

/// A table as text, without the blanks at the ends of its lines.
pub fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The value of a budget's scope, as a person names it: a session by the beginning of its id, a project by its folder.
fn value(state: &BudgetState) -> String {
    match state.budget.scope {
        Scope::Session => state.value.chars().take(8).collect(),
        Scope::Project => state.value.rsplit('/').next().unwrap_or_default().to_owned(),
        _ => state.value.clone(),
    }
}

/// `text`, cut to `width` characters.
pub fn short(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
