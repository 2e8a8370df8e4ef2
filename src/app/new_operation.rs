//! Makes the record of a decision about a budget.

use super::operate::{BudgetChange, OperationRequest};
use super::store_access::{StoreAccess, Unavailable};
use crate::domain::message::MessageKey;
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::scope::Scope;
use crate::domain::time::Timestamp;
use crate::store::shared_names;

/// The time of a new operation: now, but later than all earlier ones, whatever the clocks of other machines say.
/// Replayed operations are ordered by time.
///
/// # Errors
/// The store cannot be read.
pub fn next_time(
    store: &mut StoreAccess,
    request: &OperationRequest,
    now: Timestamp,
) -> Result<Timestamp, Unavailable> {
    let before = store.call(|store| store.operations(Some(&request.budget)))?;
    // A shared store has hashed projects.
    let is_shared = store.is_shared();
    let is_of_value = |operation: &&Operation| {
        operation.value == request.value
            || (is_shared && operation.value == shared_names::shared_value(Scope::Project, &request.value))
    };
    let last = before.iter().filter(is_of_value).map(|operation| operation.at).max();
    Ok(last.map_or(now, |last| now.max(last.plus_millis(1))))
}

/// The operation that an earlier request with the same key made.
///
/// # Errors
/// The store cannot be read.
pub fn repeated(
    store: &mut StoreAccess,
    request: &OperationRequest,
) -> Result<Option<Operation>, Unavailable> {
    if request.idempotency_key.is_empty() {
        return Ok(None);
    }
    let name = match request.change {
        BudgetChange::Extend { .. } => OperationKind::Extend { amount: 0 }.name(),
        BudgetChange::Reset => OperationKind::Reset { baseline: Timestamp::default() }.name(),
        BudgetChange::Delete => OperationKind::Delete.name(),
    };
    let id = id(request, name, Timestamp::default());
    let made = store.call(|store| store.operations(Some(&request.budget)))?;
    Ok(made.into_iter().find(|operation| operation.id == id))
}

/// The operation of a request.
pub fn new(
    request: &OperationRequest,
    decision: OperationKind,
    window_start: Timestamp,
    now: Timestamp,
) -> Operation {
    Operation {
        id: id(request, decision.name(), now),
        kind: decision,
        budget: request.budget.clone(),
        value: request.value.clone(),
        window_start,
        reason: request.reason.trim().to_owned(),
        actor: request.actor.clone(),
        at: now,
    }
}

/// The id of an operation.
fn id(request: &OperationRequest, name: &str, now: Timestamp) -> String {
    let (at, pid) = (now.0.to_string(), std::process::id().to_string());
    let once = [request.idempotency_key.as_str(), &at, &pid];
    // With an idempotency key, a request is the same one at any time.
    let once = if request.idempotency_key.is_empty() { &once[..] } else { &once[..1] };
    let named = [name, &request.budget, &request.value];
    format!("{:?}", MessageKey::from_parts(&[&named, once].concat()))
}
