//! `fusebox quota record` and `release`: end reservations.

use anyhow::Context;

use super::super::select::{self, ConfiguredStore};
use super::super::{Io, UsageError, budget, person_only, render, values};
use super::request::{self, amount_text, say_refused};
use super::reservation::{AnswerJson, RefusedJson, ReservationJson, fate};
use super::{REFUSED, alerts};
use crate::app::quota::{QuotaBudget, Quotas};
use crate::config::Config;
use crate::domain::amount::WrittenAmount;
use crate::domain::money::{MAX_COST, Terms};
use crate::domain::reservation::Reservation;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};
use crate::platform::Env;
use crate::store::quota::{NotDone, QuotaResult, ReservationName};

/// Which reservation.
#[derive(Debug, clap::Args)]
struct NameArgs {
    /// The id that `quota reserve` printed.
    #[arg(long, value_name = "ID", value_parser = values::key, conflicts_with_all = ["platform", "key"], required_unless_present_any = ["platform", "key"])]
    id: Option<String>,
    /// The platform.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    platform: Option<String>,
    /// The key that it was reserved with.
    #[arg(long, value_name = "KEY", value_parser = values::key, requires = "platform")]
    key: Option<String>,
}

impl NameArgs {
    /// The reservation that they name; `None`: only a platform is named.
    fn name(&self) -> Option<ReservationName> {
        let by_key = || {
            let (platform, key) = (self.platform.clone()?, self.key.clone()?);
            Some(ReservationName::Key { platform, key })
        };
        self.id.clone().map(ReservationName::Id).or_else(by_key)
    }

    fn text(&self) -> String {
        match (&self.id, &self.platform, &self.key) {
            (Some(id), ..) => format!("reservation {id}"),
            (None, Some(platform), Some(key)) => format!("reservation of platform {platform} with key {key}"),
            _ => "reservation".to_owned(),
        }
    }
}

/// Record what was really used, which ends a reservation.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What you do not name is recorded as it was reserved. With --platform alone, or with a key that is not known, the use is \
recorded at once, without a reservation: one request, unless --amount says otherwise. If that passes a limit, on_excess of the platform \
decides: \"charge\" (the default) records it all the same, \"refuse\" records nothing. A reservation that has expired can still be \
recorded.

Exit codes: 0 recorded; 1 failed; 2 wrong use, or it has ended otherwise; 3 refused; 4 the store cannot be used.

Examples:
  fusebox quota record --id \"$id\"
  fusebox quota record --id \"$id\" --input 1200 --output 300 --model gpt-4o
  fusebox quota record --platform gemini --key build-42 --tokens 1500
  fusebox quota record --platform gemini --amount 3"
)]
pub struct RecordArgs {
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    used: UsedArgs,
    /// The chain of tasks, if there is no reservation [default: FUSEBOX_CHAIN].
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    chain: Option<String>,
    /// Write JSON: the reservation, and the budgets that count it.
    #[arg(long)]
    json: bool,
}

/// What was used.
#[derive(Debug, clap::Args)]
struct UsedArgs {
    /// Requests.
    #[arg(long, value_name = "N", value_parser = values::count)]
    amount: Option<u64>,
    /// Tokens.
    #[arg(long, value_name = "N", value_parser = values::count, conflicts_with_all = ["input", "output"])]
    tokens: Option<u64>,
    /// Tokens that the model read.
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens)]
    input: Option<u64>,
    /// Tokens that the model wrote.
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens)]
    output: Option<u64>,
    /// Dollars, such as 0.05.
    #[arg(long, value_name = "X", value_parser = budget::parse_dollars, conflicts_with = "model")]
    usd: Option<WrittenAmount>,
    /// The model, whose price for --input and --output is recorded.
    #[arg(long, value_name = "NAME", value_parser = values::model, requires = "input", requires = "output")]
    model: Option<String>,
}

impl UsedArgs {
    fn is_empty(&self) -> bool {
        let Self { amount, tokens, input, output, usd, model: _ } = self;
        amount.is_none() && tokens.is_none() && input.is_none() && output.is_none() && usd.is_none()
    }

    /// What was used, given what was reserved.
    fn over(&self, reserved: Amount, config: &Config, now: Timestamp) -> anyhow::Result<Amount> {
        let mut used = Amount { requests: self.amount.unwrap_or(reserved.requests), ..reserved };
        if self.tokens.is_some() || self.input.is_some() || self.output.is_some() {
            let input = self.tokens.or(self.input).unwrap_or_default();
            used.usage = Usage { input, output: self.output.unwrap_or_default(), ..Usage::default() };
        }
        if let Some(usd) = self.usd {
            (used.nano_usd, used.nano_usd_estimated) = (request::nanos(usd)?, 0);
        }
        if let Some(model) = &self.model {
            let rates = config.prices.quote(model, now, used.usage.context(), Terms::default());
            used.nano_usd = rates.cost(used.usage, 0);
            if used.nano_usd >= MAX_COST {
                return Err(
                    UsageError("a call must cost less: check --input, --output and --model".into()).into()
                );
            }
            used.nano_usd_estimated = if rates.is_estimate { used.nano_usd } else { 0 };
        }
        Ok(used)
    }
}

/// Runs `fusebox quota record`.
///
/// # Errors
/// Wrong use, or the store cannot be used.
pub fn record(args: &RecordArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let ConfiguredStore { config, mut store } =
        select::open_current(env, io.err).map_err(select::with_unchanged)?;
    let named = args.name.name();
    let known = match &named {
        Some(name) => store.call(|store| store.reservation(name))?,
        None => None,
    };
    refuse_of_tool_call(known.as_ref(), "fusebox quota record", env)?;
    let (name, used, or_new) = match (&known, &args.name.platform) {
        (Some(known), _) => {
            let used = args.used.over(known.reserved, &config, env.now)?;
            (ReservationName::Id(known.id.clone()), (!args.used.is_empty()).then_some(used), None)
        }
        (None, Some(platform)) => {
            request::ensure_known(&config, platform)?;
            let used = args.used.over(Amount { requests: 1, ..Amount::default() }, &config, env.now)?;
            let chain = args.chain.clone().or_else(|| env.chain());
            let new = request::new(platform, args.name.key.as_deref(), chain.as_deref(), used, &config)?;
            let name = ReservationName::Key { platform: platform.clone(), key: new.key.clone() };
            (name, Some(used), Some(new))
        }
        (None, None) => return Err(not_found(&args.name)),
    };
    let last = alerts::last(&mut store);
    let done = store
        .call(|store| {
            let mut quotas = Quotas::new(store, &config, env.now)?;
            let result = quotas.record(name, used, or_new)?;
            with_budgets(&mut quotas, result, args.json)
        })
        .map_err(|error| select::with_unchanged(error.into()))?;
    let recorded = done.0.as_ref().ok().and_then(|all| all.first()).cloned();
    let code = answer(done, &args.name, args.json, "Recorded", io)?;
    if let Some(Reservation { platform, chain, .. }) = recorded {
        alerts::tell((&platform, &chain), last, &config, &mut store, env, io);
    }
    Ok(code)
}

/// Release a reservation: nothing was used.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Releasing again changes nothing. An estimate that was charged when the reservation expired is taken back.

Exit codes: 0 released; 1 failed; 2 wrong use, or its use was recorded; 4 the store cannot be used.

Examples:
  fusebox quota release --id \"$id\"
  fusebox quota release --platform gemini --key build-42"
)]
pub struct ReleaseArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Write JSON: the reservation, and the budgets that count it.
    #[arg(long)]
    json: bool,
}

/// Runs `fusebox quota release`.
///
/// # Errors
/// Wrong use, or the store cannot be used.
pub fn release(args: &ReleaseArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let Some(name) = args.name.name() else {
        return Err(
            UsageError("name the reservation: --id ID, or --platform NAME with --key KEY".into()).into()
        );
    };
    let ConfiguredStore { config, mut store } =
        select::open_current(env, io.err).map_err(select::with_unchanged)?;
    let known = store.call(|store| store.reservation(&name))?;
    if let (None, Some(platform)) = (&known, &args.name.platform) {
        request::ensure_known(&config, platform)?;
    }
    refuse_of_tool_call(known.as_ref(), "fusebox quota release", env)?;
    let done = store
        .call(|store| {
            let mut quotas = Quotas::new(store, &config, env.now)?;
            let result = quotas.release(name)?;
            with_budgets(&mut quotas, result, args.json)
        })
        .map_err(|error| select::with_unchanged(error.into()))?;
    answer(done, &args.name, args.json, "Released", io)
}

/// Refuses an agent that would settle the reservation of its own tool call: the hooks do.
fn refuse_of_tool_call(known: Option<&Reservation>, command: &str, env: &Env) -> anyhow::Result<()> {
    let Some(known) = known.filter(|known| !known.session.is_empty()) else { return Ok(()) };
    let settled = || format!("reservation {} belongs to a tool call, and the hooks settle it", known.id);
    person_only::refuse_in_agent(env, command).with_context(settled)
}

/// What was done, when by the store's clock, and the budgets after it.
type Settled = (QuotaResult, Timestamp, Vec<QuotaBudget>);

fn with_budgets(quotas: &mut Quotas, result: QuotaResult, json: bool) -> crate::store::Result<Settled> {
    let ended = result.as_ref().ok().and_then(|all| all.first()).filter(|_| json);
    let budgets = ended.map(|one| quotas.budgets(&one.platform, &one.chain)).transpose()?;
    Ok((result, quotas.now(), budgets.unwrap_or_default()))
}

fn answer(done: Settled, name: &NameArgs, json: bool, what: &str, io: &mut Io) -> anyhow::Result<u8> {
    let (result, now, budgets) = done;
    match result {
        Ok(ended) => {
            let Some(ended) = ended.first() else { return Err(not_found(name)) };
            if json {
                render::json(io.out, &AnswerJson { reservation: ReservationJson::new(ended), budgets })?;
            } else {
                io.line(&said(what, ended))?;
            }
            Ok(0)
        }
        Err(NotDone::Refused(refusal)) => {
            if json {
                render::json(io.out, &RefusedJson::new(&refusal))?;
            }
            say_refused(&refusal, now, io)?;
            Ok(REFUSED)
        }
        Err(NotDone::NotFound) => Err(not_found(name)),
        Err(NotDone::Conflict(other)) => {
            let said = format!("reservation {} {}. Nothing was changed", other.id, fate(&other));
            Err(UsageError(said).into())
        }
    }
}

fn said(what: &str, ended: &Reservation) -> String {
    let Reservation { id, platform, .. } = ended;
    match what {
        "Recorded" => {
            let estimate = if ended.used.nano_usd_estimated > 0 { ", dollars estimated" } else { "" };
            format!("Recorded {} of {platform} ({id}{estimate})", amount_text(&ended.used))
        }
        _ => format!("Reservation {id} of {platform} {}", fate(ended)),
    }
}

fn not_found(name: &NameArgs) -> anyhow::Error {
    let refusal = format!("there is no {}; `fusebox quota status` lists the open ones", name.text());
    UsageError(refusal).into()
}
