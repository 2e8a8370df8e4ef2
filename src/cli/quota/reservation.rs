//! Reservations as JSON, and what has become of one as text.

use serde::Serialize;

use super::request::amount_text;
use crate::app::quota::QuotaBudget;
use crate::domain::amount::Count;
use crate::domain::budget::Unit;
use crate::domain::reservation::{AtExpiry, Refusal, Reservation, ReservationState};
use crate::domain::usage::Amount;

/// What a command about one reservation writes.
#[derive(Serialize)]
pub struct AnswerJson {
    /// The reservation.
    pub reservation: ReservationJson,
    /// The budgets that count it, after it.
    pub budgets: Vec<QuotaBudget>,
}

/// A reservation.
#[derive(Serialize)]
pub struct ReservationJson {
    id: String,
    /// `null`: the caller named none.
    key: Option<String>,
    platform: String,
    chain: String,
    /// `open`, `used`, `estimated`, `released`, `expired`.
    state: &'static str,
    /// When it was made (RFC 3339, UTC).
    at: String,
    /// When it expires, or would have (RFC 3339, UTC).
    expires_at: String,
    /// What happens then: `release` or `charge`.
    at_expiry: AtExpiry,
    reserved: AmountJson,
    used: AmountJson,
}

/// An amount.
#[derive(Serialize)]
struct AmountJson {
    requests: u64,
    tokens: u64,
    usd: Count,
}

impl AmountJson {
    fn new(amount: &Amount) -> Self {
        Self {
            requests: amount.requests,
            tokens: amount.usage.input.saturating_add(amount.usage.output),
            usd: Count::new(amount.nano_usd, Unit::Usd),
        }
    }
}

impl ReservationJson {
    /// The JSON of a reservation.
    pub fn new(one: &Reservation) -> Self {
        Self {
            id: one.id.clone(),
            key: one.own_key().map(str::to_owned),
            platform: one.platform.clone(),
            chain: one.chain.clone(),
            state: one.state.name(),
            at: one.at.to_rfc3339(),
            expires_at: one.expires.to_rfc3339(),
            at_expiry: one.at_expiry,
            reserved: AmountJson::new(&one.reserved),
            used: AmountJson::new(&one.charged()),
        }
    }
}

/// What a refused command writes as JSON.
#[derive(Serialize)]
pub struct RefusedJson {
    refused: RefusalJson,
}

#[derive(Serialize)]
struct RefusalJson {
    budget: String,
    value: String,
    unit: Unit,
    used: Count,
    reserved: Count,
    limit: Count,
    asked: Count,
    /// When the window ends (RFC 3339, UTC); `null`: never.
    resets_at: Option<String>,
}

impl RefusedJson {
    /// The JSON of a refusal.
    pub fn new(refusal: &Refusal) -> Self {
        let Refusal { state, reserved, asked } = refusal;
        let unit = state.budget.unit;
        let count = |units| Count::new(units, unit);
        let refused = RefusalJson {
            budget: state.budget.name.clone(),
            value: state.value.clone(),
            unit,
            used: count(state.used),
            reserved: count(*reserved),
            limit: count(state.limit()),
            asked: count(*asked),
            resets_at: state.window.end.map(crate::domain::time::Timestamp::to_rfc3339),
        };
        Self { refused }
    }
}

/// What has become of a reservation: `is open until …`, `was recorded: 1 request`.
pub fn fate(one: &Reservation) -> String {
    match one.state {
        ReservationState::Open => {
            format!("holds {} until {}", amount_text(&one.reserved), one.expires.to_rfc3339())
        }
        ReservationState::Used => format!("was recorded: {}", amount_text(&one.used)),
        ReservationState::Estimated => {
            format!("expired, and was charged as an estimate: {}", amount_text(&one.used))
        }
        ReservationState::Released => "was released".to_owned(),
        ReservationState::Expired => "expired, and nothing was charged".to_owned(),
    }
}
