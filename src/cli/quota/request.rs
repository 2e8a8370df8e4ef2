//! A call to reserve, as options say it.

use anyhow::anyhow;

use super::super::{Io, UsageError, budget, render, values};
use crate::app::messages::amounts::{duration, number, quantity};
use crate::app::messages::extend_command;
use crate::app::quota;
use crate::config::Config;
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::Unit;
use crate::domain::money::MAX_COST;
use crate::domain::platform::Platform;
use crate::domain::reservation::{AtExpiry, Refusal};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};
use crate::platform::Env;
use crate::store::quota::NewReservation;

/// What to reserve.
#[derive(Debug, clap::Args)]
pub struct RequestArgs {
    /// The platform, as budgets of scope platform name it.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub platform: String,
    /// Requests.
    #[arg(long, value_name = "N", value_parser = values::some, default_value = "1", allow_negative_numbers = true)]
    amount: u64,
    /// Tokens, for budgets in tokens.
    #[arg(long, value_name = "N", value_parser = values::some, allow_negative_numbers = true)]
    tokens: Option<u64>,
    /// Dollars, for budgets in dollars, such as 0.05.
    #[arg(long, value_name = "X", value_parser = budget::parse_dollars, allow_negative_numbers = true)]
    usd: Option<WrittenAmount>,
    /// How long the call may take, in seconds or as 30m or 2h [default: the platform's ttl, else 1h].
    #[arg(long, value_name = "SECONDS", value_parser = values::span_ms)]
    ttl: Option<i64>,
    /// Your own name for this request: with the same key, it is the same request, and counts once.
    #[arg(long, value_name = "KEY", value_parser = values::key)]
    pub key: Option<String>,
    /// The chain of tasks that it belongs to [default: FUSEBOX_CHAIN].
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub chain: Option<String>,
}

impl RequestArgs {
    /// The reservation to make.
    ///
    /// # Errors
    /// The platform is not known, or an amount is none.
    pub fn reservation(
        &self,
        at_expiry: AtExpiry,
        config: &Config,
        env: &Env,
    ) -> anyhow::Result<NewReservation> {
        ensure_known(config, &self.platform)?;
        let nano_usd = self.usd.map(nanos).transpose()?.unwrap_or_default();
        if self.usd.is_some() && nano_usd == 0 {
            return Err(UsageError("--usd must be greater than 0".to_owned()).into());
        }
        let usage = Usage { input: self.tokens.unwrap_or_default(), ..Usage::default() };
        let amount = Amount { usage, requests: self.amount, nano_usd, ..Amount::default() };
        let chain = self.chain.clone().or_else(|| env.chain());
        let new = new(&self.platform, self.key.as_deref(), chain.as_deref(), amount, config)?;
        Ok(NewReservation { ttl_ms: self.ttl.unwrap_or(new.ttl_ms), at_expiry, ..new })
    }
}

/// A new reservation of this amount.
///
/// # Errors
/// The system has no random numbers.
pub fn new(
    platform: &str,
    key: Option<&str>,
    chain: Option<&str>,
    amount: Amount,
    config: &Config,
) -> anyhow::Result<NewReservation> {
    let mut nonce = [0_u8; 8];
    getrandom::fill(&mut nonce).map_err(|error| anyhow!("the system has no random numbers: {error}"))?;
    let nonce = hex::encode(nonce);
    let configured = config.platforms.iter().find(|one| one.name == platform);
    let ttl_s = configured.map_or(Platform::DEFAULT_TTL_S, |one| one.ttl_s);
    Ok(NewReservation {
        key: key.map_or_else(|| nonce.clone(), str::to_owned),
        nonce,
        platform: platform.to_owned(),
        chain: chain.unwrap_or_default().to_owned(),
        session: String::new(),
        amount,
        ttl_ms: i64::try_from(ttl_s.saturating_mul(1000)).unwrap_or(i64::MAX),
        at_expiry: AtExpiry::Release,
    })
}

/// The nano-dollars of an amount in dollars.
///
/// # Errors
/// No call costs that much.
pub fn nanos(usd: WrittenAmount) -> anyhow::Result<u64> {
    let nanos = usd.in_unit(Unit::Usd).unwrap_or(u64::MAX);
    let too_dear =
        || UsageError(format!("a call must cost less than {}: check --usd", number(MAX_COST, Unit::Usd)));
    Ok(Some(nanos).filter(|nanos| *nanos < MAX_COST).ok_or_else(too_dear)?)
}

/// Refuses platforms that nothing counts: a misspelt one would always have room.
///
/// # Errors
/// It is neither configured nor counted by a budget.
pub fn ensure_known(config: &Config, platform: &str) -> anyhow::Result<()> {
    if platform.contains(['*', '?']) {
        return Err(UsageError(format!("platform {platform}: name one platform, without * and ?")).into());
    }
    if quota::is_known(config, platform) {
        return Ok(());
    }
    let known = quota::platforms_and_patterns(config).join(", ");
    let known = match known.is_empty() {
        true => "none is configured: add a [[budget]] with scope = \"platform\" and match = NAME to your \
                 configuration (`fusebox config init` writes one)"
            .to_owned(),
        false => format!("platforms: {known}"),
    };
    Err(UsageError(format!("no platform named {platform}; {known}")).into())
}

/// What a reservation holds, or what was used: `1 request, 500 tokens, $0.05`.
pub fn amount_text(amount: &Amount) -> String {
    let tokens = amount.usage.input.saturating_add(amount.usage.output);
    let all = [(amount.requests, Unit::Requests), (tokens, Unit::Tokens), (amount.nano_usd, Unit::Usd)];
    let some = all.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| counted(*count, *unit));
    let text = some.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "nothing".to_owned() } else { text }
}

/// `1 request`, `1,234 tokens`, `$0.05`.
fn counted(count: u64, unit: Unit) -> String {
    let text = if unit == Unit::Usd { render::usd(count) } else { quantity(count, unit) };
    if count == 1 { text.trim_end_matches('s').to_owned() } else { text }
}

/// Says why there is no room, in one line: the budget, its numbers, and when it starts again.
///
/// # Errors
/// It cannot be written.
pub fn say_refused(refusal: &Refusal, now: Timestamp, io: &mut Io) -> std::io::Result<()> {
    let Refusal { state, reserved, asked } = refusal;
    let unit = state.budget.unit;
    let (name, scope, value) = (&state.budget.name, state.budget.scope.name(), &state.value);
    let (asked, limit) = (counted(*asked, unit), counted(state.limit(), unit));
    let (used, reserved) = (number(state.used, unit), number(*reserved, unit));
    let is_too_much = refusal.asked > state.limit();
    let resets = match state.window.end {
        _ if is_too_much => "That is more than the whole limit".to_owned(),
        Some(end) => format!("It resets at {} (in {})", end.to_rfc3339(), duration(end.millis_since(now))),
        None => "It never resets by itself".to_owned(),
    };
    let extend = extend_command(name, state.budget.scope, value, unit, "N");
    writeln!(
        io.err,
        "fusebox: budget {name} ({scope} {value}) has no room for {asked}: {used} used and {reserved} reserved of {limit}. \
         {resets}; a person can extend it: {extend}"
    )
}

/// The time by this machine's clock now: a command may have waited.
pub fn fresh(env: &Env) -> Env {
    Env { now: crate::platform::clock(), ..env.clone() }
}
