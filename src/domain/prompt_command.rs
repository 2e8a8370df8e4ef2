//! Commands that a person sends as a prompt: `fusebox: extend session 50k because the migration needs it`.
//!
//! This module only parses them. `app::human_check` decides whether a person sent one.

use super::amount::WrittenAmount;
use super::budget::Unit;

/// What a command starts with, in upper or lower case.
pub const PREFIX: &str = "fusebox:";

/// Maximum length of a stored reason, in characters.
const MAX_REASON_CHARS: usize = 500;

/// The commands and their descriptions.
pub const USAGE: [(&str, &str); 5] = [
    ("fusebox: status", "show this session and its budgets"),
    (
        "fusebox: extend [BUDGET] AMOUNT because REASON",
        "raise a limit, such as: extend session 50k because …",
    ),
    ("fusebox: reset [BUDGET] because REASON", "start the budget again from zero"),
    ("fusebox: ack because REASON", "let an open circuit breaker try one test call"),
    ("fusebox: help", "show this list"),
];

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptCommand {
    /// Shows the state of the session.
    Status,
    /// Lists the commands.
    Help,
    /// Raises a limit.
    Extend {
        /// The budget. `None`: the one that holds the session back, else the session's.
        budget: Option<String>,
        /// Units to add.
        amount: WrittenAmount,
        /// Their unit, if given.
        unit: Option<Unit>,
        /// The reason.
        reason: String,
    },
    /// Acknowledges an open circuit breaker.
    Acknowledge {
        /// The reason.
        reason: String,
    },
    /// Resets a budget.
    Reset {
        /// The budget, as in `Extend`.
        budget: Option<String>,
        /// The reason.
        reason: String,
    },
}

impl PromptCommand {
    /// Whether it changes something, so that a person must have sent it.
    pub fn decides(&self) -> bool {
        matches!(self, Self::Extend { .. } | Self::Reset { .. } | Self::Acknowledge { .. })
    }
}

/// Parses a prompt. `None` if it is no command: it does not start with [`PREFIX`], or has several lines. `Err` explains
/// what is wrong with a command.
pub fn parse(prompt: &str) -> Option<Result<PromptCommand, String>> {
    let line = prompt.trim();
    let (start, rest) = line.split_at_checked(PREFIX.len())?;
    let breaks = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}');
    let is_command = start.eq_ignore_ascii_case(PREFIX) && !line.contains(breaks);
    is_command.then(|| command(rest.trim()))
}

fn command(line: &str) -> Result<PromptCommand, String> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match name.to_ascii_lowercase().as_str() {
        "status" if rest.trim().is_empty() => Ok(PromptCommand::Status),
        "" | "help" => Ok(PromptCommand::Help),
        "status" => Err("status takes no arguments".into()),
        "extend" => extend(rest),
        "reset" => reset(rest),
        "ack" => match split_reason(rest)? {
            (words, reason) if words.is_empty() => Ok(PromptCommand::Acknowledge { reason }),
            (words, _) => Err(format!("unexpected word \"{}\"", quoted(words[0]))),
        },
        _ => Err(format!("unknown command \"{}\"", quoted(name))),
    }
}

fn extend(rest: &str) -> Result<PromptCommand, String> {
    let (words, reason) = split_reason(rest)?;
    let amounts: Vec<Option<WrittenAmount>> = words.iter().map(|word| WrittenAmount::parse(word)).collect();
    // A budget name may look like a number.
    let (budget, place) = match amounts[..] {
        [_, Some(_), ..] => (Some(words[0].to_owned()), 1),
        [Some(_), ..] => (None, 0),
        _ => return Err("extend needs an amount, such as 200000, 200k, 1M, $5 or 5%".into()),
    };
    let unit = match &words[place + 1..] {
        [] => None,
        words => {
            let named = words.join(" ").to_ascii_lowercase();
            let unit = Unit::ALL.into_iter().find(|(name, unit)| *name == named || unit.noun() == named);
            let nouns = || Unit::ALL.map(|(_, unit)| unit.noun()).join(", ");
            Some(unit.ok_or_else(|| format!("unknown unit \"{}\"; units: {}", quoted(&named), nouns()))?.1)
        }
    };
    let amount = amounts[place].ok_or("extend needs an amount")?;
    if unit.is_some_and(|unit| amount.in_unit(unit).is_none()) {
        return Err(format!("\"{}\" is no amount of that unit", quoted(words[place])));
    }
    Ok(PromptCommand::Extend { budget, amount, unit, reason })
}

fn reset(rest: &str) -> Result<PromptCommand, String> {
    let (words, reason) = split_reason(rest)?;
    match words[..] {
        [] => Ok(PromptCommand::Reset { budget: None, reason }),
        [budget] => Ok(PromptCommand::Reset { budget: Some(budget.to_owned()), reason }),
        [_, word, ..] => Err(format!("unexpected word \"{}\"", quoted(word))),
    }
}

/// Splits at `because`: the words before it, and the reason after it.
fn split_reason(rest: &str) -> Result<(Vec<&str>, String), String> {
    let mut words = Vec::new();
    let mut left = rest.trim();
    while !left.is_empty() {
        let (word, after) = left.split_once(char::is_whitespace).unwrap_or((left, ""));
        if word.eq_ignore_ascii_case("because") {
            left = after.trim();
            break;
        }
        words.push(word);
        left = after.trim_start();
    }
    if left.is_empty() {
        return Err("a reason is required: … because REASON".into());
    }
    Ok((words, left.chars().take(MAX_REASON_CHARS).collect()))
}

/// A word as quoted in an answer.
fn quoted(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extension(budget: Option<&str>, amount: &str, unit: Option<Unit>, reason: &str) -> PromptCommand {
        let amount = WrittenAmount::parse(amount).expect("an amount");
        PromptCommand::Extend { budget: budget.map(str::to_owned), amount, unit, reason: reason.to_owned() }
    }

    #[test]
    fn commands_as_people_write_them() {
        let because = "the migration needs it";
        for (prompt, meant) in [
            ("fusebox: status", PromptCommand::Status),
            ("  FuseBox:status\n", PromptCommand::Status),
            ("fusebox:", PromptCommand::Help),
            ("fusebox: help me", PromptCommand::Help),
            (
                "fusebox: extend session 50k because the migration needs it",
                extension(Some("session"), "50k", None, because),
            ),
            (
                "fusebox:extend 50,000  tokens BECAUSE  the migration needs it ",
                extension(None, "50,000", Some(Unit::Tokens), because),
            ),
            (
                "fusebox: extend few 3 tool calls because a because b",
                extension(Some("few"), "3", Some(Unit::ToolCalls), "a because b"),
            ),
            (
                "fusebox: extend 5 10 requests because x",
                extension(Some("5"), "10", Some(Unit::Requests), "x"),
            ),
            ("fusebox: extend 0 because x", extension(None, "0", None, "x")),
            ("fusebox: extend plan 5% because x", extension(Some("plan"), "5%", None, "x")),
            (
                "fusebox: extend plan 2.5 percent because x",
                extension(Some("plan"), "2.5", Some(Unit::Percent), "x"),
            ),
            ("fusebox: ack because x y", PromptCommand::Acknowledge { reason: "x y".into() }),
            ("fusebox: reset because x", PromptCommand::Reset { budget: None, reason: "x".into() }),
            (
                "fusebox: reset daily because x y",
                PromptCommand::Reset { budget: Some("daily".into()), reason: "x y".into() },
            ),
        ] {
            assert_eq!(parse(prompt), Some(Ok(meant)), "{prompt}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (prompt, said) in [
            ("fusebox: stop", "unknown command \"stop\""),
            ("fusebox: status now", "no arguments"),
            ("fusebox: extend session 50k", "reason"),
            ("fusebox: extend session 50k because", "reason"),
            ("fusebox: extend because x", "amount"),
            ("fusebox: extend session because x", "amount"),
            ("fusebox: extend session -5 because x", "amount"),
            ("fusebox: extend session 1e3 because x", "amount"),
            ("fusebox: extend session 50k apples because x", "unknown unit"),
            ("fusebox: extend plan 50k percent because x", "no amount of that unit"),
            ("fusebox: extend a b 50k because x", "amount"),
            ("fusebox: reset a b because x", "unexpected word \"b\""),
            ("fusebox: ack it because x", "unexpected word \"it\""),
            ("fusebox: ack", "reason"),
        ] {
            let Some(Err(error)) = parse(prompt) else { panic!("{prompt}: {:?}", parse(prompt)) };
            assert!(error.contains(said), "{prompt}: {error}");
        }
    }

    #[test]
    fn other_prompts_are_no_commands() {
        for prompt in [
            "",
            "fusebox",
            "please run fusebox: status",
            "> fusebox: extend session 50k because x",
            "fusebox: extend session 50k because x\nand now work",
            "work\nfusebox: extend session 50k because x",
            "fusebox: extend session 50k because x\rwork",
            "fusebox: extend session 50k because x\u{b}work",
            "fusebox: extend session 50k because \u{1b}[2Jx",
            "<task-notification>fusebox: reset because x</task-notification>",
            "ｆusebox: status",
        ] {
            assert_eq!(parse(prompt), None, "{prompt}");
        }
    }

    proptest! {
        #[test]
        fn no_prompt_is_too_odd(prompt in "(fusebox:)?( ?(extend|reset|status|because|[0-9]{1,30}[kM]?|\\PC{0,9})){0,8}") {
            let _ = parse(&prompt);
        }
    }
}
