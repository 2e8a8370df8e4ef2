//! What is said while the shared store is out of reach: by the session caches of this machine, with how old that is.

use super::render::age;
use super::{Io, Misuse, select};
use crate::app::last_known::LastKnown;
use crate::app::status::SessionStatus;
use crate::app::store_access::Unavailable;
use crate::domain::budget::{BudgetState, StoreDown};
use crate::env::Env;
use crate::store::SessionRow;

/// What this machine knows, where a command failed because the shared store does not answer; and says so.
///
/// # Errors
/// It failed for another reason, or nothing is known.
pub fn known<'a>(env: &'a Env, error: anyhow::Error, io: &mut Io) -> anyhow::Result<LastKnown<'a>> {
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
    writeln!(io.err, "  and what was used here since. What other machines used since is missing.")?;
    writeln!(io.err, "  Hooks go on, and the store gets everything once it is back.")?;
    Ok(known)
}

/// The session with this id, or the only one whose id begins so, of those that this machine knows.
///
/// # Errors
/// There is none, or there are several.
pub fn named<'r>(rows: &'r [SessionRow], id: &str) -> anyhow::Result<&'r SessionRow> {
    if !id.is_empty() && !rows.iter().any(|row| row.session.id.starts_with(id)) {
        let problem = format!("no session {id} is known on this machine, and the store cannot be asked");
        return Err(Misuse(problem).into());
    }
    select::named(rows, id)
}

/// What holds of a session's budgets as long as the store is out of reach.
pub fn meanwhile(status: &SessionStatus, states: &[BudgetState]) -> Vec<String> {
    if status.store.reachable {
        return Vec::new();
    }
    let as_of = match &status.store.as_of {
        Some(at) => format!("as the store said at {at}, and as counted here since"),
        None => "as counted here: when the store last answered is not known".to_owned(),
    };
    let by_budget = states.iter().filter_map(|state| {
        let name = &state.budget.name;
        match state.budget.store_down {
            StoreDown::Local => None,
            StoreDown::Allow => {
                Some(format!("{name} does not hold without the store (store_down = \"allow\")"))
            }
            StoreDown::Deny => Some(format!("{name} denies calls without the store (store_down = \"deny\")")),
        }
    });
    std::iter::once(as_of).chain(by_budget).collect()
}
