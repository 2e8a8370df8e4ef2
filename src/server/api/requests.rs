//! Bodies and ids of requests to decide.

use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};

use super::super::problem::Problem;
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::Unit;
use crate::domain::money::NANOS_PER_USD;
use crate::domain::plan::UNITS_PER_PERCENT;

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;

/// The largest count that can be added.
const MAX_COUNT: u64 = 1_000_000_000_000_000;

/// The largest number of dollars or percent that can be added.
const MAX_DECIMAL: f64 = 1e6;

/// Most ids in one request.
const MAX_IDS: usize = 100;

/// The id in an address.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // Only described.
pub struct BudgetId {
    /// The id of the budget.
    #[param(pattern = "^[0-9a-f]{16}$", example = "3f2a1b2c4d5e6f70")]
    budget_id: String,
}

/// The id in an address.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // Only described.
pub struct CircuitId {
    /// The id of the breaker.
    #[param(pattern = "^[0-9a-f]{16}$", example = "3f2a1b2c4d5e6f70")]
    circuit_id: String,
}

/// The id in an address.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // Only described.
pub struct AlertId {
    /// The id of the alert.
    #[param(pattern = "^[1-9][0-9]{0,17}$", example = "17")]
    alert_id: String,
}

/// How much to add to a limit, in the budget's unit, and why. Exactly one amount is given.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// Tokens to add.
    #[serde(default, deserialize_with = "count")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub additional_tokens: Option<u64>,
    /// Dollars to add.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, minimum = 0.000000001, maximum = 1_000_000)]
    pub additional_usd: Option<f64>,
    /// Requests to add.
    #[serde(default, deserialize_with = "count")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub additional_requests: Option<u64>,
    /// Tool calls to add.
    #[serde(default, deserialize_with = "count")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub additional_tool_calls: Option<u64>,
    /// Percent of the subscription's window to add.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, minimum = 0.01, maximum = 1_000_000)]
    pub additional_percent: Option<f64>,
    /// The reason, which is stored with the decision.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
        example = "release day"
    )]
    pub reason: String,
}

/// The same for many budgets.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendManyRequest {
    /// The ids of the budgets.
    #[schema(min_items = 1, max_items = 100)]
    pub budget_ids: Vec<String>,
    /// Tokens to add.
    #[serde(default, deserialize_with = "count")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub additional_tokens: Option<u64>,
    /// Dollars to add.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, minimum = 0.000000001, maximum = 1_000_000)]
    pub additional_usd: Option<f64>,
    /// Requests to add.
    #[serde(default, deserialize_with = "count")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub additional_requests: Option<u64>,
    /// Tool calls to add.
    #[serde(default, deserialize_with = "count")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub additional_tool_calls: Option<u64>,
    /// Percent of the subscription's window to add.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, minimum = 0.01, maximum = 1_000_000)]
    pub additional_percent: Option<f64>,
    /// The reason, which is stored with the decision.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
        example = "release day"
    )]
    pub reason: String,
}

/// A field that may be left out, but is not `null`.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A whole number that may be left out. In JSON, `5.0` is one.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = |number: f64| number.fract() == 0.0 && (0.0..=MAX_COUNT as f64).contains(&number);
    let of_decimal = || number.as_f64().filter(|number| whole(*number)).map(|number| number as u64);
    let wrong = || serde::de::Error::custom(format!("use a whole number from 1 to {MAX_COUNT}"));
    number.as_u64().or_else(of_decimal).map(Some).ok_or_else(wrong)
}

impl From<ExtendManyRequest> for ExtendRequest {
    fn from(many: ExtendManyRequest) -> Self {
        Self {
            additional_tokens: many.additional_tokens,
            additional_usd: many.additional_usd,
            additional_requests: many.additional_requests,
            additional_tool_calls: many.additional_tool_calls,
            additional_percent: many.additional_percent,
            reason: many.reason,
        }
    }
}

impl ExtendRequest {
    /// The amount and its unit.
    ///
    /// # Errors
    /// None is given, more than one, or one that cannot be added.
    pub fn amount(&self) -> Result<(WrittenAmount, Unit), Problem> {
        let decimal = |number: f64, one: u64| match number.is_finite() && number <= MAX_DECIMAL {
            // 0 for what is less than the smallest unit, or negative.
            true => Ok((number * one as f64).round() as u64),
            false => Err(Problem::bad_request(format!("the amount must be at most {MAX_DECIMAL}"))),
        };
        let count = |number: u64| match number <= MAX_COUNT {
            true => Ok(number),
            false => Err(Problem::bad_request(format!("the amount must be at most {MAX_COUNT}"))),
        };
        let given = [
            (self.additional_tokens.map(count), Unit::Tokens),
            (self.additional_usd.map(|usd| decimal(usd, NANOS_PER_USD)), Unit::Usd),
            (self.additional_requests.map(count), Unit::Requests),
            (self.additional_tool_calls.map(count), Unit::ToolCalls),
            (self.additional_percent.map(|percent| decimal(percent, UNITS_PER_PERCENT)), Unit::Percent),
        ];
        let mut given = given.into_iter().filter_map(|(amount, unit)| Some((amount?, unit)));
        match (given.next(), given.next()) {
            (Some((Ok(0), _)), None) => Err(Problem::bad_request("the amount must be greater than 0")),
            (Some((amount, unit)), None) => Ok((WrittenAmount::from_count(amount?), unit)),
            (None, _) => Err(Problem::bad_request("an amount is required, such as additional_tokens")),
            (Some(_), Some(_)) => Err(Problem::bad_request("more than one amount is given")),
        }
    }
}

/// Why something is reset or acknowledged.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// The reason, which is stored with the decision.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
        example = "new task"
    )]
    pub reason: String,
}

/// Which budgets to reset, and why.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetManyRequest {
    /// The ids of the budgets.
    #[schema(min_items = 1, max_items = 100)]
    pub budget_ids: Vec<String>,
    /// The reason, which is stored with each decision.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
        example = "new week"
    )]
    pub reason: String,
}

/// Which breakers to reset or acknowledge, and why.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CircuitsRequest {
    /// The ids of the breakers.
    #[schema(min_items = 1, max_items = 100)]
    pub circuit_ids: Vec<String>,
    /// The reason, which is stored with each decision.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
        example = "the tests are fixed"
    )]
    pub reason: String,
}

/// Checks a reason.
///
/// # Errors
/// There is none, or it is too long.
pub fn checked_reason(reason: &str) -> Result<String, Problem> {
    if reason.chars().all(is_blank) {
        return Err(Problem::bad_request("a reason is required"));
    }
    if reason.chars().count() > MAX_REASON {
        return Err(Problem::bad_request(format!("the reason must have at most {MAX_REASON} characters")));
    }
    Ok(reason.trim().to_owned())
}

/// What the pattern of reasons in the description leaves out.
fn is_blank(char: char) -> bool {
    char.is_whitespace() || char.is_control() || char == '\u{feff}'
}

/// The ids of a request, each once.
///
/// # Errors
/// There is none, or there are too many.
pub fn checked_ids(ids: Vec<String>) -> Result<Vec<String>, Problem> {
    if !(1..=MAX_IDS).contains(&ids.len()) {
        return Err(Problem::bad_request(format!("name 1 to {MAX_IDS} ids")));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(ids.into_iter().filter(|id| seen.insert(id.clone())).collect())
}
