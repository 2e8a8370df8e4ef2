//! One tool call as stored by the breaker: hashes and flags, no text.

use serde_json::Value;

use super::action::Action;
use super::effect::CallEffect;
use super::outcome::Outcome;
use super::signature::{ToolSignature, shape, subject_hash, tool_name_hash};

/// Bytes of a call in a stored history.
pub const CALL_BYTES: usize = 24;

/// The bits of an id that tell calls with the same `tool_use` id apart.
const NUMBER_BITS: u32 = 0xff << 24;

/// The id of a call whose `tool_use` id repeats: `number` tells it from the others.
pub fn numbered_id(id: u32, number: u64) -> u32 {
    id ^ ((number as u32) << 24)
}

/// A finished call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Hash of its `tool_use` id, with its number if the id repeats.
    pub id: u32,
    /// The first bytes of a SHA-256 of tool and input.
    pub signature: ToolSignature,
    /// Equal for calls that differ only in form.
    pub shape: u32,
    /// Equal for calls of the same tool.
    pub tool: u16,
    /// Equal for calls about the same things: the paths and names in their inputs.
    pub subject: u16,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its purpose.
    pub effect: CallEffect,
    /// Whether a person interrupted it. It then says nothing about the agent.
    pub interrupted: bool,
    /// Whether its response is known to have ended.
    pub closed: bool,
    /// The number of its response; wraps around.
    pub round: u8,
}

impl Call {
    /// A call of `tool` with this id, input, action and outcome.
    pub fn new(id: u32, tool: &str, input: &Value, action: &Action, outcome: Outcome) -> Self {
        let signature = ToolSignature::new(tool, input);
        let (shape, effect) = (shape(tool, action), action.effect);
        Self {
            id,
            signature,
            shape,
            tool: tool_name_hash(tool),
            subject: subject_hash(input),
            outcome,
            effect,
            ..Self::default()
        }
    }

    /// Whether the call can be told from others: it has a tool name and an input.
    pub fn is_identifiable(tool: &str, input: &Value) -> bool {
        !tool.is_empty() && !input.is_null()
    }

    /// Whether its `tool_use` id has this hash, with any number.
    pub fn has_id(&self, id: u32) -> bool {
        (self.id ^ id) & !NUMBER_BITS == 0
    }

    /// Whether far more repetitions are allowed: the call waits, or a service is down.
    pub fn is_waiting(&self) -> bool {
        self.effect == CallEffect::Waits || self.outcome.outage
    }

    /// The stored form.
    pub fn to_bytes(self) -> [u8; CALL_BYTES] {
        let marks = [
            self.outcome.failed,
            self.outcome.outage,
            self.effect == CallEffect::Changes,
            self.effect == CallEffect::Waits,
            self.interrupted,
            self.closed,
            self.outcome.distinctive,
        ];
        let mut bytes = [0; CALL_BYTES];
        bytes[..4].copy_from_slice(&self.id.to_le_bytes());
        bytes[4..10].copy_from_slice(&self.signature.0);
        bytes[10..14].copy_from_slice(&self.shape.to_le_bytes());
        bytes[14..18].copy_from_slice(&self.outcome.hash.to_le_bytes());
        bytes[18] = marks.iter().enumerate().fold(0, |all, (i, mark)| all | (u8::from(*mark) << i));
        bytes[19] = self.round;
        bytes[20..22].copy_from_slice(&self.tool.to_le_bytes());
        bytes[22..].copy_from_slice(&self.subject.to_le_bytes());
        bytes
    }

    /// Reads the result of [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8; CALL_BYTES]) -> Self {
        let four = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mark = |i: u8| bytes[18] & (1 << i) != 0;
        let mut signature = ToolSignature::default();
        signature.0.copy_from_slice(&bytes[4..10]);
        Self {
            id: four(0),
            signature,
            shape: four(10),
            outcome: Outcome { hash: four(14), failed: mark(0), outage: mark(1), distinctive: mark(6) },
            effect: match (mark(2), mark(3)) {
                (true, _) => CallEffect::Changes,
                (_, true) => CallEffect::Waits,
                _ => CallEffect::Looks,
            },
            interrupted: mark(4),
            closed: mark(5),
            round: bytes[19],
            tool: u16::from_le_bytes([bytes[20], bytes[21]]),
            subject: u16::from_le_bytes([bytes[22], bytes[23]]),
        }
    }
}
