//! `fusebox quota reserve`: reserves calls before they are made.

use super::super::select::{self, ConfiguredStore};
use super::super::{Io, UsageError, render};
use super::REFUSED;
use super::request::{RequestArgs, amount_text, say_refused};
use super::reservation::{AnswerJson, RefusedJson, ReservationJson, fate};
use crate::app::quota::Quotas;
use crate::domain::reservation::{AtExpiry, Reservation};
use crate::platform::Env;
use crate::store::quota::NotDone;

/// Reserve calls of a platform before making them, and print the id of the reservation.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A reservation that is neither recorded nor released expires after its --ttl, and nothing is charged. With the same --key, \
the answer is the same, and nothing more is reserved. After it was released, or expired without a charge, the same key reserves again; \
after its use was recorded, it is refused (exit code 2). The clock of the store decides.

Exit codes: 0 reserved; 1 failed; 2 wrong use, or the key was used for another amount, or its use was recorded; 3 a budget has no room; \
4 the store cannot be used.

Examples:
  id=$(fusebox quota reserve --platform gemini) || exit
  fusebox quota reserve --platform gemini --amount 5 --ttl 10m
  fusebox quota reserve --platform gemini --tokens 20k --key build-42 --json"
)]
pub struct ReserveArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Write JSON: the reservation, and the budgets that count it.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Wrong use, or the store cannot be used.
pub fn run(args: &ReserveArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let config = select::configuration(env)?;
    let new = args.request.reservation(AtExpiry::Release, &config, env)?;
    let ConfiguredStore { config, mut store } =
        select::open_current(env, io.err).map_err(select::with_unchanged)?;
    let (id, platform, chain) = (new.id(), new.platform.clone(), new.chain.clone());
    let (result, now, budgets) = store
        .call(|store| {
            let mut quotas = Quotas::new(store, &config, env.now)?;
            let result = quotas.reserve(vec![new])?;
            let budgets = if args.json { quotas.budgets(&platform, &chain)? } else { Vec::new() };
            Ok((result, quotas.now(), budgets))
        })
        .map_err(|error| select::with_unchanged(error.into()))?;
    let made: Option<Reservation> = match result {
        Ok(made) => made.into_iter().next(),
        Err(NotDone::Refused(refusal)) => {
            if args.json {
                render::json(io.out, &RefusedJson::new(&refusal))?;
            }
            say_refused(&refusal, now, io)?;
            return Ok(REFUSED);
        }
        Err(NotDone::Conflict(other)) => return Err(other_amount(&other)),
        Err(NotDone::NotFound) => None,
    };
    let Some(made) = made else { anyhow::bail!("the store reserved nothing") };
    if args.json {
        render::json(io.out, &AnswerJson { reservation: ReservationJson::new(&made), budgets })?;
    }
    if made.id != id {
        let known = format!("key {} is known: reservation {} {}", made.key, made.id, fate(&made));
        if !made.is_open() {
            // Whoever called the platform again would not be counted.
            return Err(UsageError(format!("{known}. Use another --key for another call")).into());
        }
        writeln!(io.err, "fusebox: {known}")?;
    }
    if !args.json {
        writeln!(io.out, "{}", made.id)?;
    }
    Ok(0)
}

/// A key that was used for another amount.
fn other_amount(other: &Reservation) -> anyhow::Error {
    let (key, id, state) = (&other.key, &other.id, other.state.name());
    let reserved = amount_text(&other.reserved);
    let said = format!(
        "key {key} is known with another amount: reservation {id} of {reserved} ({state}). Use another --key for another \
         request"
    );
    UsageError(said).into()
}
