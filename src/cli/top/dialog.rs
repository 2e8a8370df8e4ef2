//! Asks for a decision, step by step: what it is about, how much, and why.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::actions::{Action, Change};
use super::input::LineInput;
use super::subject::{Decision, Subject};
use crate::cli::budget::parse_amount;
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::Unit;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What it is about.
    Subject,
    /// How many units to add.
    Amount,
    /// Why.
    Reason,
}

/// A dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The kind of decision.
    pub decision: Decision,
    /// The session, by its id.
    pub session: String,
    /// What it can be about.
    pub subjects: Vec<Subject>,
    /// The chosen one.
    pub at: usize,
    /// What is asked now.
    pub step: Step,
    /// The amount.
    pub amount: LineInput,
    /// The reason.
    pub reason: LineInput,
    /// Why the last answer was refused.
    pub error: Option<String>,
}

/// What a key did to a dialog.
#[derive(Debug)]
pub enum Outcome {
    /// It goes on.
    Open,
    /// It was cancelled.
    Cancelled,
    /// The decision is complete.
    Decided(Action),
}

impl Dialog {
    /// Asks for a decision about one of these subjects (at least one).
    pub fn new(decision: Decision, session: &str, subjects: Vec<Subject>) -> Self {
        let mut dialog = Self {
            decision,
            session: session.to_owned(),
            step: Step::Subject,
            at: 0,
            subjects,
            amount: LineInput::default(),
            reason: LineInput::default(),
            error: None,
        };
        if dialog.subjects.len() == 1 {
            dialog.step = dialog.after_subject();
        }
        dialog
    }

    /// The chosen subject.
    pub fn subject(&self) -> Option<&Subject> {
        self.subjects.get(self.at)
    }

    /// The unit of the amount.
    pub fn unit(&self) -> Unit {
        match self.subject() {
            Some(Subject::Budget { unit, .. }) => *unit,
            _ => Unit::Tokens,
        }
    }

    fn after_subject(&self) -> Step {
        if self.decision == Decision::Extend { Step::Amount } else { Step::Reason }
    }

    /// Handles a key.
    pub fn on_key(&mut self, key: KeyEvent) -> Outcome {
        match key.code {
            KeyCode::Esc => return Outcome::Cancelled,
            KeyCode::Enter => return self.next(),
            _ => {}
        }
        match self.step {
            Step::Subject => self.choose(key),
            Step::Amount => self.edit(|dialog| dialog.amount.on_key(key)),
            Step::Reason => self.edit(|dialog| dialog.reason.on_key(key)),
        }
        Outcome::Open
    }

    /// Inserts a pasted text. (Its end of line does not decide anything.)
    pub fn paste(&mut self, text: &str) {
        match self.step {
            Step::Subject => {}
            Step::Amount => self.amount.paste(text),
            Step::Reason => self.reason.paste(text),
        }
        self.error = None;
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Self) -> bool) {
        if edit(self) {
            self.error = None;
        }
    }

    fn choose(&mut self, key: KeyEvent) {
        let last = self.subjects.len().saturating_sub(1);
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.at = (self.at + 1).min(last),
            KeyCode::Char(digit @ '1'..='9') if key.modifiers == KeyModifiers::NONE => {
                let at = digit as usize - '1' as usize;
                if at <= last {
                    self.at = at;
                    self.step = self.after_subject();
                }
            }
            _ => {}
        }
    }

    /// Takes the answer, and asks the next question.
    fn next(&mut self) -> Outcome {
        match self.step {
            Step::Subject => self.step = self.after_subject(),
            Step::Amount => match self.parsed_amount() {
                Ok(_) => self.step = Step::Reason,
                Err(error) => self.error = Some(error),
            },
            Step::Reason if self.reason.text().is_empty() => {
                self.error = Some("a reason is required".to_owned());
            }
            Step::Reason => match self.action() {
                Ok(action) => return Outcome::Decided(action),
                Err(error) => self.error = Some(error),
            },
        }
        Outcome::Open
    }

    fn parsed_amount(&self) -> Result<WrittenAmount, String> {
        let amount = parse_amount(&self.amount.text(), self.unit())?;
        match amount.in_unit(self.unit()) {
            Some(0) => Err("the amount must be greater than 0".to_owned()),
            _ => Ok(amount),
        }
    }

    fn action(&self) -> Result<Action, String> {
        let change = match (self.decision, self.subject()) {
            (Decision::Extend, Some(Subject::Budget { name, value, .. })) => {
                Change::Extend { budget: name.clone(), value: value.clone(), amount: self.parsed_amount()? }
            }
            (Decision::Reset, Some(Subject::Budget { name, value, .. })) => {
                Change::ResetBudget { budget: name.clone(), value: value.clone() }
            }
            (Decision::Reset, Some(Subject::Circuit { agent })) => {
                Change::ResetCircuit { agent: agent.clone() }
            }
            (Decision::Acknowledge, Some(Subject::Circuit { agent })) => {
                Change::AcknowledgeCircuit { agent: agent.clone() }
            }
            (Decision::Acknowledge, Some(Subject::Alerts { ids, .. })) => {
                Change::AcknowledgeAlerts { ids: ids.clone() }
            }
            _ => return Err("this cannot be decided".to_owned()),
        };
        Ok(Action { session: self.session.clone(), change, reason: self.reason.text() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(name: &str, unit: Unit) -> Subject {
        let (name, value, label) = (name.to_owned(), "s".to_owned(), name.to_owned());
        Subject::Budget { name, value, unit, label }
    }

    fn press(dialog: &mut Dialog, keys: &[KeyCode]) -> Outcome {
        let mut outcome = Outcome::Open;
        for key in keys {
            outcome = dialog.on_key(KeyEvent::new(*key, KeyModifiers::NONE));
        }
        outcome
    }

    fn write(dialog: &mut Dialog, text: &str) -> Outcome {
        dialog.paste(text);
        press(dialog, &[KeyCode::Enter])
    }

    #[test]
    fn one_budget_needs_no_choice() {
        let mut dialog = Dialog::new(Decision::Extend, "s", vec![budget("session", Unit::Tokens)]);
        assert_eq!(dialog.step, Step::Amount);
        for wrong in ["", "five", "$5", "1.5", "0"] {
            dialog.amount = LineInput::default();
            assert!(matches!(write(&mut dialog, wrong), Outcome::Open));
            assert_eq!(dialog.step, Step::Amount, "{wrong}");
            assert!(dialog.error.is_some(), "{wrong}");
        }
        press(&mut dialog, &[KeyCode::Backspace]);
        assert_eq!(dialog.error, None, "an edit clears the error");
        write(&mut dialog, "200k");
        assert_eq!(dialog.step, Step::Reason);
        write(&mut dialog, "  ");
        assert_eq!(dialog.error.as_deref(), Some("a reason is required"));
        let Outcome::Decided(action) = write(&mut dialog, "nearly done") else { panic!("{dialog:?}") };
        assert_eq!((action.session.as_str(), action.reason.as_str()), ("s", "nearly done"));
        let Change::Extend { budget, value, amount } = action.change else { panic!("{action:?}") };
        assert_eq!((budget.as_str(), value.as_str()), ("session", "s"));
        assert_eq!(amount.in_unit(Unit::Tokens), Some(200_000));
    }

    #[test]
    fn one_of_several_is_chosen_with_arrows_or_a_digit() {
        let subjects = vec![budget("a", Unit::Tokens), budget("b", Unit::Usd)];
        let mut dialog = Dialog::new(Decision::Extend, "s", subjects);
        press(&mut dialog, &[KeyCode::Down, KeyCode::Down, KeyCode::Up, KeyCode::Down, KeyCode::Enter]);
        assert_eq!((dialog.step, dialog.at, dialog.unit()), (Step::Amount, 1, Unit::Usd));
        write(&mut dialog, "2.50");
        assert_eq!(dialog.step, Step::Reason);

        let subjects = vec![budget("a", Unit::Tokens), Subject::Circuit { agent: String::new() }];
        let mut dialog = Dialog::new(Decision::Reset, "s", subjects);
        press(&mut dialog, &[KeyCode::Char('3'), KeyCode::Char('2')]);
        assert_eq!((dialog.step, dialog.at), (Step::Reason, 1));
        let Outcome::Decided(action) = write(&mut dialog, "why") else { panic!("{dialog:?}") };
        assert_eq!(action.change, Change::ResetCircuit { agent: String::new() });
    }

    #[test]
    fn escape_cancels_at_every_step() {
        let subjects = vec![budget("a", Unit::Tokens), budget("b", Unit::Tokens)];
        let mut dialog = Dialog::new(Decision::Extend, "s", subjects);
        for step in [Step::Subject, Step::Amount, Step::Reason] {
            dialog.step = step;
            assert!(matches!(press(&mut dialog, &[KeyCode::Esc]), Outcome::Cancelled));
        }
    }

    #[test]
    fn a_pasted_line_end_decides_nothing() {
        let mut dialog = Dialog::new(
            Decision::Acknowledge,
            "s",
            vec![Subject::Alerts { ids: vec![1], label: "x".into() }],
        );
        dialog.paste("why\n");
        assert_eq!((dialog.step, dialog.reason.text().as_str()), (Step::Reason, "why"));
    }
}
