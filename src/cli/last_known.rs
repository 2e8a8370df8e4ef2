//! Output while the shared store is unreachable: from this machine's session caches, with their age.

use super::render::age;
use super::{Io, UsageError, select};
use crate::app::last_known::LastKnown;
use crate::app::status::SessionStatus;
use crate::app::store_access::Unavailable;
use crate::domain::budget::{BudgetState, StoreDown};
use crate::platform::Env;
use crate::store::SessionRow;

/// What this machine knows, if a command failed because the shared store is unreachable. Prints a notice.
///
/// # Errors
/// The command failed for another reason, or nothing is known.
pub fn read_last_known<'a>(env: &'a Env, error: anyhow::Error, io: &mut Io) -> anyhow::Result<LastKnown<'a>> {
    let config = select::configuration(env)?;
    let known = match error.downcast_ref::<Unavailable>().filter(|_| config.redis.is_some()) {
        Some(failure) => LastKnown::read(env, &config, failure.to_string()),
        None => None,
    };
    let Some(known) = known else { return Err(error) };
    writeln!(io.err, "fusebox: {}", known.failure())?;
    let as_of = known.as_of().map_or_else(String::new, |at| {
        format!(" ({} ago, {})", age(env.now.millis_since(at)), at.to_rfc3339())
    });
    writeln!(io.err, "fusebox: showing what this machine last knew{as_of}")?;
    writeln!(io.err, "  and its own use since. Use on other machines since then is missing.")?;
    writeln!(io.err, "  Hooks keep counting. Redis gets everything when it is back.")?;
    Ok(known)
}

/// The session with this id or unique id prefix, among those that this machine knows.
///
/// # Errors
/// No session matches, or several do.
pub fn find_session<'r>(rows: &'r [SessionRow], id: &str) -> anyhow::Result<&'r SessionRow> {
    if !id.is_empty() && !rows.iter().any(|row| row.session.id.starts_with(id)) {
        let problem = format!(
            "no session {id} in this machine's caches, and the store is unreachable. Run this on the machine where the session \
             ran, or again when the store is back"
        );
        return Err(UsageError(problem).into());
    }
    select::find_session(rows, id)
}

/// Notes about a session's budgets while the store is unreachable.
pub fn offline_notes(status: &SessionStatus, states: &[BudgetState]) -> Vec<String> {
    if status.store.reachable {
        return Vec::new();
    }
    let as_of = match &status.store.as_of {
        Some(at) => format!("numbers: from the store at {at}, plus this machine's use since then"),
        None => "numbers: counted on this machine only; when the store last answered is unknown".to_owned(),
    };
    let by_budget = states.iter().filter_map(|state| {
        let name = &state.budget.name;
        match state.budget.store_down {
            StoreDown::Local => None,
            StoreDown::Allow => Some(format!(
                "{name} is not enforced while the store is unreachable (store_down = \"allow\")"
            )),
            StoreDown::Deny => Some(format!(
                "{name} denies every call while the store is unreachable (store_down = \"deny\")"
            )),
        }
    });
    std::iter::once(as_of).chain(by_budget).collect()
}
