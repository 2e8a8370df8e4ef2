//! Tables.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Row, Table};

use textwrap::core::display_width;

use super::{bar, wrap};
use crate::app::messages::amounts::number;
use crate::app::messages::{percent, share};
use crate::domain::budget::{BudgetState, Mode, Scope};

/// A table without lines; columns named in `right` are right-aligned.
pub fn new_table(header: &[&str], right: &[&str]) -> Table {
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

/// A table without lines, if the terminal is wide enough; else each row as a line of its first `titles` cells, with the
/// others below it.
pub fn table_or_lines(header: &[&str], right: &[&str], rows: &[Vec<String>], titles: usize) -> String {
    let mut table = new_table(header, right);
    for row in rows {
        table.add_row(row);
    }
    table.set_content_arrangement(ContentArrangement::Disabled);
    let text = to_trimmed_text(&table);
    let Some(columns) =
        wrap::columns().filter(|columns| text.lines().any(|line| display_width(line) > *columns))
    else {
        return text;
    };
    let of = |row: &Vec<String>| {
        let (title, rest) = row.split_at(titles.min(row.len()));
        let named = header.iter().skip(titles).zip(rest).filter(|(_, cell)| !cell.is_empty());
        let named = named.map(|(name, cell)| format!("{} {cell}", name.to_lowercase()).trim().to_owned());
        let details = format!("  {}", named.collect::<Vec<_>>().join(" · "));
        let lines = wrap::lines(&details, columns);
        lines.iter().fold(title.join("  ") + "\n", |text, line| text + line + "\n")
    };
    rows.iter().map(of).collect()
}

/// A table of budgets if the terminal is wide enough, else two lines per budget.
pub fn budgets(states: &[BudgetState]) -> String {
    let mut table =
        new_table(&["BUDGET", "FOR", "", "%", "USED", "LIMIT", "UNIT", "STATUS"], &["%", "USED", "LIMIT"]);
    for state in states {
        table.add_row([
            Cell::new(truncate(&state.budget.name, 24)),
            Cell::new(truncate(short_value(state.budget.scope, &state.value), 16)),
            Cell::new(bar::bar(state.utilization())),
            Cell::new(percent(state)),
            Cell::new(number(state.used, state.budget.unit)),
            Cell::new(number(state.limit(), state.budget.unit)),
            Cell::new(state.budget.unit.noun()),
            Cell::new(status(state)),
        ]);
    }
    fit_to_terminal(&mut table).unwrap_or_else(|| lines(states))
}

/// A table as text, if it fits the terminal: wrapped cells are harder to read than two lines.
pub fn fit_to_terminal(table: &mut Table) -> Option<String> {
    let terminal = table.width().map_or(usize::MAX, usize::from);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let text = to_trimmed_text(table);
    let widest = anstream::adapter::strip_str(&text).to_string().lines().map(|l| l.chars().count()).max();
    // Two columns of indentation.
    widest.is_none_or(|widest| widest + 2 <= terminal).then_some(text)
}

fn lines(states: &[BudgetState]) -> String {
    let of = |state: &BudgetState| {
        let (name, scope, status) = (&state.budget.name, state.budget.scope.name(), status(state));
        let share = format!("{}  {}", bar::bar(state.utilization()), share(state));
        format!(
            "{name} ({scope} {})  {status}\n  {share}\n",
            truncate(short_value(state.budget.scope, &state.value), 24)
        )
    };
    states.iter().map(of).collect()
}

fn status(state: &BudgetState) -> String {
    let shadow = if state.budget.mode == Mode::Shadow { " (shadow)" } else { "" };
    format!("{}{shadow}", bar::status(state.status()))
}

/// A table as text, without trailing spaces.
pub fn to_trimmed_text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The short form of a scope value: the start of a session id, the last folder of a project.
pub fn short_value(scope: Scope, value: &str) -> &str {
    match scope {
        Scope::Session => value.char_indices().nth(8).map_or(value, |(end, _)| &value[..end]),
        Scope::Project => value.rsplit('/').next().unwrap_or_default(),
        _ => value,
    }
}

/// Cuts `text` to `width` characters.
pub fn truncate(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
