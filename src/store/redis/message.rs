//! A message as it is kept.

use serde::{Deserialize, Serialize};

use crate::domain::message::Message;
use crate::store::counts::CounterDelta;

/// A message as it is kept; `add_up.lua` reads `h`, `s`, `m`, `t` and `c`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The session that first brought it.
    pub h: String,
    /// The sessions that it counts in.
    pub s: Vec<String>,
    /// Those of them in whose files it stands.
    pub o: Vec<String>,
    /// Its model.
    pub m: String,
    /// Its agent's type.
    pub t: String,
    /// What it counts.
    pub c: CounterDelta,
    /// Whether that is an estimate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub e: bool,
    /// The message.
    pub d: Message,
}

impl Stored {
    /// A message that nobody has seen before, brought by a session; it counts in none yet.
    pub fn of(message: &Message, home: &str) -> Self {
        Self {
            h: home.to_owned(),
            s: Vec::new(),
            o: Vec::new(),
            m: message.model.clone(),
            t: message.agent_type.clone(),
            c: CounterDelta::of(&message.amount()),
            e: message.is_estimated(),
            d: message.clone(),
        }
    }

    /// Lets it be this reading of the message.
    pub fn set(&mut self, message: &Message) {
        (self.m, self.t) = (message.model.clone(), message.agent_type.clone());
        (self.c, self.e, self.d) =
            (CounterDelta::of(&message.amount()), message.is_estimated(), message.clone());
    }
}
