//! Who may decide: a person, not the agent that is guarded.

use super::Misuse;
use crate::env::Env;

/// Refuses inside an agent's shell.
///
/// # Errors
/// It is one.
pub fn refuse_in_agent(env: &Env, command: &str) -> anyhow::Result<()> {
    if env.var("CLAUDECODE").is_some() {
        return Err(Misuse(format!(
            "`{command}` is for a person: run it in a terminal of your own, outside the agent"
        ))
        .into());
    }
    Ok(())
}
