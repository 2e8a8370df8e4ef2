//! Platforms: services that agents and scripts call, and what counts as one request of them.

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::protection::RunProgram;
use super::reservation::OnExcess;

/// A platform as configured (`[[platform]]`). Without commands and tools it is for scripts only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Its name: the value that budgets of scope `platform` count.
    pub name: String,
    /// The commands that are one request each: a program's name, or its name and first arguments (`codex exec`). Globs
    /// with `*` and `?` for each word.
    pub commands: Vec<String>,
    /// The tools whose calls are one request each; globs with `*` and `?`.
    pub tools: Vec<String>,
    /// How long a call may take, in seconds, until its reservation expires.
    pub ttl_s: u64,
    /// What happens if more was used than reserved, and that passes a limit.
    pub on_excess: OnExcess,
}

impl Platform {
    /// How long a call may take unless configured, in seconds. Agents' commands may usually run for 10 minutes at most,
    /// and MCP tools for longer.
    pub const DEFAULT_TTL_S: u64 = 3600;

    /// Whether a call of this tool is a request.
    pub fn counts_tool(&self, tool: &str) -> bool {
        self.tools.iter().any(|glob| WildMatch::new(glob).matches(tool))
    }

    /// How many of these programs are requests. What `fusebox run` counts as one already is left to it.
    pub fn count_commands(&self, programs: &[RunProgram]) -> u64 {
        let is_request = |run: &&RunProgram| {
            run.counted_as.as_ref() != Some(&self.name)
                && self.commands.iter().any(|known| starts_with(&run.words, known))
        };
        programs.iter().filter(is_request).count() as u64
    }
}

/// Whether a command starts with the words of a pattern. Programs are compared without their folders.
fn starts_with(words: &[String], pattern: &str) -> bool {
    let pattern: Vec<&str> = pattern.split_whitespace().collect();
    let word = |at: usize| words.get(at).map(|word| if at == 0 { file_name(word) } else { word });
    !pattern.is_empty()
        && pattern
            .iter()
            .enumerate()
            .all(|(at, glob)| word(at).is_some_and(|word| WildMatch::new(glob).matches(word)))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(commands: &[&str], tools: &[&str]) -> Platform {
        let owned = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect();
        Platform { name: "p".into(), commands: owned(commands), tools: owned(tools), ..Platform::default() }
    }

    fn words(text: &str) -> RunProgram {
        RunProgram { words: text.split(' ').map(str::to_owned).collect(), counted_as: None }
    }

    #[test]
    fn commands_are_compared_by_program_and_first_arguments() {
        let codex = platform(&["codex exec", "gemini*"], &[]);
        let count =
            |all: &[&str]| codex.count_commands(&all.iter().map(|text| words(text)).collect::<Vec<_>>());
        assert_eq!(count(&["codex exec -m x", "/usr/bin/codex exec", "codex login", "codex"]), 2);
        assert_eq!(count(&["gemini -p hi", "gemini-cli", "echo gemini", "xgemini"]), 2);
        assert_eq!(platform(&["", "  "], &[]).count_commands(&[words("ls")]), 0);
    }

    #[test]
    fn tools_are_globs() {
        let search = platform(&[], &["WebSearch", "mcp__gemini__*"]);
        assert!(search.counts_tool("WebSearch") && search.counts_tool("mcp__gemini__ask"));
        assert!(!search.counts_tool("WebFetch") && !platform(&["WebSearch"], &[]).counts_tool("WebSearch"));
    }
}
