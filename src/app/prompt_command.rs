//! Prompts that Fusebox answers itself, without a model call: status, extend, reset, help.

use super::admit::Answer;
use super::attendance::{Prompt, Unattended};
use super::brief;
use super::guard::Guard;
use super::look::Reach;
use super::meter::Metering;
use super::operate::{self, Done, Refusal, Request, What};
use crate::domain::budget::{Budget, BudgetState, Scope};
use crate::domain::event::CircuitDecision;
use crate::domain::operation::Decision;
use crate::domain::prompt_command::{PromptCommand, parse};
use crate::domain::verdict;

/// How long the same words decide the same thing once, in milliseconds: 2.1.330 puts a prompt that was answered back into
/// its input box, where another Enter sends it again, under another id.
const ONCE_MS: i64 = 60_000;

impl Guard<'_> {
    /// A prompt came in: a command is carried out and answered, everything else is admitted or blocked.
    pub fn prompted(&mut self, prompt: &Prompt) -> Answer {
        match parse(&prompt.text) {
            Some(command) if self.config.enabled => {
                let reply = match command {
                    Ok(command) => self.obey(&command, prompt),
                    Err(problem) => format!("Fusebox: {problem}.\n{}", brief::prompt_commands()),
                };
                let mut answer = Answer::reply(reply);
                answer.message.append(&mut self.tell);
                answer
            }
            _ => self.prompt(prompt),
        }
    }

    fn obey(&mut self, command: &PromptCommand, prompt: &Prompt) -> String {
        if *command == PromptCommand::Help {
            return brief::prompt_commands();
        }
        // A person waits for the answer, not for hooks: the store is asked even if it did not answer lately.
        self.cache.store_asleep_until = None;
        let noted = self.notes.len();
        // First: what is decided is decided by the numbers of now.
        let metered = self.meter(&Metering { reach: Reach::All, ..Metering::of_caller(false) });
        if !metered.stored {
            let problem = self.notes[noted..].join("; ");
            return match command.decides() {
                true => format!("Fusebox: nothing was changed: {problem}"),
                false => format!("Fusebox: the store does not answer: {problem}"),
            };
        }
        let states = metered.states;
        // With a store that answers: it knows who started which client.
        let person = if command.decides() { self.ensure_person(prompt) } else { Ok(()) };
        let (name, what, reason) = match command {
            PromptCommand::Status | PromptCommand::Help => return self.standing(&states),
            PromptCommand::Acknowledge { reason } => return self.acknowledge(person, reason),
            PromptCommand::Extend { budget, amount, unit, reason } => {
                (budget, What::Extend { amount: *amount, unit: *unit }, reason)
            }
            PromptCommand::Reset { budget, reason } => (budget, What::Reset, reason),
        };
        let decided = self.meant(name.as_deref(), &states).and_then(|(budget, value)| {
            let request = Request {
                budget: budget.name.clone(),
                value: value.clone(),
                what,
                reason: reason.clone(),
                actor: self.env.user(),
                once: prompt
                    .id
                    .as_ref()
                    .map(|id| format!("prompt {} {id}", self.call.session))
                    .unwrap_or_default(),
            };
            match person {
                Err(why) => Ok(elsewhere(why, &budget, &request)),
                Ok(()) if self.was_just_decided(&request) => Ok(self.done_already(&states)),
                Ok(()) => self.operate(&request).map(|done| match done.is_new() {
                    true => self.done(&done),
                    false => self.done_already(&states),
                }),
            }
        });
        decided.unwrap_or_else(|refusal| format!("Fusebox: nothing was changed: {refusal}"))
    }

    /// Every open breaker of the session may try one call.
    fn acknowledge(&mut self, person: Result<(), Unattended>, reason: &str) -> String {
        let session = self.call.session.clone();
        if let Err(why) = person {
            return format!(
                "Fusebox: this prompt was not carried out, and nothing was changed: {why}. A person runs in a terminal: fusebox \
                 circuit ack --session {session} --reason \"…\""
            );
        }
        match self.decide_circuit(&session, None, CircuitDecision::Acknowledge, reason) {
            Ok(_) => "Fusebox: acknowledged. The circuit breaker lets one call through, and closes if that goes well. (Any \
                      prompt of yours begins it anew.)"
                .to_owned(),
            Err(refusal) => format!("Fusebox: nothing was changed: {refusal}"),
        }
    }

    /// Whether the last decision about this value was the same one, in the same words, within [`ONCE_MS`].
    fn was_just_decided(&mut self, request: &Request) -> bool {
        let operations = self.with_store(|store| store.operations(Some(&request.budget))).unwrap_or_default();
        let Some(last) = operations.iter().rfind(|last| last.value == request.value) else { return false };
        let same = match (last.decision, request.what) {
            (Decision::Extend { amount }, What::Extend { amount: again, .. }) => amount == again,
            (Decision::Reset { .. }, What::Reset) => true,
            _ => false,
        };
        // One of a later time was made under another clock.
        let lately = last.at <= self.env.now && self.env.now.millis_since(last.at) < ONCE_MS;
        same && last.reason == request.reason && lately
    }

    fn done_already(&mut self, states: &[BudgetState]) -> String {
        format!("Fusebox: this was done already. {}", self.standing(states))
    }

    /// Where the session stands, for the person who asks.
    fn standing(&mut self, states: &[BudgetState]) -> String {
        let session = self.call.session.clone();
        let total = self.with_store(|store| store.session_total(&session)).flatten();
        let mut lines = vec![brief::session_line(total.as_ref())];
        lines.extend(states.iter().map(|state| brief::budget_line(state, &session)));
        lines.join("\n")
    }

    /// The budget and the value that are meant: the named budget's, else what holds the session back, else its own.
    fn meant(&self, name: Option<&str>, states: &[BudgetState]) -> Result<(Budget, String), Refusal> {
        let held = verdict::blocking(states, &self.caller());
        let of = |name: &str| held.iter().rev().find(|state| state.budget.name == name);
        let name = match (name, held.last()) {
            (Some(name), _) => name,
            (None, Some(state)) => return Ok((state.budget.clone(), state.value.clone())),
            (None, None) => match &self.config.budgets[..] {
                [only] => only.name.as_str(),
                _ => "session",
            },
        };
        let budget = operate::find(&self.config.budgets, name)?.clone();
        if let Some(state) = of(name) {
            return Ok((budget, state.value.clone()));
        }
        let session = self.session();
        let mut values: Vec<String> =
            self.watches(&session).into_iter().filter(|w| w.budget.name == name).map(|w| w.value).collect();
        if budget.scope == Scope::Session {
            values.retain(|value| *value == session.id);
        }
        match &values[..] {
            [value] => Ok((budget, value.clone())),
            _ => Err(Refusal::Unclear {
                name: name.to_owned(),
                scope: budget.scope.name(),
                values: values.join(", "),
            }),
        }
    }

    /// What a carried out decision comes to, and what still stands in the way.
    fn done(&mut self, done: &Done) -> String {
        let after = done.after.as_ref().map_or_else(|| "deleted".to_owned(), brief::share);
        let what = brief::decision(&done.operation.decision);
        let mut text = format!("Fusebox: budget {} {what}: {after}.", done.operation.budget);
        let session = self.session();
        let (watches, now) = (self.watches(&session), self.env.now);
        let states = self.with_store(|store| store.states(&watches, now)).unwrap_or_default();
        match verdict::blocking(&states, &self.caller()).last() {
            Some(state) => text += &format!(" {}", brief::still_held(state)),
            None => text += " The session may go on: send your next prompt.",
        }
        text
    }
}

/// What is answered where no person can be told to have asked: how one does it.
fn elsewhere(why: Unattended, budget: &Budget, request: &Request) -> String {
    let command = request.command(budget);
    format!(
        "Fusebox: this prompt was not carried out, and nothing was changed: {why}. A person runs in a terminal: {command}"
    )
}
