//! Fusebox's own commands: which of them only a person may run.

use super::text::has_marker;

/// The commands that only a person may run, by their first words.
const DECIDING: [(&[&str], &str); 25] = [
    (&["budget", "extend"], "fusebox budget extend"),
    (&["budget", "reset"], "fusebox budget reset"),
    (&["budget", "delete"], "fusebox budget delete"),
    (&["budget", "set"], "fusebox budget set"),
    (&["quota", "reset"], "fusebox quota reset"),
    (&["alerts", "ack"], "fusebox alerts ack"),
    (&["circuit", "ack"], "fusebox circuit ack"),
    (&["circuit", "reset"], "fusebox circuit reset"),
    (&["config", "init"], "fusebox config init"),
    (&["config", "set"], "fusebox config set"),
    (&["redis", "resync"], "fusebox redis resync"),
    (&["redis", "flush"], "fusebox redis flush"),
    (&["redis", "reset"], "fusebox redis reset"),
    (&["store", "reset"], "fusebox store reset"),
    (&["ledger", "purge"], "fusebox ledger purge"),
    (&["prices", "reprice"], "fusebox prices reprice"),
    (&["init"], "fusebox init"),
    (&["uninstall"], "fusebox uninstall"),
    (&["resync"], "fusebox resync"),
    (&["purge"], "fusebox purge"),
    // Its keys extend, reset and acknowledge.
    (&["top"], "fusebox top"),
    // With tokens of its own, an agent could decide.
    (&["serve"], "fusebox serve"),
    // Typed as prompts.
    (&["extend"], "fusebox: extend"),
    (&["reset"], "fusebox: reset"),
    (&["ack"], "fusebox: ack"),
];

/// First words of commands that change nothing that limits an agent.
const READ_ONLY: [&str; 18] = [
    // What `run` runs is looked at by itself.
    "run",
    "wait",
    "import",
    "cost",
    "status",
    "doctor",
    "demo",
    "explain",
    "help",
    "man",
    "completions",
    "report",
    "history",
    "export",
    "simulate",
    "list",
    "show",
    "check",
];

/// Options with which no command changes anything.
const HARMLESS: [&str; 5] = ["--help", "-h", "--version", "-V", "--dry-run"];

/// The command that only a person may run, if `arguments` of `fusebox` make one.
pub fn deciding_command(arguments: &[String]) -> Option<&'static str> {
    let before_text = arguments.iter().take_while(|word| *word != "--");
    if before_text.clone().any(|word| HARMLESS.contains(&word.as_str())) {
        return None;
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|w| !w.starts_with('-')).collect();
    for at in 0..words.len() {
        if READ_ONLY.contains(&words[at]) {
            return None;
        }
        let command = DECIDING.iter().find(|(command, _)| {
            command.iter().enumerate().all(|(i, part)| words.get(at + i).is_some_and(|word| word == part))
        });
        if let Some((_, shown)) = command {
            return Some(shown);
        }
        let group = matches!(words[at], "budget" | "quota" | "alerts" | "circuit" | "config" | "redis");
        let next = words.get(at + 1);
        if group && next.is_some_and(|next| has_marker(next)) {
            return Some("fusebox with words that are not known");
        }
        if group {
            return None;
        }
        if has_marker(words[at]) {
            return Some("fusebox with words that are not known");
        }
    }
    None
}

/// The command that `fusebox run --platform NAME … -- COMMAND` runs, and the platform as whose call it counts.
pub fn wrapped_command(arguments: &[String]) -> Option<(Option<String>, &[String])> {
    let at = arguments.iter().position(|word| word == "--")?;
    let options = &arguments[..at];
    options.iter().find(|word| *word == "run")?;
    let named = options.iter().position(|word| word == "--platform").and_then(|at| options.get(at + 1));
    let joined = || options.iter().find_map(|word| word.strip_prefix("--platform="));
    let platform = named.map(String::as_str).or_else(joined).map(str::to_owned);
    Some((platform, &arguments[at + 1..]))
}

/// [`deciding_command`] for an unknown program: only an exact command counts.
pub fn plain_deciding_command(arguments: &[String]) -> Option<&'static str> {
    let two = |(command, _): &&(&[&str], &str)| {
        command.len() == 2
            && command.iter().zip(arguments).all(|(part, word)| part == word)
            && arguments.len() >= 2
    };
    DECIDING.iter().find(two).map(|(_, shown)| *shown).filter(|_| deciding_command(arguments).is_some())
}
