//! The budgets of a page.

use std::cmp::Ordering;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::Server;
use super::choice::{Choice, Pager, ROWS, SortBy};
use super::text::{Clock, When, Who, amount, full_amount, money};
use super::visitor::HOME;
use crate::app::messages;
use crate::app::messages::amounts::grouped;
use crate::app::snapshot::{BudgetEntry, Snapshot};
use crate::domain::budget::{BudgetState, Mode, Scope, Status, Unit};

/// A row of the table.
pub struct BudgetRow {
    /// Names the budget.
    pub id: String,
    /// What it counts.
    pub who: Who,
    /// The task; may be empty.
    pub task: String,
    /// The budget's name.
    pub name: String,
    /// Used, without the unit.
    pub used: String,
    /// The limit, with the unit.
    pub limit: String,
    /// The bar and its text.
    pub bar: Bar,
    /// The status.
    pub status: Badge,
    /// Only reports.
    pub is_shadow: bool,
    /// The session has ended.
    pub is_ended: bool,
    /// The lines of the tooltip: a name, a value.
    pub details: Vec<(&'static str, String)>,
    /// Where to extend it, if that would help.
    pub extend: Option<String>,
    /// Where to reset it, if that is possible.
    pub reset: Option<String>,
}

/// How full a budget is.
pub struct Bar {
    /// `green`, `yellow`, `orange` or `red`.
    pub colour: &'static str,
    /// The length, in percent, at most 100.
    pub length: String,
    /// `X / Y tokens (Z%)`.
    pub text: String,
}

impl Bar {
    /// The bar of a budget.
    pub fn new(state: &BudgetState) -> Self {
        let utilization = state.utilization();
        Self {
            colour: colour(utilization),
            length: format!("{:.2}", (utilization * 100.0).clamp(0.0, 100.0)),
            text: share(state),
        }
    }
}

/// `X / Y tokens (Z%)`.
fn share(state: &BudgetState) -> String {
    if state.budget.unit != Unit::Usd {
        return messages::share(state);
    }
    format!("{} / {} ({})", money(state.used), money(state.limit()), messages::percent(state))
}

/// Green below 60 %, yellow below 80 %, orange below 95 %, then red.
fn colour(utilization: f64) -> &'static str {
    match utilization {
        u if u < 0.6 => "green",
        u if u < 0.8 => "yellow",
        u if u < 0.95 => "orange",
        _ => "red",
    }
}

/// A status as a badge.
pub struct Badge {
    /// Its class.
    pub class: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl Badge {
    /// The badge of a status.
    pub fn new(status: Status) -> Self {
        let text = match status {
            Status::Active => "Active",
            Status::Warning => "Warning",
            Status::Paused => "Paused",
            Status::Exhausted => "Exhausted",
        };
        Self { class: status.name(), text }
    }
}

/// The task of a budget: the type of tasks that it counts, or that its session declared.
fn task<'s>(state: &'s BudgetState, snapshot: &'s Snapshot) -> &'s str {
    match state.budget.scope {
        Scope::TaskType => &state.value,
        Scope::Session => {
            snapshot.session(&state.value).map_or("", |found| found.row.session.task_type.as_str())
        }
        _ => "",
    }
}

/// The budgets of the page that the reader chose, in the chosen order. Those that nothing can be charged to any more come last.
pub fn chosen<'s>(
    server: &Server,
    snapshot: &'s Arc<Snapshot>,
    choice: &Choice,
) -> (Vec<&'s BudgetEntry>, Pager) {
    let question = (choice.sort, choice.is_descending, choice.ended);
    let order = server.dashboard.orders.get(snapshot, question, || sorted(snapshot, choice));
    let all = order.iter().map(|at| &snapshot.budgets[*at]);
    Pager::select(all, ROWS, choice.page, |page| choice.with(|new| new.page = page))
}

fn sorted(snapshot: &Snapshot, choice: &Choice) -> Vec<usize> {
    let all = if choice.ended { &snapshot.budgets } else { snapshot.active_budgets() };
    // Looked up once each.
    let of = |entry| if choice.sort == SortBy::Task { task(entry, snapshot) } else { "" };
    let mut found: Vec<(usize, &str, &BudgetEntry)> =
        all.iter().enumerate().map(|(at, entry)| (at, of(&entry.state), entry)).collect();
    found.sort_by(|(_, of_a, a), (_, of_b, b)| {
        let ordering = if choice.sort == SortBy::Task { of_a.cmp(of_b) } else { by(a, b, choice.sort) };
        order(a, b, choice, ordering)
    });
    found.into_iter().map(|(at, ..)| at).collect()
}

fn order(a: &BudgetEntry, b: &BudgetEntry, choice: &Choice, ordering: Ordering) -> Ordering {
    let ordering = if choice.is_descending { ordering.reverse() } else { ordering };
    b.is_active.cmp(&a.is_active).then(ordering).then_with(|| names(a).cmp(&names(b)))
}

fn names(entry: &BudgetEntry) -> (&str, &str) {
    (&entry.state.budget.name, &entry.state.value)
}

fn by(a: &BudgetEntry, b: &BudgetEntry, sort: SortBy) -> Ordering {
    let (x, y) = (&a.state, &b.state);
    let of_unit = |state: &BudgetState| Unit::ALL.iter().position(|(_, unit)| *unit == state.budget.unit);
    match sort {
        SortBy::Agent => (&x.value, &x.budget.name).cmp(&(&y.value, &y.budget.name)),
        // Tokens and dollars cannot be compared.
        SortBy::Used => (of_unit(y), x.used).cmp(&(of_unit(x), y.used)),
        SortBy::Limit => (of_unit(y), x.limit()).cmp(&(of_unit(x), y.limit())),
        SortBy::Utilization => x.utilization().total_cmp(&y.utilization()),
        SortBy::Status | SortBy::Task => {
            x.status().cmp(&y.status()).then(x.utilization().total_cmp(&y.utilization()))
        }
    }
}

impl BudgetRow {
    /// The row of a budget on the page at `back`.
    pub fn new(entry: &BudgetEntry, snapshot: &Snapshot, clock: &Clock, back: &str) -> Self {
        let (id, state) = (&entry.id, &entry.state);
        let status = state.status();
        let link = |action: &str| {
            let back = utf8_percent_encode(back, NON_ALPHANUMERIC);
            format!("{HOME}/budget/{id}/{action}?back={back}")
        };
        Self {
            id: id.clone(),
            who: Who::value(state.budget.scope, &state.value, snapshot),
            task: task(state, snapshot).to_owned(),
            name: state.budget.name.clone(),
            used: amount(state.used, state.budget.unit),
            limit: full_amount(state.limit(), state.budget.unit),
            bar: Bar::new(state),
            status: Badge::new(status),
            is_shadow: state.budget.mode == Mode::Shadow,
            is_ended: !entry.is_active,
            details: details(entry, snapshot, clock),
            extend: (status >= Status::Paused).then(|| link("extend")),
            // What the client says is used stays used.
            reset: (state.budget.unit != Unit::Percent).then(|| link("reset")),
        }
    }
}

/// What the tooltip says.
fn details(entry: &BudgetEntry, snapshot: &Snapshot, clock: &Clock) -> Vec<(&'static str, String)> {
    let state = &entry.state;
    let unit = state.budget.unit;
    let mut lines = Vec::new();
    if let Some(tokens) = snapshot.classes.get(&entry.id) {
        let count = state.budget.count;
        let classes = [
            ("Input", tokens.input, count.input),
            ("Output", tokens.output, count.output),
            ("Cache writes", tokens.cache_write, count.cache_write),
            ("Cache reads", tokens.cache_read, count.cache_read),
        ];
        for (name, tokens, is_counted) in classes {
            let note = if is_counted { "" } else { ", not counted" };
            lines.push((name, grouped(tokens) + note));
        }
    }
    lines.push(("Left", full_amount(state.remaining(), unit)));
    if state.extension > 0 {
        lines.push(("Extended by", full_amount(state.extension, unit)));
    }
    if state.history > 0 {
        lines.push(("Before Fusebox", full_amount(state.history, unit)));
    }
    if let Some(hard) = state.hard_limit() {
        lines.push(("Hard limit", full_amount(hard, unit)));
    }
    if let Some(since) = state.since {
        lines.push(("Last reset", When::new(clock, since).short));
    }
    if let Some(end) = state.window.end {
        lines.push(("Starts again", When::new(clock, end).short));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::colour;

    #[test]
    fn colours_change_at_their_thresholds() {
        for (utilization, expected) in [
            (0.0, "green"),
            (0.5, "green"),
            (0.5999, "green"),
            (0.6, "yellow"),
            (0.7999, "yellow"),
            (0.8, "orange"),
            (0.9499, "orange"),
            (0.95, "red"),
            (1.2, "red"),
        ] {
            assert_eq!(colour(utilization), expected, "{utilization}");
        }
    }
}
