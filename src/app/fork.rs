//! The first prompt of a fork. A fork begins with what its origin used, but the client writes the fork's file only
//! after that prompt. Until then, the origin's budgets are checked as well.

use super::operate::{BudgetChange, OperationRequest, Refusal, operate};
use super::process_tree;
use super::session::SessionContext;
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::escalation::Hold;
use crate::store::BudgetKey;

/// Notes that the fork's prompt was blocked because of a budget of its origin, so that the fork counts as stopped.
/// `states`: the fork's own budgets, which its copy of the conversation will exceed.
pub fn note_blocked(ctx: &mut SessionContext, states: &[BudgetState], of_origin: &BudgetState) {
    let is_own = |state: &&BudgetState| {
        state.budget.name == of_origin.budget.name && state.value == ctx.source.session
    };
    if let Some(state) = states.iter().find(is_own) {
        let mut cache = ctx.lock_cache();
        cache.escalation.on_blocked_prompt(&[Hold::from_budget(state)]);
        ctx.save_cache(cache);
    }
}

/// The origin's budget that blocks a fork which has no file of its own yet. If there is none, the fork gets the
/// origin's extensions, because its copy of the conversation counts against its limit.
///
/// A client's arguments also hold for later sessions of that client: what `/clear` begins is no fork. If no hook was
/// told how the session began, it may be one: it is blocked as such, but gets no extension that nobody meant for it.
pub fn blocking_origin(ctx: &mut SessionContext) -> Option<BudgetState> {
    if ctx.cache.continues == Some(false) {
        return None;
    }
    let transcript = ctx.source.transcript.clone().filter(|transcript| !transcript.exists())?;
    let client = process_tree::calling_client(ctx.env, ctx.source.client)?;
    let origin = ctx.source.client.forked_session(client.pid, &transcript)?;
    let of_session = ctx.config.budgets.iter().filter(|budget| budget.scope == Scope::Session);
    let keys: Vec<BudgetKey> =
        of_session.map(|budget| BudgetKey { budget: budget.clone(), value: origin.clone() }).collect();
    let now = ctx.env.now;
    let states = ctx.store.call(|store| store.states(&keys, now));
    let states = ctx.notices.log_failure(states)?;
    let why = format!("fork of {origin}");
    let mut blocking: Vec<&BudgetState> = states.iter().filter(|state| state.blocks()).collect();
    if !blocking.is_empty() {
        // A person who decided about the fork itself meant it to go on. It may never get a file of its own.
        let operations = ctx.store.call(|store| store.operations(None));
        let operations = ctx.notices.log_failure(operations).unwrap_or_default();
        blocking.retain(|state| {
            !operations.iter().any(|operation| {
                operation.budget == state.budget.name
                    && operation.value == ctx.source.session
                    && operation.window_start == state.window.start
                    && operation.reason != why
            })
        });
    }
    if let Some(state) = blocking.into_iter().max_by(|a, b| a.utilization().total_cmp(&b.utilization())) {
        return Some(state.clone());
    }
    let is_fork = ctx.cache.continues == Some(true);
    for state in states.iter().filter(|state| is_fork && !state.blocks() && state.extension > 0) {
        let request = OperationRequest {
            budget: state.budget.name.clone(),
            value: ctx.source.session.clone(),
            change: BudgetChange::Extend { amount: WrittenAmount::from_count(state.extension), unit: None },
            reason: why.clone(),
            actor: "fusebox".to_owned(),
            idempotency_key: why.clone(),
        };
        match operate(ctx.env, &ctx.config, &mut ctx.store, &request) {
            Ok(applied) => ctx.notices.journal.extend(applied.warnings),
            // The hooks' user may not decide: a person extends the fork.
            Err(Refusal::Denied(_)) => {}
            Err(refusal) => ctx.notices.journal.push(refusal.to_string()),
        }
    }
    None
}
