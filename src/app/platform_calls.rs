//! Tool calls that call a platform: reserved before they run, settled afterwards.
//!
//! The session's cache lists the reservations of the calls under way, so that hooks after other calls do not ask the
//! store. If it is lost, they expire, and are charged as estimates.

use super::quota::Quotas;
use super::session::SessionContext;
use super::store_access::Result;
use crate::agents::event::{ToolRequest, call_id};
use crate::agents::tool::ToolTarget;
use crate::domain::budget::{Budget, Scope, StoreDown};
use crate::domain::protection::{self, ShellContext};
use crate::domain::reservation::{AtExpiry, Reservation};
use crate::domain::usage::Amount;
use crate::domain::verdict::HoldReason;
use crate::store::quota::{NewReservation, NotDone, QuotaResult, ReservationName, random_text};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It ran, whether it failed or not.
    Ran,
    /// It never ran.
    NeverRan,
}

/// Reserves what a tool call uses of platforms. Returns why it may not run.
pub fn reserve(ctx: &mut SessionContext, request: &ToolRequest) -> Option<HoldReason> {
    let wanted = platform_requests(ctx, request);
    if wanted.is_empty() {
        return None;
    }
    let key = request.id.clone().unwrap_or_else(random_text);
    // Other sessions may have calls of the same id.
    let new = new_reservations(ctx, &wanted, &format!("{}/{key}", ctx.session().id));
    let made: Vec<String> = new.iter().map(NewReservation::id).collect();
    let mut reserved = try_reserve(ctx, new);
    let is_other_call = match &reserved {
        Ok(Ok(all)) => !all.iter().all(Reservation::is_open),
        Ok(Err(NotDone::Conflict(_))) => true,
        _ => false,
    };
    if is_other_call {
        // Some gateways repeat the ids of calls.
        release(ctx, made);
        let new = new_reservations(ctx, &wanted, &random_text());
        reserved = try_reserve(ctx, new);
    }
    match reserved {
        Ok(Ok(all)) => {
            let mut cache = ctx.lock_cache();
            cache.platforms.extend(all.iter().map(|one| one.platform.clone()));
            let ids = all.into_iter().map(|one| one.id);
            cache.platform_calls.entry(call_id(&key)).or_default().extend(ids);
            ctx.save_cache(cache);
            None
        }
        Ok(Err(NotDone::Refused(refusal))) => Some(HoldReason::Quota(refusal)),
        // Neither happens to a random key.
        Ok(Err(NotDone::NotFound | NotDone::Conflict(_))) => None,
        Err(error) => {
            let fails_closed =
                |budget: &&Budget| budget.scope == Scope::Platform && budget.store_down == StoreDown::Deny;
            let counts = |budget: &&Budget| {
                let glob = wildmatch::WildMatch::new(&budget.matches);
                wanted.iter().any(|(platform, _)| glob.matches(platform))
            };
            let denying = ctx.config.budgets.iter().filter(fails_closed).find(counts);
            let denying = denying.map(|budget| HoldReason::StoreDown(budget.name.clone()));
            ctx.notices.log(&error);
            ctx.notices.warn_person(&error);
            denying
        }
    }
}

fn new_reservations(ctx: &SessionContext, wanted: &[(String, u64)], key: &str) -> Vec<NewReservation> {
    let session = ctx.session();
    let new = wanted.iter().map(|(platform, requests)| NewReservation {
        nonce: random_text(),
        key: key.to_owned(),
        platform: platform.clone(),
        chain: session.chain.clone(),
        session: session.id.clone(),
        amount: Amount { requests: *requests, ..Amount::default() },
        ttl_ms: ttl_ms(ctx, platform),
        // The call may have run.
        at_expiry: AtExpiry::Charge,
    });
    new.collect()
}

fn try_reserve(ctx: &mut SessionContext, new: Vec<NewReservation>) -> Result<QuotaResult> {
    let (config, now) = (ctx.config.clone(), ctx.env.now);
    ctx.store.call(|store| Quotas::new(store, &config, now)?.reserve(new))
}

/// Releases the reservations of an attempt that is given up. Those that it did not make are not found, which is fine.
fn release(ctx: &mut SessionContext, ids: Vec<String>) {
    let (config, now) = (ctx.config.clone(), ctx.env.now);
    let released = ctx.store.call(|store| {
        let mut quotas = Quotas::new(store, &config, now)?;
        for id in ids {
            drop(quotas.release(ReservationName::Id(id))?);
        }
        Ok(())
    });
    ctx.notices.log_failure(released);
}

fn ttl_ms(ctx: &SessionContext, platform: &str) -> i64 {
    let known = ctx.config.platforms.iter().find(|known| known.name == platform);
    known.map_or(0, |known| i64::try_from(known.ttl_s.saturating_mul(1000)).unwrap_or(i64::MAX))
}

/// The platforms that a call uses, and how many requests of each.
fn platform_requests(ctx: &SessionContext, request: &ToolRequest) -> Vec<(String, u64)> {
    let platforms = &ctx.config.platforms;
    if platforms.is_empty() {
        return Vec::new();
    }
    let has_commands = platforms.iter().any(|platform| !platform.commands.is_empty());
    let target = request.input.as_deref().filter(|_| has_commands);
    let target = target.map(|input| ctx.source.client.tool_target(&request.tool, input));
    let commands = match target {
        Some(ToolTarget::Command(text)) => {
            let home = ctx.env.home().unwrap_or_else(|| "/".into());
            let cwd = ctx.source.cwd.as_deref().unwrap_or(&ctx.env.cwd);
            let (home, cwd) = (home.to_string_lossy(), cwd.to_string_lossy());
            let client = ctx.source.client.protected_client();
            protection::programs(&text, ShellContext { vars: &ctx.env.vars, home: &home, cwd: &cwd, client })
        }
        _ => Vec::new(),
    };
    let requests = platforms.iter().map(|platform| {
        let of_tool = u64::from(platform.counts_tool(&request.tool));
        (platform.name.clone(), of_tool + platform.count_commands(&commands))
    });
    requests.filter(|(_, requests)| *requests > 0).collect()
}

/// Settles the reservations of these calls, by their ids in the breaker's history. Calls without reservations cost
/// nothing.
pub fn settle(ctx: &mut SessionContext, calls: impl IntoIterator<Item = (u32, CallEnd)>) {
    let ended: Vec<(u32, CallEnd)> =
        calls.into_iter().filter(|(call, _)| ctx.cache.platform_calls.contains_key(call)).collect();
    // Most calls have none, and the configuration is not copied for them.
    if ended.is_empty() {
        return;
    }
    let (config, now) = (ctx.config.clone(), ctx.env.now);
    for (call, end) in ended {
        let ids = ctx.cache.platform_calls.get(&call).cloned().unwrap_or_default();
        let settled = ctx.store.call(|store| {
            let mut quotas = Quotas::new(store, &config, now)?;
            for id in ids {
                let name = ReservationName::Id(id);
                // One that has ended otherwise stays as it is.
                match end {
                    CallEnd::Ran => drop(quotas.record(name, None, None)?),
                    CallEnd::NeverRan => drop(quotas.release(name)?),
                }
            }
            Ok(())
        });
        // A later hook tries again; at last, the reservation expires.
        if ctx.notices.log_failure(settled).is_none() {
            return;
        }
        let mut cache = ctx.lock_cache();
        cache.platform_calls.remove(&call);
        ctx.save_cache(cache);
    }
}
