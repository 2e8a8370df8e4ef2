//! Decisions about budgets and breakers. Each has a form: a dialog on the page that it was opened from, or without scripts
//! a page of its own. After the decision the browser goes back to where it came from.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::super::Server;
use super::super::api::checked_reason;
use super::super::decisions::CircuitRequest;
use super::super::tokens::new_secret;
use super::circuits::state;
use super::page::{Form, Frame, PageProblem, Query, page};
use super::text::Who;
use super::visitor::{Visitor, local};
use crate::app::messages;
use crate::app::messages::amounts::{number, quantity};
use crate::app::operate::{BudgetChange, OperationRequest};
use crate::app::snapshot::{BudgetEntry, CircuitEntry, Snapshot};
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::{BudgetState, Unit};
use crate::domain::event::CircuitDecision;

/// The form.
#[derive(Template)]
#[template(path = "decision.html")]
struct DecisionPage {
    frame: Frame,
    /// What is decided, as a heading.
    title: &'static str,
    /// What it is about: a name, a value.
    about: Vec<(&'static str, String)>,
    /// What will happen.
    effect: String,
    /// Asks for an amount: the label, and an example.
    amount: Option<(String, &'static str)>,
    /// The text of the button.
    button: &'static str,
    /// Where the form goes.
    action: String,
    /// Where the browser goes afterwards.
    back: String,
    /// What was typed before, and what is wrong with it.
    typed: Typed,
    problem: Option<String>,
    is_amount_wrong: bool,
}

/// What a person typed into a form.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Typed {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    back: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    reason: String,
    /// Identifies the decision: a form that is sent twice counts once.
    #[serde(default)]
    key: String,
}

/// The parameters of a form's address.
#[derive(Debug, Deserialize)]
pub struct Back {
    #[serde(default)]
    back: String,
}

impl Back {
    fn typed(self) -> Result<Typed, PageProblem> {
        let key = new_secret()
            .map_err(|error| PageProblem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        Ok(Typed { back: self.back, key, ..Typed::default() })
    }
}

/// What is wrong with a form.
struct Wrong {
    status: StatusCode,
    detail: String,
    is_amount: bool,
}

impl Wrong {
    fn amount(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into(), is_amount: true }
    }
}

impl From<super::super::problem::Problem> for Wrong {
    fn from(problem: super::super::problem::Problem) -> Self {
        Self { status: problem.status(), detail: problem.detail().to_owned(), is_amount: false }
    }
}

/// Shows a form, with what is wrong with it.
fn show(mut form: DecisionPage, wrong: Option<Wrong>) -> Response {
    let status = wrong.as_ref().map_or(StatusCode::OK, |wrong| wrong.status);
    form.is_amount_wrong = wrong.as_ref().is_some_and(|wrong| wrong.is_amount);
    form.problem = wrong.map(|wrong| wrong.detail);
    page(status, &form)
}

/// The form that extends a budget.
pub async fn extend_form(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(back): Query<Back>,
) -> Result<Response, PageProblem> {
    let snapshot = server.watcher.snapshot().await?;
    let entry = budget(&snapshot, &id)?;
    Ok(show(budget_page(&server, &visitor, &snapshot, entry, true, back.typed()?), None))
}

/// The form that resets a budget.
pub async fn reset_form(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(back): Query<Back>,
) -> Result<Response, PageProblem> {
    let snapshot = server.watcher.snapshot().await?;
    let entry = budget(&snapshot, &id)?;
    Ok(show(budget_page(&server, &visitor, &snapshot, entry, false, back.typed()?), None))
}

/// Extends a budget.
pub async fn extend(
    state: State<Arc<Server>>,
    visitor: Extension<Visitor>,
    path: Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, PageProblem> {
    change(state, visitor, path, typed, true).await
}

/// Resets a budget.
pub async fn reset(
    state: State<Arc<Server>>,
    visitor: Extension<Visitor>,
    path: Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, PageProblem> {
    change(state, visitor, path, typed, false).await
}

async fn change(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    typed: Typed,
    is_extension: bool,
) -> Result<Response, PageProblem> {
    let actor = visitor.check_form(&typed.csrf)?;
    let snapshot = server.watcher.snapshot().await?;
    let entry = budget(&snapshot, &id)?;
    match try_change(&server, entry, &typed, actor, is_extension).await {
        Ok(said) => Ok(visitor.back_with(&server, local(&typed.back), said).into_response()),
        Err(wrong) => {
            Ok(show(budget_page(&server, &visitor, &snapshot, entry, is_extension, typed), Some(wrong)))
        }
    }
}

/// Carries out a change. Returns what was done.
async fn try_change(
    server: &Arc<Server>,
    entry: &BudgetEntry,
    typed: &Typed,
    actor: String,
    is_extension: bool,
) -> Result<String, Wrong> {
    let (name, unit) = (&entry.state.budget.name, entry.state.budget.unit);
    let change = match is_extension {
        true => {
            let amount = amount(&typed.amount, unit)?;
            BudgetChange::Extend { amount, unit: Some(unit) }
        }
        false => BudgetChange::Reset,
    };
    let reason = checked_reason(&typed.reason)?;
    let request = OperationRequest {
        budget: name.clone(),
        value: entry.state.value.clone(),
        change,
        reason,
        idempotency_key: if typed.key.is_empty() { String::new() } else { format!("{actor}\n{}", typed.key) },
        actor,
    };
    let done = server.operate(request).await?;
    let after = done.after.as_ref().map(messages::share).unwrap_or_default();
    Ok(match is_extension {
        true => format!("Budget {name} is extended: {after}."),
        false => format!("Budget {name} counts from zero again: {after}."),
    })
}

/// The amount that was typed, in the unit of the budget.
fn amount(typed: &str, unit: Unit) -> Result<WrittenAmount, Wrong> {
    let written = WrittenAmount::parse(typed.trim());
    match written.and_then(|written| written.in_unit(unit)) {
        Some(0) => Err(Wrong::amount("The amount must be greater than 0.")),
        Some(count) => Ok(WrittenAmount::from_count(count)),
        None => Err(Wrong::amount(format!("Enter {}.", example(unit)))),
    }
}

fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Tokens => "a number of tokens, such as 50000, 50k or 1M",
        Unit::Requests | Unit::ToolCalls => "a whole number, such as 50",
        Unit::Usd => "an amount in dollars, such as 2.50",
        Unit::Percent => "a percentage, such as 5",
    }
}

fn budget<'s>(snapshot: &'s Snapshot, id: &str) -> Result<&'s BudgetEntry, PageProblem> {
    snapshot.budget(id).ok_or_else(|| PageProblem::not_found("budget"))
}

fn budget_page(
    server: &Server,
    visitor: &Visitor,
    snapshot: &Snapshot,
    entry: &BudgetEntry,
    is_extension: bool,
    typed: Typed,
) -> DecisionPage {
    let state = &entry.state;
    let unit = state.budget.unit;
    let who = Who::value(state.budget.scope, &state.value, snapshot);
    let mut about = vec![
        ("Budget", state.budget.name.clone()),
        ("Agent", if who.detail.is_empty() { who.full } else { format!("{} ({})", who.full, who.detail) }),
        ("Used", messages::share(state)),
    ];
    if let Some(room) = room(state).filter(|_| is_extension) {
        about.push(("Can be added", room));
    }
    let (title, verb, button, effect) = match is_extension {
        true => (
            "Extend the budget",
            "extend",
            "Extend",
            format!("Raises the limit of {}.", quantity(state.limit(), unit)),
        ),
        false => (
            "Reset the budget",
            "reset",
            "Reset",
            format!(
                "Starts counting again from zero: the {} are forgotten, and so are extensions.",
                quantity(state.used, unit)
            ),
        ),
    };
    let action = format!("{}/budget/{}/{verb}", super::HOME, entry.id);
    DecisionPage {
        frame: Frame::new(server, visitor, "overview", local(&typed.back).to_owned()),
        title,
        about,
        effect,
        amount: is_extension.then(|| (format!("Add {}", unit.noun()), example(unit))),
        button,
        action,
        back: local(&typed.back).to_owned(),
        typed,
        problem: None,
        is_amount_wrong: false,
    }
}

/// What is left until the hard limit, as text; `None`: there is none.
fn room(state: &BudgetState) -> Option<String> {
    let hard = state.hard_limit()?;
    let unit = state.budget.unit;
    Some(format!(
        "at most {} (hard limit {})",
        number(hard.saturating_sub(state.limit()), unit),
        quantity(hard, unit)
    ))
}

/// The decision that an address names.
fn circuit_decision(name: &str) -> Result<CircuitDecision, PageProblem> {
    match name {
        "acknowledge" => Ok(CircuitDecision::Acknowledge),
        "reset" => Ok(CircuitDecision::Reset),
        _ => Err(PageProblem::not_found("page")),
    }
}

fn breaker<'s>(snapshot: &'s Snapshot, id: &str) -> Result<&'s CircuitEntry, PageProblem> {
    snapshot.circuit(id).ok_or_else(|| PageProblem::not_found("circuit breaker"))
}

/// The form that acknowledges or resets a breaker.
pub async fn circuit_form(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Path((id, decision)): Path<(String, String)>,
    Query(back): Query<Back>,
) -> Result<Response, PageProblem> {
    let decision = circuit_decision(&decision)?;
    let snapshot = server.watcher.snapshot().await?;
    let entry = breaker(&snapshot, &id)?;
    Ok(show(circuit_page(&server, &visitor, entry, decision, back.typed()?), None))
}

/// Acknowledges or resets a breaker.
pub async fn circuit(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Path((id, decision)): Path<(String, String)>,
    Form(typed): Form<Typed>,
) -> Result<Response, PageProblem> {
    let decision = circuit_decision(&decision)?;
    let actor = visitor.check_form(&typed.csrf)?;
    let snapshot = server.watcher.snapshot().await?;
    let entry = breaker(&snapshot, &id)?;
    match try_circuit(&server, entry, &typed, actor, decision).await {
        Ok(said) => Ok(visitor.back_with(&server, local(&typed.back), said).into_response()),
        Err(wrong) => Ok(show(circuit_page(&server, &visitor, entry, decision, typed), Some(wrong))),
    }
}

async fn try_circuit(
    server: &Arc<Server>,
    entry: &CircuitEntry,
    typed: &Typed,
    actor: String,
    decision: CircuitDecision,
) -> Result<String, Wrong> {
    let reason = checked_reason(&typed.reason)?;
    let (session, agent) = (entry.row.session.clone(), entry.row.agent.clone());
    server.decide_circuit(CircuitRequest { session, agent, decision, actor, reason }).await?;
    Ok(match decision {
        CircuitDecision::Acknowledge => "The breaker is half-open: one call is let through.".to_owned(),
        CircuitDecision::Reset => "The breaker is closed.".to_owned(),
    })
}

fn circuit_page(
    server: &Server,
    visitor: &Visitor,
    entry: &CircuitEntry,
    decision: CircuitDecision,
    typed: Typed,
) -> DecisionPage {
    let row = &entry.row;
    let phase = &row.breaker.phase;
    let agent = if row.agent.is_empty() { "main" } else { &row.agent };
    let mut about = vec![
        ("Session", row.session.clone()),
        ("Agent", agent.to_owned()),
        ("State", state(phase).to_owned()),
    ];
    about.extend(phase.trip().map(|trip| ("Tripped", messages::trip_reason(trip))));
    let (title, name, button, effect) = match decision {
        CircuitDecision::Acknowledge => (
            "Acknowledge the trip",
            "acknowledge",
            "Acknowledge",
            "Lets one call through. If it works, the breaker closes.",
        ),
        CircuitDecision::Reset => {
            ("Reset the breaker", "reset", "Reset", "Closes the breaker, and clears what it counted.")
        }
    };
    DecisionPage {
        frame: Frame::new(server, visitor, "overview", local(&typed.back).to_owned()),
        title,
        about,
        effect: effect.to_owned(),
        amount: None,
        button,
        action: format!("{}/circuit/{}/{name}", super::HOME, entry.id),
        back: local(&typed.back).to_owned(),
        typed,
        problem: None,
        is_amount_wrong: false,
    }
}
