//! Prompts that Fusebox answers itself, without a model call: status, help, extend, reset, acknowledge.

use crate::agents::event::Prompt;
use crate::app::circuit_decisions;
use crate::app::human_check::{NotAPerson, ensure_person};
use crate::app::messages::{self, replies};
use crate::app::operate::{self, AppliedOperation, BudgetChange, OperationRequest, Refusal};
use crate::app::operator::shell_quoted;
use crate::app::record::record_and_cache;
use crate::app::record_plan::RecordPlan;
use crate::app::session::SessionContext;
use crate::domain::budget::{Budget, BudgetState, Scope};
use crate::domain::event::CircuitDecision;
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::prompt_command::{PREFIX, PromptCommand, parse};
use crate::domain::verdict;
use crate::transcript::text_hash;

/// How long a repeated command counts as the same one, in milliseconds. The client leaves an answered prompt in its
/// input box: another Enter sends it again under another id, and the next words are typed before or after it.
const REPEAT_WINDOW_MS: i64 = 5 * 60_000;

/// The same while the session is blocked: it may have used up what it was given, and the person gives it again.
const BLOCKED_REPEAT_WINDOW_MS: i64 = 60_000;

/// The answer to a prompt that is a command, or still contains the one answered before; `None` for other prompts.
pub fn reply(ctx: &mut SessionContext, prompt: &Prompt) -> Option<String> {
    let (text, answered) = match parse(&prompt.text) {
        Some(Ok(command)) => (Some(execute(ctx, &command, prompt)), text_hash(&prompt.text)),
        _ if contains_answered(ctx, &prompt.text) => return Some(replies::left_in_box()),
        Some(Err(problem)) => {
            return Some(format!("Fusebox: {problem}.\n{}", replies::prompt_command_help()));
        }
        None if prompt.is_client_made() => return None,
        None => (None, 0),
    };
    if answered != ctx.cache.answered {
        let mut cache = ctx.lock_cache();
        cache.answered = answered;
        ctx.save_cache(cache);
    }
    text
}

/// Whether a line of a prompt ends with the words of the command that was answered before it.
fn contains_answered(ctx: &SessionContext, text: &str) -> bool {
    let starts = |line: &str, at: usize| {
        line.get(at..at + PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    };
    let ends = |line: &str| {
        (0..line.len()).any(|at| starts(line, at) && text_hash(&line[at..]) == ctx.cache.answered)
    };
    ctx.cache.answered != 0 && text.lines().any(ends)
}

/// Executes a command. Returns the answer for the person, with the reason if it was refused.
fn execute(ctx: &mut SessionContext, command: &PromptCommand, prompt: &Prompt) -> String {
    if *command == PromptCommand::Help {
        return replies::prompt_command_help();
    }
    // A person is waiting: ask the store even during a back-off.
    ctx.store.retry_now();
    // Record first, so that the decision is based on current numbers.
    let recorded = record_and_cache(ctx, &RecordPlan::for_session(false));
    if let Some(problem) = recorded.failure {
        return match command.decides() {
            true => format!("Fusebox: nothing was changed: {problem}"),
            false => format!("Fusebox: the store does not answer: {problem}"),
        };
    }
    let states = recorded.states;
    // After the store has answered: it knows who started which client.
    let person = if command.decides() { ensure_person(ctx, prompt) } else { Ok(()) };
    let (name, change, reason) = match command {
        PromptCommand::Status | PromptCommand::Help => return session_summary(ctx, &states),
        PromptCommand::Acknowledge { reason } => return acknowledge(ctx, person, reason),
        PromptCommand::Extend { budget, amount, unit, reason } => {
            (budget, BudgetChange::Extend { amount: *amount, unit: *unit }, reason)
        }
        PromptCommand::Reset { budget, reason } => (budget, BudgetChange::Reset, reason),
    };
    let answer = change_budget(ctx, name.as_deref(), change, reason, prompt, person, &states);
    answer.unwrap_or_else(|refusal| format!("Fusebox: nothing was changed: {refusal}"))
}

fn change_budget(
    ctx: &mut SessionContext,
    name: Option<&str>,
    change: BudgetChange,
    reason: &str,
    prompt: &Prompt,
    person: Result<(), NotAPerson>,
    states: &[BudgetState],
) -> Result<String, Refusal> {
    let (budget, value) = resolve_budget(ctx, name, states)?;
    let once = prompt.id.as_ref().map(|id| format!("prompt {} {id}", ctx.source.session));
    let request = OperationRequest {
        budget: budget.name.clone(),
        value,
        change,
        reason: reason.to_owned(),
        actor: ctx.env.user(),
        idempotency_key: once.unwrap_or_default(),
    };
    if let Err(why) = person {
        let command = request.command(&budget).replace("\"…\"", &shell_quoted(reason));
        return Ok(refusal(why, &command));
    }
    if is_repeated(ctx, &request, name.is_some(), states)? {
        return Ok(already_done_text(ctx, states));
    }
    let done = operate::operate(ctx.env, &ctx.config, &mut ctx.store, &request)?;
    ctx.notices.journal.extend(done.warnings.iter().cloned());
    Ok(if done.is_new() { success_text(ctx, &done) } else { already_done_text(ctx, states) })
}

/// Acknowledges every open breaker of the session.
fn acknowledge(ctx: &mut SessionContext, person: Result<(), NotAPerson>, reason: &str) -> String {
    let session = ctx.source.session.clone();
    if let Err(why) = person {
        return refusal(
            why,
            &format!("fusebox circuit ack --session {session} --reason {}", shell_quoted(reason)),
        );
    }
    let (decision, by) = (CircuitDecision::Acknowledge, ctx.env.user());
    match circuit_decisions::decide_circuit(ctx.env, &mut ctx.store, &session, None, decision, (&by, reason)) {
        Ok(_) => "Fusebox: acknowledged. The circuit breaker lets one test call through, and closes if that succeeds. (Your \
                  next prompt to the agent closes it in any case.)"
            .to_owned(),
        Err(refusal) => format!("Fusebox: nothing was changed: {refusal}"),
    }
}

/// Whether the last decision about this value was the same one, not long ago: with the same reason, or with more words
/// typed after it. `is_named`: whether the command names its budget. If it does not, and nothing blocks the session any
/// more, the repeated command would be about another budget, so decisions about any of the session's budgets are
/// compared.
fn is_repeated(
    ctx: &mut SessionContext,
    request: &OperationRequest,
    is_named: bool,
    states: &[BudgetState],
) -> Result<bool, Refusal> {
    let blocking = verdict::blocking(states, &ctx.caller());
    let window = if blocking.is_empty() { REPEAT_WINDOW_MS } else { BLOCKED_REPEAT_WINDOW_MS };
    let any = blocking.is_empty() && !is_named;
    let about_this = |last: &&Operation| {
        let is_it = |budget: &str, value: &str| last.budget == budget && last.value == value;
        is_it(&request.budget, &request.value)
            || (any && states.iter().any(|state| is_it(&state.budget.name, &state.value)))
    };
    let operations = ctx.store.call(|store| store.operations(None))?;
    let Some(last) = operations.iter().rfind(about_this) else { return Ok(false) };
    let same = match (last.kind, request.change) {
        (OperationKind::Extend { amount }, BudgetChange::Extend { amount: again, .. }) => {
            let unit = ctx.config.budgets.iter().find(|budget| budget.name == last.budget).map(|b| b.unit);
            unit.is_some_and(|unit| again.in_unit(unit) == Some(amount))
        }
        (OperationKind::Reset { .. }, BudgetChange::Reset) => true,
        _ => false,
    };
    // A decision from the future was made before the clock was set back.
    let lately = last.at <= ctx.env.now && ctx.env.now.millis_since(last.at) < window;
    Ok(same && request.reason.starts_with(&last.reason) && lately)
}

fn already_done_text(ctx: &mut SessionContext, states: &[BudgetState]) -> String {
    let summary = session_summary(ctx, states);
    format!("Fusebox: this was already done, and counts once. {}\n{summary}", replies::REPEAT_ADVICE)
}

/// The session's totals and budgets.
fn session_summary(ctx: &mut SessionContext, states: &[BudgetState]) -> String {
    let session = ctx.source.session.clone();
    let total = ctx.store.call(|store| store.session_total(&session));
    let total = ctx.notices.log_failure(total).flatten();
    let mut lines = vec![replies::session_line(total.as_ref())];
    lines.extend(states.iter().map(|state| replies::budget_line(state, &session)));
    lines.join("\n")
}

/// The budget and value of a command: the named budget, else the one that blocks the session, else the session's own.
fn resolve_budget(
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
    let budget = operate::find_budget(&ctx.config.budgets, name)?.clone();
    if let Some(state) = of(name) {
        return Ok((budget, state.value.clone()));
    }
    let session = ctx.session();
    operate::ensure_known(ctx.env, &budget, &session.user)?;
    let mut values: Vec<String> =
        ctx.budget_keys(&session).into_iter().filter(|w| w.budget.name == name).map(|w| w.value).collect();
    if budget.scope == Scope::Session {
        values.retain(|value| *value == session.id);
    }
    match &values[..] {
        [value] => Ok((budget, value.clone())),
        _ => Err(Refusal::AmbiguousValue {
            name: name.to_owned(),
            scope: budget.scope.name(),
            values: values.join(", "),
        }),
    }
}

/// What was changed, and what still blocks the session.
fn success_text(ctx: &mut SessionContext, done: &AppliedOperation) -> String {
    let after = done.after.as_ref().map_or_else(|| "deleted".to_owned(), messages::share);
    let operation = replies::describe_operation(&done.operation.kind, done.unit());
    let mut text = format!("Fusebox: budget {} {operation}: {after}.", done.operation.budget);
    let (budget_keys, now) = (ctx.budget_keys(&ctx.session()), ctx.env.now);
    let states = ctx.store.call(|store| store.states(&budget_keys, now));
    let Some(states) = ctx.notices.log_failure(states) else { return text };
    match verdict::blocking(&states, &ctx.caller()).last() {
        Some(state) => text += &format!(" {}", replies::still_blocked(state)),
        None => text += " The session can continue: clear the input box (Ctrl+U) and send your next prompt.",
    }
    text
}

/// The answer if it is not certain that a person asked: the command to run in a terminal.
fn refusal(why: NotAPerson, command: &str) -> String {
    let place = match why {
        NotAPerson::Typable(_) => "To do it, paste this into another terminal, window or pane",
        _ => "A person can run in a terminal",
    };
    format!("Fusebox: nothing was changed: {why}. {place}: {command}")
}
