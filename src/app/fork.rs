//! The first prompt of a fork. A fork begins with what its origin used, but the client writes the fork's file only
//! after that prompt. Until then, the origin's budgets are checked as well.

use super::operate::{BudgetChange, OperationRequest, Refusal, operate};
use super::process_tree;
use super::session::SessionContext;
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
pub fn blocking_origin(ctx: &mut SessionContext) -> Option<BudgetState> {
    let transcript = ctx.source.transcript.clone().filter(|transcript| !transcript.exists())?;
    let client = process_tree::calling_client(ctx.env, ctx.source.client)?;
    let origin = ctx.source.client.forked_session(client.pid, &transcript)?;
    let of_session = ctx.config.budgets.iter().filter(|budget| budget.scope == Scope::Session);
    let keys: Vec<BudgetKey> =
        of_session.map(|budget| BudgetKey { budget: budget.clone(), value: origin.clone() }).collect();
    let now = ctx.env.now;
    let states = ctx.store.call(|store| store.states(&keys, now));
    let states = ctx.notices.log_failure(states)?;
    let blocking = states.iter().filter(|state| state.blocks());
    if let Some(state) = blocking.max_by(|a, b| a.utilization().total_cmp(&b.utilization())) {
        return Some(state.clone());
    }
    for state in states.iter().filter(|state| state.extension > 0) {
        let request = OperationRequest {
            budget: state.budget.name.clone(),
            value: ctx.source.session.clone(),
            change: BudgetChange::Extend { amount: state.extension, unit: None },
            reason: format!("fork of {origin}"),
            actor: "fusebox".to_owned(),
            idempotency_key: format!("fork of {origin}"),
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
