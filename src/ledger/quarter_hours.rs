//! Sums by quarter of an hour, which reports read instead of the records: days of all time zones consist of whole ones.
//! Every step that changes records of messages also sums them again, so that both always agree.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::calls::CALL;
use super::entry::{self, Entry};
use super::save::to_sql;
use crate::domain::money::NANOS_PER_USD;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::Result;

/// The first version of the schema that has them.
pub const VERSION: usize = 2;

/// The type of a record's agent, as reports name it: `main` for the session's own agent, `subagent` for one without a type.
/// Recorded calls have none.
pub const AGENT_TYPE: &str = "COALESCE(NULLIF(agent_type, ''), CASE WHEN source = 'call' THEN NULL \
     WHEN COALESCE(agent, '') IN ('', 'main') THEN 'main' ELSE 'subagent' END)";

const QUARTER_MS: i64 = 15 * 60 * 1000;

/// Sums the records of all messages.
pub fn rebuild(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM quarter_hours", ())?;
    let insert = format!(
        "INSERT INTO quarter_hours SELECT session, model, project, branch, {AGENT_TYPE} AS type, MIN(at), MAX(at), COUNT(*), \
         SUM(input_tokens), SUM(output_tokens), SUM(cache_write_5m), SUM(cache_write_1h), SUM(cache_read), SUM(requests), \
         SUM(cost_nanos / {NANOS_PER_USD}), SUM(cost_nanos % {NANOS_PER_USD}), MAX(usage_estimated), MAX(price_estimated) \
         FROM cost_records WHERE source <> '{CALL}' GROUP BY session, at / {QUARTER_MS}, model, project, branch, type"
    );
    db.execute(&insert, ())?;
    Ok(())
}

/// Quarter, model, project, branch, and type of agent.
type Key<'e> = (i64, &'e str, Option<&'e str>, Option<&'e str>, &'e str);

struct Sum {
    first: Timestamp,
    last: Timestamp,
    records: u64,
    usage: Usage,
    requests: u64,
    dollars: u64,
    nanos: u64,
    usage_estimated: bool,
    price_estimated: bool,
}

/// Replaces the sums of a session. `entries`: all its messages.
pub fn replace<'e>(db: &Connection, session: &str, entries: impl Iterator<Item = &'e Entry>) -> Result<()> {
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    for entry in entries.filter(|entry| entry.is_listed()) {
        let sum = sums.entry(key(entry)).or_insert_with(|| Sum::new(entry.message.at));
        sum.add(entry);
    }
    db.prepare_cached("DELETE FROM quarter_hours WHERE session = ?")?.execute([session])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO quarter_hours VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for ((_, model, project, branch, agent_type), sum) in sums {
        let usage = sum.usage;
        insert.execute(params![
            session,
            model,
            project,
            branch,
            agent_type,
            sum.first.0,
            sum.last.0,
            to_sql(sum.records),
            to_sql(usage.input),
            to_sql(usage.output),
            to_sql(usage.cache_write_5m),
            to_sql(usage.cache_write_1h),
            to_sql(usage.cache_read),
            to_sql(sum.requests),
            to_sql(sum.dollars),
            to_sql(sum.nanos),
            sum.usage_estimated,
            sum.price_estimated,
        ])?;
    }
    Ok(())
}

fn key(entry: &Entry) -> Key<'_> {
    let (message, place) = (&entry.message, entry.place.as_deref());
    let agent_type = match (&*message.agent_type, message.agent.as_deref()) {
        ("", None | Some("" | "main")) => "main",
        ("", _) => "subagent",
        (agent_type, _) => agent_type,
    };
    (
        message.at.0 / QUARTER_MS,
        entry::model_name(message),
        place.map(|place| &*place.project),
        place.and_then(|place| place.branch()),
        agent_type,
    )
}

impl Sum {
    fn new(at: Timestamp) -> Self {
        Self {
            first: at,
            last: at,
            records: 0,
            usage: Usage::default(),
            requests: 0,
            dollars: 0,
            nanos: 0,
            usage_estimated: false,
            price_estimated: false,
        }
    }

    fn add(&mut self, entry: &Entry) {
        let (message, amount) = (&entry.message, entry.message.amount());
        self.first = self.first.min(message.at);
        self.last = self.last.max(message.at);
        self.records += 1;
        self.usage = self.usage.plus(amount.usage);
        self.requests += amount.requests;
        self.dollars += amount.nano_usd / NANOS_PER_USD;
        self.nanos += amount.nano_usd % NANOS_PER_USD;
        self.usage_estimated |= message.is_estimated();
        self.price_estimated |= message.rates.is_some_and(|rates| rates.is_estimate);
    }
}
