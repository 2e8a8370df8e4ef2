//! What the screen shows, and what keys do to it. Knows no terminal and no store.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::actions::Action;
use super::activity;
use super::dialog::{Dialog, Outcome};
use super::style::Theme;
use super::subject::{Decision, circuits, subjects};
use crate::app::overview::{Overview, SessionOverview};
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;

/// How far a page key moves.
const PAGE: usize = 10;

/// A part of the screen that can have the focus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// The table of sessions.
    #[default]
    Sessions,
    /// The budgets of the selected session.
    Budgets,
    /// Its agents with their breakers.
    Agents,
    /// What happened lately.
    Activity,
}

impl Pane {
    const ALL: [Self; 4] = [Self::Sessions, Self::Budgets, Self::Agents, Self::Activity];

    fn moved(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|pane| *pane == self).unwrap_or_default();
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// What a key asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// End.
    Quit,
    /// Read the store now.
    Read,
    /// Draw everything again: another program wrote on the screen.
    Redraw,
    /// Carry out a decision.
    Act(Action),
}

/// A line at the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The text.
    pub text: String,
    /// Whether something failed.
    pub is_error: bool,
}

/// What the screen shows.
#[derive(Debug)]
pub struct View {
    /// The last data; `None`: nothing was read yet.
    pub data: Option<Overview>,
    /// Why the store could not be read the last time.
    pub problem: Option<String>,
    /// The current time.
    pub now: Timestamp,
    /// The time zone of times on the screen.
    pub zone: Zone,
    /// Colours.
    pub theme: Theme,
    /// The pane that has the focus.
    pub pane: Pane,
    /// The id of the selected session.
    pub selected: Option<String>,
    /// The selected row of each other pane, in the order of [`Pane`].
    rows: [usize; 4],
    /// Whether ended sessions are shown.
    pub ended: bool,
    /// Only sessions whose ids begin with this are shown.
    pub only: Option<String>,
    /// The question on the screen.
    pub dialog: Option<Dialog>,
    /// Whether the keys are explained.
    pub help: bool,
    /// The line at the bottom.
    pub message: Option<Message>,
}

impl View {
    /// A view without data.
    pub fn new(now: Timestamp, zone: Zone, theme: Theme) -> Self {
        Self {
            data: None,
            problem: None,
            now,
            zone,
            theme,
            pane: Pane::default(),
            selected: None,
            rows: [0; 4],
            ended: false,
            only: None,
            dialog: None,
            help: false,
            message: None,
        }
    }

    /// Takes new data, and why the store could not be read. The session stays selected while it is there.
    pub fn on_data(&mut self, data: Option<Overview>, problem: Option<String>) {
        self.problem = problem;
        let Some(data) = data else { return };
        let is_there = |id: &String| data.sessions.iter().any(|of| of.row.session.id == *id);
        if !self.selected.as_ref().is_some_and(is_there) {
            self.selected = data.sessions.first().map(|of| of.row.session.id.clone());
        }
        self.data = Some(data);
    }

    /// Takes the result of a decision.
    pub fn on_result(&mut self, result: Result<String, String>) {
        let is_error = result.is_err();
        self.message = Some(Message { text: result.unwrap_or_else(|error| error), is_error });
    }

    /// The sessions.
    pub fn sessions(&self) -> &[SessionOverview] {
        self.data.as_ref().map_or(&[], |data| &data.sessions)
    }

    /// The selected session and its row.
    pub fn session(&self) -> Option<(usize, &SessionOverview)> {
        let selected = self.selected.as_ref()?;
        self.sessions().iter().enumerate().find(|(_, of)| of.row.session.id == *selected)
    }

    /// The selected row of a pane.
    pub fn row(&self, pane: Pane) -> usize {
        match pane {
            Pane::Sessions => self.session().map_or(0, |(at, _)| at),
            pane => self.rows[pane as usize].min(self.count(pane).saturating_sub(1)),
        }
    }

    /// The number of rows of a pane.
    fn count(&self, pane: Pane) -> usize {
        let Some((_, session)) = self.session() else { return 0 };
        match (pane, &self.data) {
            (Pane::Budgets, _) => session.states.len(),
            (Pane::Agents, _) => circuits(session).len(),
            (Pane::Activity, Some(data)) => activity::entries(data, session).len(),
            _ => self.sessions().len(),
        }
    }

    /// Handles a key.
    pub fn on_key(&mut self, key: KeyEvent) -> Option<Request> {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Some(Request::Quit);
        }
        if key.modifiers.contains(KeyModifiers::ALT) {
            return self.on_escape_and(KeyEvent::new(key.code, key.modifiers - KeyModifiers::ALT));
        }
        if let Some(dialog) = &mut self.dialog {
            return match dialog.on_key(key) {
                Outcome::Open => None,
                Outcome::Cancelled => {
                    self.dialog = None;
                    self.message = Some(Message { text: "Nothing was changed.".into(), is_error: false });
                    None
                }
                Outcome::Decided(action) => {
                    self.dialog = None;
                    let text = action.change.progress().to_owned();
                    self.message = Some(Message { text, is_error: false });
                    Some(Request::Act(action))
                }
            };
        }
        self.message = None;
        if self.help {
            self.help = false;
            return None;
        }
        self.on_plain_key(key)
    }

    /// Escape and a key right after it, which look like one key with Alt if they arrive together, as over a slow line. Only
    /// taken as such if a dialog is open: elsewhere, Escape would quit.
    fn on_escape_and(&mut self, key: KeyEvent) -> Option<Request> {
        self.dialog.take().and_then(|_| self.on_key(key))
    }

    fn on_plain_key(&mut self, key: KeyEvent) -> Option<Request> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('l') if control => return Some(Request::Redraw),
            KeyCode::Char(_) if control => {}
            KeyCode::Char('q') | KeyCode::Esc => return Some(Request::Quit),
            KeyCode::Up | KeyCode::Char('k') => self.move_to(self.row(self.pane).saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.move_to(self.row(self.pane) + 1),
            KeyCode::PageUp => self.move_to(self.row(self.pane).saturating_sub(PAGE)),
            KeyCode::PageDown => self.move_to(self.row(self.pane) + PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.move_to(0),
            KeyCode::End | KeyCode::Char('G') => self.move_to(usize::MAX),
            KeyCode::Tab | KeyCode::Right => self.pane = self.pane.moved(1),
            KeyCode::BackTab | KeyCode::Left => self.pane = self.pane.moved(Pane::ALL.len() - 1),
            KeyCode::Char('e') => self.ask(Decision::Extend),
            KeyCode::Char('r') => self.ask(Decision::Reset),
            KeyCode::Char('a') => self.ask(Decision::Acknowledge),
            KeyCode::Char('s') => {
                self.ended = !self.ended;
                return Some(Request::Read);
            }
            KeyCode::Char('?' | 'h') => self.help = true,
            _ => {}
        }
        None
    }

    /// Handles a pasted text.
    pub fn on_paste(&mut self, text: &str) {
        if let Some(dialog) = &mut self.dialog {
            dialog.paste(text);
        }
    }

    fn move_to(&mut self, row: usize) {
        let row = row.min(self.count(self.pane).saturating_sub(1));
        if self.pane == Pane::Sessions {
            let session = self.sessions().get(row).map(|of| of.row.session.id.clone());
            // Other panes show another session from here on.
            if session != self.selected {
                self.rows = [0; 4];
            }
            self.selected = session;
        } else {
            self.rows[self.pane as usize] = row;
        }
    }

    fn ask(&mut self, decision: Decision) {
        let Some(data) = &self.data else { return };
        let Some((_, session)) = self.session() else {
            self.message =
                Some(Message { text: "There is no session to decide about.".into(), is_error: true });
            return;
        };
        match subjects(decision, data, session, (self.pane, self.row(self.pane))) {
            Ok(found) => self.dialog = Some(Dialog::new(decision, &session.row.session.id, found)),
            Err(text) => self.message = Some(Message { text, is_error: true }),
        }
    }
}
