//! The phase of a breaker: closed, open after a trip, or half-open with one call as a probe.

use serde::{Deserialize, Serialize};

use super::super::time::Timestamp;

/// Why a breaker tripped or warned, as it is stored and listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// The rule.
    pub rule: String,
    /// The tool of the last call.
    pub tool: String,
    /// What the rule counted.
    pub count: u32,
    /// The count at which it trips.
    pub limit: u32,
    /// The first twelve hexadecimal digits of the last call's signature.
    pub signature: String,
    /// Number of the call since a person's last prompt.
    pub call: u64,
    /// When it tripped or warned. (An event has its own time.)
    #[serde(rename = "tripped")]
    pub at: Timestamp,
}

/// The one call that is let through while the breaker is half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Hash of the call's id.
    pub call: u32,
    /// Until this moment no other call may become the probe.
    pub until: Timestamp,
}

/// The phase of a breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Phase {
    /// Calls are let through.
    #[default]
    Closed,
    /// Tripped: calls are denied.
    Open {
        /// Why it tripped.
        trip: Trip,
    },
    /// One call is let through, to see whether it works now.
    HalfOpen {
        /// Why it tripped.
        trip: Trip,
        /// The call that was let through.
        probe: Option<Probe>,
    },
}

impl Phase {
    /// The name in output and JSON: `closed`, `open`, `half_open`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }

    /// Why it tripped; `None` if it is closed.
    pub fn trip(&self) -> Option<&Trip> {
        match self {
            Self::Closed => None,
            Self::Open { trip } | Self::HalfOpen { trip, .. } => Some(trip),
        }
    }
}
