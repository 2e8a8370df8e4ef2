//! Prompts that Fusebox answers itself, without a model call: status, extend, reset, help.

use crate::agents::event::Prompt;
use crate::app::brief;
use crate::app::human_check::{Unattended, ensure_person};
use crate::app::operate::{self, Done, Refusal, Request, What};
use crate::app::record::record_and_keep;
use crate::app::record_plan::RecordPlan;
use crate::app::session::SessionContext;
use crate::domain::budget::{Budget, BudgetState, Scope};
use crate::domain::event::CircuitDecision;
use crate::domain::operation::OperationKind;
use crate::domain::prompt_command::PromptCommand;
use crate::domain::verdict;

/// How long the same words decide the same thing once, in milliseconds: 2.1.330 puts a prompt that was answered back into
/// its input box, where another Enter sends it again, under another id.
const ONCE_MS: i64 = 60_000;

/// Carries out a command, or says why not; answers the text for the person.
pub fn obey(ctx: &mut SessionContext, command: &PromptCommand, prompt: &Prompt) -> String {
    if *command == PromptCommand::Help {
        return brief::prompt_commands();
    }
    // A person waits for the answer, not for hooks: the store is asked even if it did not answer lately.
    ctx.store.wake();
    // First: what is decided is decided by the numbers of now.
    let recorded = record_and_keep(ctx, &RecordPlan::for_session(false));
    if let Some(problem) = recorded.failure {
        return match command.decides() {
            true => format!("Fusebox: nothing was changed: {problem}"),
            false => format!("Fusebox: the store does not answer: {problem}"),
        };
    }
    let states = recorded.states;
    // With a store that answers: it knows who started which client.
    let person = if command.decides() { ensure_person(ctx, prompt) } else { Ok(()) };
    let (name, what, reason) = match command {
        PromptCommand::Status | PromptCommand::Help => return standing(ctx, &states),
        PromptCommand::Acknowledge { reason } => return acknowledge(ctx, person, reason),
        PromptCommand::Extend { budget, amount, unit, reason } => {
            (budget, What::Extend { amount: *amount, unit: *unit }, reason)
        }
        PromptCommand::Reset { budget, reason } => (budget, What::Reset, reason),
    };
    let decided = decide(ctx, name.as_deref(), what, reason, prompt, person, &states);
    decided.unwrap_or_else(|refusal| format!("Fusebox: nothing was changed: {refusal}"))
}

fn decide(
    ctx: &mut SessionContext,
    name: Option<&str>,
    what: What,
    reason: &str,
    prompt: &Prompt,
    person: Result<(), Unattended>,
    states: &[BudgetState],
) -> Result<String, Refusal> {
    let (budget, value) = meant(ctx, name, states)?;
    let once = prompt.id.as_ref().map(|id| format!("prompt {} {id}", ctx.source.session));
    let request = Request {
        budget: budget.name.clone(),
        value,
        what,
        reason: reason.to_owned(),
        actor: ctx.env.user(),
        once: once.unwrap_or_default(),
    };
    if let Err(why) = person {
        return Ok(elsewhere(why, &budget, &request));
    }
    if was_just_decided(ctx, &request)? {
        return Ok(done_already(ctx, states));
    }
    let done = operate::operate(ctx.env, &ctx.config, &mut ctx.store, &request)?;
    ctx.notices.journal.extend(done.warnings.iter().cloned());
    Ok(if done.is_new() { carried_out(ctx, &done) } else { done_already(ctx, states) })
}

/// Every open breaker of the session may try one call.
fn acknowledge(ctx: &mut SessionContext, person: Result<(), Unattended>, reason: &str) -> String {
    let session = ctx.source.session.clone();
    if let Err(why) = person {
        return format!(
            "Fusebox: this prompt was not carried out, and nothing was changed: {why}. A person runs in a terminal: fusebox \
             circuit ack --session {session} --reason \"…\""
        );
    }
    let decision = CircuitDecision::Acknowledge;
    match operate::decide_circuit(ctx.env, &mut ctx.store, &session, None, decision, reason) {
        Ok(_) => "Fusebox: acknowledged. The circuit breaker lets one call through, and closes if that goes well. (Any \
                  prompt of yours begins it anew.)"
            .to_owned(),
        Err(refusal) => format!("Fusebox: nothing was changed: {refusal}"),
    }
}

/// Whether the last decision about this value was the same one, in the same words, within [`ONCE_MS`].
fn was_just_decided(ctx: &mut SessionContext, request: &Request) -> Result<bool, Refusal> {
    let operations = ctx.store.call(|store| store.operations(Some(&request.budget)))?;
    let Some(last) = operations.iter().rfind(|last| last.value == request.value) else { return Ok(false) };
    let same = match (last.kind, request.what) {
        (OperationKind::Extend { amount }, What::Extend { amount: again, .. }) => amount == again,
        (OperationKind::Reset { .. }, What::Reset) => true,
        _ => false,
    };
    // One of a later time was made under another clock.
    let lately = last.at <= ctx.env.now && ctx.env.now.millis_since(last.at) < ONCE_MS;
    Ok(same && last.reason == request.reason && lately)
}

fn done_already(ctx: &mut SessionContext, states: &[BudgetState]) -> String {
    format!("Fusebox: this was done already. {}", standing(ctx, states))
}

/// Where the session stands, for the person who asks.
fn standing(ctx: &mut SessionContext, states: &[BudgetState]) -> String {
    let session = ctx.source.session.clone();
    let total = ctx.store.call(|store| store.session_total(&session));
    let total = ctx.notices.swallow(total).flatten();
    let mut lines = vec![brief::session_line(total.as_ref())];
    lines.extend(states.iter().map(|state| brief::budget_line(state, &session)));
    lines.join("\n")
}

/// The budget and the value that are meant: the named budget's, else what holds the session back, else its own.
fn meant(
    ctx: &SessionContext,
    name: Option<&str>,
    states: &[BudgetState],
) -> Result<(Budget, String), Refusal> {
    let held = verdict::blocking(states, &ctx.caller());
    let of = |name: &str| held.iter().rev().find(|state| state.budget.name == name);
    let name = match (name, held.last()) {
        (Some(name), _) => name,
        (None, Some(state)) => return Ok((state.budget.clone(), state.value.clone())),
        (None, None) => match &ctx.config.budgets[..] {
            [only] => only.name.as_str(),
            _ => "session",
        },
    };
    let budget = operate::find(&ctx.config.budgets, name)?.clone();
    if let Some(state) = of(name) {
        return Ok((budget, state.value.clone()));
    }
    let session = ctx.session();
    let mut values: Vec<String> =
        ctx.watches(&session).into_iter().filter(|w| w.budget.name == name).map(|w| w.value).collect();
    if budget.scope == Scope::Session {
        values.retain(|value| *value == session.id);
    }
    match &values[..] {
        [value] => Ok((budget, value.clone())),
        _ => Err(Refusal::Unclear {
            name: name.to_owned(),
            scope: budget.scope.name(),
            values: values.join(", "),
        }),
    }
}

/// What a carried out decision comes to, and what still stands in the way.
fn carried_out(ctx: &mut SessionContext, done: &Done) -> String {
    let after = done.after.as_ref().map_or_else(|| "deleted".to_owned(), brief::share);
    let what = brief::decision(&done.operation.kind);
    let mut text = format!("Fusebox: budget {} {what}: {after}.", done.operation.budget);
    let (watches, now) = (ctx.watches(&ctx.session()), ctx.env.now);
    let states = ctx.store.call(|store| store.states(&watches, now));
    let Some(states) = ctx.notices.swallow(states) else { return text };
    match verdict::blocking(&states, &ctx.caller()).last() {
        Some(state) => text += &format!(" {}", brief::still_held(state)),
        None => text += " The session may go on: send your next prompt.",
    }
    text
}

/// What is answered where no person can be told to have asked: how one does it.
fn elsewhere(why: Unattended, budget: &Budget, request: &Request) -> String {
    let command = request.command(budget);
    format!(
        "Fusebox: this prompt was not carried out, and nothing was changed: {why}. A person runs in a terminal: {command}"
    )
}
