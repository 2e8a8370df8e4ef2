//! Checks that the client is known to support what the guard needs.

use super::finding::Finding;
use super::survey::Survey;
use crate::agents;
use crate::agents::capability::Guarantee;
use crate::agents::claude::version::ClientVersion;

/// Clients that the tests use. Their differences are in `tests/fixtures/README.md`.
const TESTED: [ClientVersion; 3] =
    [ClientVersion(2, 1, 197), ClientVersion(2, 1, 330), ClientVersion(2, 1, 332)];

/// Compares the client's version with the tested ones.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let Some((program, version)) = &survey.client else {
        return vec![Finding::note(
            "no claude on the PATH, so its version cannot be checked (use --client to name it)",
        )];
    };
    let shown = program.display();
    let (oldest, newest) = (TESTED[0], TESTED[TESTED.len() - 1]);
    let found = match version {
        Err(problem) => Finding::warning(format!("{shown}: {problem}"), "name the client with --client"),
        Ok(version) if *version < oldest => Finding::problem(
            format!("{shown} is {version}; versions before {oldest} are not known to obey stops"),
            format!("update the client to {oldest} or later"),
        ),
        Ok(version) if *version > newest => {
            Finding::note(format!("{shown} is {version}, newer than {newest}, the newest tested version"))
        }
        Ok(version) if TESTED.contains(version) => {
            Finding::ok(format!("{shown} is {version}, a tested version"))
        }
        Ok(version) => Finding::ok(format!("{shown} is {version}, between tested versions")),
    };
    let guaranteed = match version {
        Ok(version) if *version > newest => Some(guarantees("expected (this version was not tested)")),
        Ok(version) if *version >= oldest => Some(guarantees("guaranteed")),
        _ => None,
    };
    std::iter::once(found).chain(guaranteed).collect()
}

/// What Fusebox guarantees with the client; `how`: how certain it is.
fn guarantees(how: &str) -> Finding {
    let agent = agents::DEFAULT;
    let all: Vec<&str> = agent.capabilities().guarantees().into_iter().map(Guarantee::text).collect();
    Finding::ok(format!("{how} with {}: {}", agent.name(), all.join("; ")))
}
