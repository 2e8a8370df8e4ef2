//! The seed's own payload: `tool`, `arguments`, `response`, `sessionId`, no transcript. It is charged from standard
//! input: once per call id, else once per hash of the payload.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::input::{Over, quoted, unique};
use crate::app::admit::call_id;
use crate::app::attendance::Prompt;
use crate::app::guard;
use crate::domain::breaker::call::Call;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::breaker::outcome;
use crate::domain::message::{Message, MessageKey, Source};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::transcript::Fact;
use crate::transcript::line::tool_hash;

/// A payload of that shape.
#[derive(Clone, Debug, Deserialize)]
pub struct SeedPayload {
    #[serde(rename = "sessionId")]
    session: String,
    #[serde(default)]
    response: Value,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl SeedPayload {
    /// Reads it; `None` for anything else. A payload that names a transcript is a real client's, and is never charged
    /// from what it carries.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let payload: Self = serde_json::from_slice(bytes).ok()?;
        let usable = !payload.session.is_empty() && !payload.rest.contains_key("transcript_path");
        usable.then_some(payload)
    }

    /// Who calls.
    pub fn call(&self) -> guard::Call {
        guard::Call { session: self.session.clone(), ..guard::Call::default() }
    }

    /// The call for the breaker, if it is one. One without an id is a call of its own each time, whatever it carries.
    pub fn over(&self, now: Timestamp) -> Option<Over> {
        let text = |name: &str| self.rest.get(name).and_then(Value::as_str);
        let id = self.id().map_or_else(|| unique(now), str::to_owned);
        let tool = text("tool").or(text("tool_name")).unwrap_or_default();
        let input = self
            .rest
            .get("arguments")
            .or(self.rest.get("tool_input"))
            .filter(|input| Call::is_one(tool, input))?
            .clone();
        let result = outcome::text(self.response.get("output").unwrap_or(&self.response));
        let failed = self.response.get("error").map(|error| !error.is_null()).filter(|failed| *failed);
        let call = Call::new(call_id(&id), tool, &input, &result, failed, "");
        Some(Over { named: NamedCall { call, tool: tool.to_owned() }, quoted: quoted(&input) })
    }

    /// What a person typed.
    pub fn prompt(&self) -> Prompt {
        let text = self.rest.get("prompt").and_then(Value::as_str).unwrap_or_default();
        Prompt { text: text.to_owned(), ..Prompt::default() }
    }

    fn id(&self) -> Option<&str> {
        ["tool_use_id", "call_id", "callId", "id"].iter().find_map(|name| self.rest.get(*name)?.as_str())
    }

    /// The tool, and its input as JSON.
    pub fn tool(&self) -> Option<(&str, String)> {
        Some((self.rest.get("tool")?.as_str()?, self.rest.get("arguments")?.to_string()))
    }

    /// The charge, where the response says what it used.
    pub fn charge(&self, bytes: &[u8], now: Timestamp) -> Option<Fact> {
        let places = [&self.response["usage"], &self.response["metadata"], &self.response];
        let has_usage = |v: &&&Value| ["input_tokens", "output_tokens"].iter().any(|n| v[*n].is_number());
        let usage = places.iter().find(has_usage)?;
        let count = |name: &str| {
            let value = &usage[name];
            value.as_u64().or_else(|| value.as_f64().map(|f| f.max(0.0).round() as u64)).unwrap_or(0)
        };
        let text = |name: &str| self.rest.get(name).and_then(Value::as_str);
        let id = self.id();
        let key = match id {
            Some(id) => MessageKey::of(&["call", &self.session, id]),
            None => MessageKey::of(&["payload", &String::from_utf8_lossy(bytes)]),
        };
        let mut message = Message::new(key, Source::Response, now);
        message.model = self.response["model"].as_str().or(text("model")).unwrap_or_default().to_owned();
        message.recorded = Usage {
            input: count("input_tokens"),
            output: count("output_tokens"),
            cache_write_5m: count("cache_creation_input_tokens"),
            cache_write_1h: 0,
            cache_read: count("cache_read_input_tokens"),
        }
        .capped();
        message.stopped = true;
        message.tools.insert(id.map_or(key.short(), tool_hash));
        Some(Fact::Message(message))
    }
}
