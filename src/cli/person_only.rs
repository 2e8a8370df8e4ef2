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
    let is_inside = agents::ALL.iter().any(|agent| agent.inherited_env(&variable).is_inside);
    let (sign, way) = match (is_inside, process_tree::is_under_client()) {
        (true, true) => ("CLAUDECODE is set", ""),
        (false, true) => ("a Claude Code client started it", ""),
        (false, false) => return Ok(()),
        // An editor, a terminal multiplexer or the like passes the variable on.
        (true, false) => (
            "CLAUDECODE is set",
            ". If this is your own terminal, and it inherited the variable from a client that no longer runs it, put \
             `env -u CLAUDECODE` before the command",
        ),
    };
    let refusal = format!(
        "`{command}` does not run inside an agent's shell ({sign}): it changes what limits the agent. Nothing was \
         changed; a person can run it in a terminal that no agent started{way}"
    );
    Err(UsageError(refusal).into())
}
