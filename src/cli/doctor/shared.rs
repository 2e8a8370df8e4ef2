//! Checks that the shared store is set up correctly, and agrees with the transcripts.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::survey::Survey;
use crate::app::messages::amounts::grouped;
use crate::app::open_store;
use crate::app::operation_ledger::OperationLedger;
use crate::app::operator;
use crate::app::store_access::StoreAccess;
use crate::app::verify::{self, Difference, Verification};
use crate::cli::render::counted;
use crate::config::redis_address::Address;
use crate::config::{Config, RedisConfig, printable};
use crate::store::redis::acl::Rights;
use crate::store::{Recover, Store};

/// The required memory policy of Redis.
const NO_EVICTION: &str = "noeviction";

/// How many unreadable records are named.
const MAX_NAMED: usize = 3;

/// How much of a name is shown, in characters.
const MAX_NAME_CHARS: usize = 120;

/// Checks the server, the user's permissions and the counts. No findings for the embedded store.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let config = &survey.loaded.config;
    let Some(redis) = &config.redis else { return Vec::new() };
    let Ok(address) = Address::parse(&redis.url) else { return Vec::new() };
    let mut found = Vec::new();
    let in_the_clear = address.in_the_clear();
    if !in_the_clear.is_empty() {
        found.push(Finding::warning(
            format!("passwords and counts go to {} unencrypted", in_the_clear.join(", ")),
            "use TLS: rediss:// in store.redis_url",
        ));
    }
    // Another check reports an unreachable store.
    let Ok(mut store) = open_store::open_shared(survey.env, redis, &config.tenant, None) else {
        return found;
    };
    let Ok(rights) = store.rights() else { return found };
    found.extend(rights_findings(&rights, &address, config));
    found.extend(memory_finding(&rights));
    if rights.records && store.is_rebuilding().is_ok_and(|is_rebuilding| !is_rebuilding) {
        found.extend(ledger_finding(survey, &mut store, redis));
        found.extend(count_findings(survey));
    }
    found
}

fn rights_findings(rights: &Rights, address: &Address, config: &Config) -> Vec<Finding> {
    let (user, tenant) = (address.user().unwrap_or("default"), &config.tenant);
    let who = format!("{address}, tenant {tenant}: user {user}");
    match (rights.records, rights.decides) {
        (false, _) => vec![Finding::problem(
            format!("{who} lacks rights that hooks need"),
            "give the user the rights that `fusebox redis acl` prints",
        )],
        (true, true) => vec![
            Finding::ok(format!("{who} can record and decide")),
            Finding::note(
                "hooks do not need the right to extend and reset: `fusebox redis acl` prints a user that can only record",
            ),
        ],
        (true, false) => vec![Finding::ok(format!("{who} can record, but not decide"))],
    }
}

fn memory_finding(rights: &Rights) -> Option<Finding> {
    match rights.when_full.as_deref() {
        Some(NO_EVICTION) => None,
        Some(policy) => Some(Finding::warning(
            format!("when its memory is full, the server evicts keys ({policy}), and counts are lost"),
            format!("set maxmemory-policy {NO_EVICTION} in redis.conf"),
        )),
        None => Some(Finding::note(
            "this user may not read maxmemory-policy, which decides what happens when the memory is full; run `fusebox doctor` as the operator to check it",
        )),
    }
}

/// Reports operations of this machine that the store lacks.
fn ledger_finding(survey: &Survey, store: &mut dyn Store, redis: &RedisConfig) -> Option<Finding> {
    let config = &survey.loaded.config;
    let entries = OperationLedger::new(&survey.env.state_dir()?, config).read().ok()?;
    let known = store.operations(None).ok()?;
    let missing = entries.iter().filter(|e| known.iter().all(|known| known.id != e.operation.id)).count();
    let command = operator::operator_command(config, "fusebox resync");
    (missing > 0).then(|| {
        Finding::warning(
            format!("{} of this machine missing from {}", counted(missing, "decision"), redis.url),
            format!("an operator can run in a terminal: {command}"),
        )
    })
}

fn count_findings(survey: &Survey) -> Vec<Finding> {
    let config = &survey.loaded.config;
    let mut store = StoreAccess::for_command(survey.env, config);
    let found = match verify::verify(survey.env, config, &mut store) {
        Ok(found) => found,
        Err(error) => {
            let problem = format!("counts cannot be compared: {error}");
            return vec![Finding::warning(problem, "run `fusebox doctor` again")];
        }
    };
    let Verification { sessions, left_out, undercounted, overcounted, counters } = &found;
    let mut findings = Vec::new();
    let wrong: Vec<&Difference> = undercounted.iter().chain(counters).collect();
    if let Some(said) = differences(&wrong) {
        let problem = format!("counts differ from the transcripts: {said}");
        let fix = "run `fusebox resync`; if they still differ, have an administrator delete the tenant's keys that hooks write \
                    (…:d:*), which are then refilled. If it happens again, somebody is changing them: change the hooks' password";
        findings.push(Finding::problem(problem, fix));
    }
    if let Some(said) = differences(&overcounted.iter().collect::<Vec<_>>()) {
        let warning = format!("the store counts more than the transcripts: {said}");
        let fix = "nothing to do if transcripts were deleted or a session also ran on another machine; otherwise somebody changed the store: change the hooks' password";
        findings.push(Finding::warning(warning, fix));
    }
    if findings.is_empty() {
        let rest =
            if *left_out == 0 { String::new() } else { format!("; {left_out} older sessions were not read") };
        let sessions = counted(*sessions, "session");
        findings.push(Finding::ok(format!("counts match the transcripts of {sessions}{rest}")));
    }
    // Counting has read all records.
    findings.extend(damage_finding(&store.call(|store| store.damaged_records()).unwrap_or_default()));
    findings
}

/// Reports unreadable records.
fn damage_finding(names: &BTreeSet<String>) -> Option<Finding> {
    // The names are untrusted: anybody with access may have written anything.
    let first: Vec<String> =
        names.iter().take(MAX_NAMED).map(|name| printable(name, MAX_NAME_CHARS)).collect();
    let more = if names.len() > MAX_NAMED {
        format!(", and {} more", names.len() - MAX_NAMED)
    } else {
        String::new()
    };
    let records = counted(names.len(), "record");
    let were = if names.len() == 1 { "was" } else { "were" };
    (!names.is_empty()).then(|| {
        Finding::warning(
            format!("{records} in Redis could not be read and {were} set aside: {}{more}", first.join(", ")),
            "run `fusebox resync`, which counts again from the transcripts. Look at what was set aside in the hash …:d:damaged, \
             then delete the hash. If it happens again, somebody writes there: change the hooks' password",
        )
    })
}

/// The first difference, and the number of others.
fn differences(all: &[&Difference]) -> Option<String> {
    let first = all.first()?;
    let Difference { subject, unit, stored, counted } = first;
    let more = if all.len() > 1 { format!(", and {} more", all.len() - 1) } else { String::new() };
    let (stored, counted) = (grouped(*stored), grouped(*counted));
    Some(format!("{subject}: {stored} {unit} in the store, {counted} when counted again{more}"))
}
