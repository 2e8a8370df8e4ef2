//! Ledgers written by tests, by the schema that the ledger has.

use std::path::Path;

use fusebox::domain::time::Timestamp;
use rusqlite::Connection;

const SCHEMA: &str = concat!(include_str!("../../../src/ledger/schema_1.sql"), "PRAGMA user_version=1;");

/// A record. Tests set what they are about.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: String,
    pub at: String,
    pub platform: &'static str,
    pub model: String,
    /// Input, output, cache writes for 5 minutes and 1 hour, cache reads.
    pub tokens: [u64; 5],
    pub nanos: u64,
    pub session: Option<String>,
    pub project: Option<String>,
    pub branch: Option<String>,
    pub agent: Option<&'static str>,
    pub agent_type: Option<&'static str>,
    pub chain: Option<&'static str>,
    pub task: Option<&'static str>,
    pub usage_estimated: bool,
    pub price_estimated: bool,
}

impl Entry {
    pub fn new(id: &str, at: &str, model: &str, tokens: [u64; 5], nanos: u64) -> Self {
        Self {
            id: id.into(),
            at: at.into(),
            platform: "claude-code",
            model: model.into(),
            tokens,
            nanos,
            session: Some("s1".into()),
            project: Some("/home/dev/src/api".into()),
            branch: Some("main".into()),
            agent: None,
            agent_type: None,
            chain: None,
            task: None,
            usage_estimated: false,
            price_estimated: false,
        }
    }
}

/// Writes a ledger.
pub fn write(file: &Path, entries: &[Entry]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut db = Connection::open(file).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    let tx = db.transaction().unwrap();
    for entry in entries {
        let at = Timestamp::parse(&entry.at).unwrap();
        let [input, output, cache_write_5m, cache_write_1h, cache_read] =
            entry.tokens.map(|n| i64::try_from(n).unwrap());
        tx.execute(
            "INSERT INTO cost_records (task_id, platform, chain_id, model, input_tokens, output_tokens, cost_usd, timestamp,
             cost_nanos, at, cache_write_5m, cache_write_1h, cache_read, requests, tool_calls, web_searches, task, session,
             project, branch, agent, agent_type, source, usage_estimated, price_estimated)
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,1,0,0,?,?,?,?,?,?,?,?,?)",
            rusqlite::params![
                entry.id,
                entry.platform,
                entry.chain,
                entry.model,
                input,
                output,
                // Reports must not read it.
                -1.0,
                entry.at,
                i64::try_from(entry.nanos).unwrap(),
                at.0,
                cache_write_5m,
                cache_write_1h,
                cache_read,
                entry.task,
                entry.session,
                entry.project,
                entry.branch,
                entry.agent,
                entry.agent_type,
                if entry.platform == "claude-code" { "response" } else { "call" },
                entry.usage_estimated,
                entry.price_estimated,
            ],
        )
        .unwrap();
    }
    tx.commit().unwrap();
}
