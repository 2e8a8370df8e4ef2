//! A message in memory, and its form in the ledger's file.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::domain::message::{Message, MessageKey, UsageSource};
use crate::domain::money::Terms;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};
use crate::store::{Result, StoreError};

/// The model of a record whose message names none.
const UNKNOWN_MODEL: &str = "unknown";

/// The name of a message's model in the file.
pub fn model_name(message: &Message) -> &str {
    if message.model.is_empty() { UNKNOWN_MODEL } else { &message.model }
}

/// Where a message was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The project.
    pub project: String,
    /// The git branch; empty if there is none.
    pub branch: String,
}

impl Place {
    /// The branch, if there is one.
    pub fn branch(&self) -> Option<&str> {
        Some(&*self.branch).filter(|branch| !branch.is_empty())
    }
}

/// Where the file has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Nowhere yet.
    No,
    /// In `cost_records`.
    Listed,
    /// In `unlisted_messages`.
    Unlisted,
}

/// A message of the ledger.
#[derive(Debug)]
pub struct Entry {
    /// The message.
    pub message: Message,
    /// The session that it is recorded for.
    pub home: i64,
    /// The other sessions that it is in.
    pub others: Vec<i64>,
    /// Those among them that are not in the file yet.
    pub new_others: Vec<i64>,
    /// Where it was written.
    pub place: Option<Rc<Place>>,
    /// The session whose file named the place.
    pub place_from: i64,
    /// Where the file has it.
    pub stored: Stored,
    /// Whether it is to be saved.
    pub is_dirty: bool,
    /// Whether a person purged it.
    pub is_purged: bool,
}

impl Entry {
    /// A message first read for a session.
    pub fn new(message: Message, home: i64) -> Self {
        Self {
            message,
            home,
            others: Vec::new(),
            new_others: Vec::new(),
            place: None,
            place_from: home,
            stored: Stored::No,
            is_dirty: false,
            is_purged: false,
        }
    }

    /// The sessions that it is in.
    pub fn sessions(&self) -> impl Iterator<Item = i64> {
        std::iter::once(self.home).chain(self.others.iter().copied())
    }

    /// Whether it has a record: it charges something, and was not purged.
    pub fn is_listed(&self) -> bool {
        !self.is_purged && self.message.amount() != Amount::default()
    }
}

/// A later line of a message: charges nothing, and is known by its key only. Nothing that is read later changes that.
pub fn copy(key: MessageKey) -> Message {
    let mut copy = Message::new(key, UsageSource::Response, Timestamp(i64::MAX));
    copy.superseded = true;
    copy
}

/// Whether a message is such a line.
pub fn is_copy(message: &Message) -> bool {
    message.superseded
}

/// The columns of a record that its message is made from.
pub struct Columns {
    /// `task_id`.
    pub key: MessageKey,
    /// `source`.
    pub source: UsageSource,
    /// `model`.
    pub model: String,
    /// `agent`.
    pub agent: Option<String>,
    /// `agent_type`.
    pub agent_type: String,
    /// `at`.
    pub at: Timestamp,
    /// The tokens.
    pub usage: Usage,
    /// `tools`.
    pub tools: BTreeSet<u64>,
}

impl Columns {
    /// The message, if its record has no detail.
    pub fn into_message(self) -> Message {
        let mut message = Message::new(self.key, self.source, self.at);
        message.model = if self.model == UNKNOWN_MODEL { String::new() } else { self.model };
        (message.agent, message.agent_type) = (self.agent, self.agent_type);
        (message.recorded, message.tools) = (self.usage, self.tools);
        message.stopped = true;
        message
    }
}

/// What the columns of a message do not say; `None` for most.
pub fn detail(message: &Message) -> Result<Option<String>> {
    if is_in_columns(message) {
        return Ok(None);
    }
    // The rates have a table of their own.
    to_json(&Message { rates: None, tools: BTreeSet::new(), ..message.clone() }).map(Some)
}

/// Whether [`Columns::into_message`] makes the same message, but for its rates.
fn is_in_columns(message: &Message) -> bool {
    let Message {
        key: _,
        source: _,
        model,
        asked_model,
        agent: _,
        agent_type: _,
        at: _,
        recorded,
        web_searches,
        terms,
        rates: _,
        stopped,
        error_followed,
        superseded,
        held,
        settled,
        exact,
        share,
        visible,
        signed,
        tools: _,
    } = message;
    let has_more = *error_followed || *superseded || *held || asked_model.is_some() || *web_searches > 0;
    let has_lines = !(visible.is_empty() && signed.is_empty());
    let is_settled = !(settled.is_empty() && exact.is_empty() && share.is_empty());
    *stopped
        && !(has_more || has_lines || is_settled)
        && *terms == Terms::default()
        && *recorded == message.usage()
        && model != UNKNOWN_MODEL
}

/// The JSON of a message, without its rates.
pub fn to_json(message: &Message) -> Result<String> {
    serde_json::to_string(message).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// Parses the result of [`to_json`].
pub fn from_json(text: &str) -> Result<Message> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Damaged(format!("a message cannot be read: {error}")))
}

/// The name of a source in the file.
pub fn source_name(source: UsageSource) -> &'static str {
    match source {
        UsageSource::Response => "response",
        UsageSource::Compaction => "compaction",
        UsageSource::Unlisted => "unlisted",
        UsageSource::Part => "part",
        UsageSource::Unseen => "unseen",
    }
}

/// The source of that name.
pub fn source_named(name: &str) -> UsageSource {
    match name {
        "compaction" => UsageSource::Compaction,
        "unlisted" => UsageSource::Unlisted,
        "part" => UsageSource::Part,
        "unseen" => UsageSource::Unseen,
        _ => UsageSource::Response,
    }
}

/// Hashes of `tool_use` ids as bytes.
pub fn tools_to_blob(tools: &BTreeSet<u64>) -> Option<Vec<u8>> {
    (!tools.is_empty()).then(|| tools.iter().flat_map(|id| id.to_le_bytes()).collect())
}

/// The result of [`tools_to_blob`].
pub fn tools_from_blob(blob: Option<Vec<u8>>) -> BTreeSet<u64> {
    let blob = blob.unwrap_or_default();
    blob.as_chunks().0.iter().map(|id| u64::from_le_bytes(*id)).collect()
}
