//! The summary at the top of the overview.

use super::text::{counted, money, rounded};
use crate::app::snapshot::{SessionUse, Snapshot};
use crate::domain::breaker::circuit::Phase;
use crate::domain::budget::Status;

/// One number with what explains it.
pub struct Card {
    /// What it is.
    pub title: &'static str,
    /// The number.
    pub value: String,
    /// What it is part of, or is made of.
    pub note: String,
    /// `good`, `warn`, `bad`, or nothing.
    pub tone: &'static str,
}

/// All cards.
pub fn cards(snapshot: &Snapshot) -> Vec<Card> {
    let live = snapshot.live_sessions();
    let sessions = live.len();
    let subagents: usize = live.clone().map(|session| session.subagents as usize).sum();
    let sum = |of: fn(&SessionUse) -> u64| {
        live.clone().fold(0_u64, |sum, session| sum.saturating_add(of(&session.used)))
    };
    vec![
        Card {
            title: "Active agents",
            value: (sessions + subagents).to_string(),
            note: format!("{}, {}", counted(sessions, "session"), counted(subagents, "subagent")),
            tone: "",
        },
        Card {
            title: "Tokens, live sessions",
            value: rounded(sum(|used| used.fresh_tokens)),
            note: format!("{} with cache reads", rounded(sum(|used| used.tokens))),
            tone: "",
        },
        Card {
            title: "Dollars, live sessions",
            value: money(sum(|used| used.nano_usd)),
            note: format!(
                "{} in {}",
                money(snapshot.nano_usd()),
                counted(snapshot.sessions.len(), "session")
            ),
            tone: "",
        },
        budgets(snapshot),
        circuits(snapshot),
    ]
}

fn budgets(snapshot: &Snapshot) -> Card {
    let statuses: Vec<Status> = snapshot.active_budgets().iter().map(|entry| entry.state.status()).collect();
    let count = |status| statuses.iter().filter(|known| **known == status).count();
    let (warning, stopped) = (count(Status::Warning), count(Status::Paused) + count(Status::Exhausted));
    let (value, tone) = match (stopped, warning) {
        (0, 0) => ("All active".to_owned(), "good"),
        (0, warning) => (format!("{warning} warning"), "warn"),
        (stopped, _) => (format!("{stopped} at limit"), "bad"),
    };
    let (value, tone) = if statuses.is_empty() { ("None".to_owned(), "") } else { (value, tone) };
    let note = match statuses.len() {
        0 => "no budget counts anything now".to_owned(),
        all => parts(all, "budget", &[(warning, "warning"), (count(Status::Active), "active")]),
    };
    Card { title: "Budgets", value, note, tone }
}

fn circuits(snapshot: &Snapshot) -> Card {
    let (mut open, mut half_open, mut closed) = (0, 0, 0);
    for entry in snapshot.live_circuits() {
        match entry.row.breaker.phase {
            Phase::Open { .. } => open += 1,
            Phase::HalfOpen { .. } => half_open += 1,
            Phase::Closed => closed += 1,
        }
    }
    let (value, tone) = match (open, half_open, closed) {
        (0, 0, 0) => ("None".to_owned(), ""),
        (0, 0, _) => ("All closed".to_owned(), "good"),
        (0, half_open, _) => (format!("{half_open} half-open"), "warn"),
        (open, ..) => (format!("{open} open"), "bad"),
    };
    let note = match open + half_open + closed {
        0 => "no agent has made calls".to_owned(),
        all => parts(all, "breaker", &[(half_open, "half-open"), (closed, "closed")]),
    };
    Card { title: "Circuit breakers", value, note, tone }
}

/// `7 budgets: 2 warning, 4 active`: how many there are of each kind, if there are several kinds.
fn parts(all: usize, noun: &str, kinds: &[(usize, &str)]) -> String {
    let some = kinds.iter().filter(|(n, _)| *n > 0 && *n < all);
    let some: Vec<String> = some.map(|(n, kind)| format!("{n} {kind}")).collect();
    let all = counted(all, noun);
    if some.is_empty() { all } else { format!("{all}: {}", some.join(", ")) }
}
