//! Commands that change what guards an agent are for people only.

use super::UsageError;
use crate::agents;
use crate::app::process_tree;
use crate::platform::Env;

/// Refuses to run `command` in an agent's shell. This is a tripwire, not a security boundary: the agent runs as the
/// same user.
///
/// # Errors
/// The process was started by a Claude Code client: `CLAUDECODE` is set, or a client is among its ancestors.
pub fn refuse_in_agent(env: &Env, command: &str) -> anyhow::Result<()> {
    let variable = |name: &str| env.vars.get(name).filter(|value| !value.is_empty()).cloned();
    let sign = if agents::ALL.iter().any(|agent| agent.inherited_env(&variable).is_inside) {
        "CLAUDECODE is set"
    } else if process_tree::is_under_client() {
        "a Claude Code client started it"
    } else {
        return Ok(());
    };
    let refusal = format!(
        "`{command}` does not run inside an agent's shell ({sign}): it changes what limits the agent. Nothing was \
         changed; a person can run it in a terminal that no agent started"
    );
    Err(UsageError(refusal).into())
}
