//! Records a batch: merges messages with the stored ones, and changes counters by the difference.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use serde::{Deserialize, Serialize};

use super::super::counts::{CLASSES, CounterDelta};
use super::super::ledger::{ChargedSession, Ledger, LedgerRows, StoredMessage, WithParent};
use super::super::{Applied, Batch, BatchSequence, BudgetKey, Result, StoreError, agent_states};
use super::agent_state_rows::SqliteAgentStates;
use super::counters;
use super::{alerts, events, meta, metrics, operations, sessions, totals};
use crate::domain::message::{ClientTotal, Message, MessageKey, UsageSource};
use crate::domain::money::{Rates, Terms};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};

/// One atomic step: records the facts, updates the counters, raises the alerts, and returns the watched budgets.
pub fn apply(db: &Connection, batch: &Batch) -> Result<Applied> {
    let meta = meta::read(db)?;
    let observation = batch.observation.as_ref();
    let meter = observation.and_then(|seen| seen.slots.as_ref()).map(|slots| &slots.meter);
    let budgets: Vec<&BudgetKey> = batch.budgets.iter().chain(meter).collect();
    let families =
        counters::register_families(db, &meta, budgets.iter().flat_map(|key| key.budget.counters()))?;
    let mut session = sessions::intern(db, batch.session, batch.seen)?;
    let before = operations::watched_budgets(db, &budgets, batch.now, &meta)?;
    let (mut tables, lineage) = (Tables(db), std::mem::take(&mut session.lineage));
    let mut ledger =
        Ledger::new(&mut tables, &families, batch.prices, (meta.installed, batch.now), session.id, lineage);
    ledger.record(batch.facts, session.settles)?;
    let changes = ledger.into_changes();
    counters::write(db, &changes)?;
    metrics::add(db, &changes.metrics)?;
    let mut states: Vec<_> = before.iter().map(|s| s.after(&changes)).collect();
    if batch.alert {
        for (watched, state) in before.iter().zip(&states) {
            alerts::raise(db, watched, state, batch.now)?;
        }
    }
    let raised = before.iter().zip(&states).any(|(b, s)| !s.crossed(b.before.used).is_empty());
    let alerts = if batch.claim && (meta.has_unshown_alerts || raised) {
        alerts::claim(db, &states, batch.now)?
    } else {
        Vec::new()
    };
    // The last one is not a budget: it only measures the session's tokens.
    let used = meter.and_then(|_| states.pop()).map_or(0, |state| state.used.saturating_sub(state.history));
    let mut agent_states = SqliteAgentStates { db, number: session.id, id: &batch.session.id };
    let (mut circuit, mut slot_denied, mut is_news) = (None, None, meta.has_untold_events);
    if let Some(seen) = observation {
        let (breaker, news) = agent_states::observe(&mut agent_states, seen, batch.now)?;
        (circuit, is_news) = (breaker, is_news || news);
        if let Some(slots) = &seen.slots {
            let (denied, news) = agent_states::throttle(&mut agent_states, slots, used, batch.now)?;
            (slot_denied, is_news) = (denied, is_news || news);
        }
    }
    let mut events = Vec::new();
    if let Some(seen) = observation.filter(|_| batch.claim && is_news) {
        events = events::claim(db, &batch.session.id, seen.agent, batch.now)?;
    }
    let sequence = sessions::next_sequence(db, &session)?;
    // On a single machine, all batches are its own.
    let (store_id, batch_sequence) = (meta.store_id, BatchSequence::new(String::new(), sequence));
    Ok(Applied { states, alerts, events, circuit, slot_denied, store_id, sequence, batch_sequence })
}

/// The tables of messages and sessions, as rows of the ledger.
pub struct Tables<'a>(pub &'a Connection);

impl LedgerRows for Tables<'_> {
    type Session = i64;
    type Message = i64;

    fn find_message(
        &mut self,
        key: &MessageKey,
        lineage: &[ChargedSession<i64>],
    ) -> Result<Option<StoredMessage<Self>>> {
        let sql = format!("SELECT {COLUMNS}, id, home FROM messages WHERE key = ?");
        let mut query = self.0.prepare_cached(&sql)?;
        let found = query.query_row([&key.0[..]], |r| Ok((row(r), r.get("id")?, r.get("home")?)));
        let Some((message, id, first)) = found.optional()? else { return Ok(None) };
        let mut query = self.0.prepare_cached(
            "SELECT s.session FROM memberships m JOIN sessions s ON s.id = m.session WHERE m.message = ?",
        )?;
        let sessions = query.query_map([id], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
        let attribution = match lineage.iter().find(|charged| charged.key == first) {
            Some(charged) => charged.attribution.clone(),
            None => sessions::attribution(self.0, first)?,
        };
        Ok(Some(StoredMessage { key: id, attribution, message: message?, sessions }))
    }

    fn insert_message(&mut self, message: &Message, session: &i64) -> Result<i64> {
        let classes = CLASSES.join(", ");
        let values = CLASSES.map(|class| format!(":{class}")).join(", ");
        let sql = format!(
            "INSERT INTO messages \
             (key, source, home, model, agent, agent_type, at, estimated, tools, rates, detail, {classes}) VALUES \
             (:key, :source, :home, :model, :agent, :agent_type, :at, :estimated, :tools, :rates, :detail, {values})"
        );
        let counts = CounterDelta::from_amount(&message.amount());
        self.0.prepare_cached(&sql)?.execute(named_params! {
            ":key": &message.key.0[..],
            ":source": message.source as i64,
            ":home": session,
            ":model": message.model,
            ":agent": message.agent,
            ":agent_type": message.agent_type,
            ":at": message.at.0,
            ":estimated": message.is_estimated(),
            ":tools": tools_to_blob(&message.tools),
            ":rates": message.rates.map(rates_to_blob),
            ":detail": MessageDetail::encode(message)?,
            ":input": counts.input,
            ":output": counts.output,
            ":cache_write_5m": counts.cache_write_5m,
            ":cache_write_1h": counts.cache_write_1h,
            ":cache_read": counts.cache_read,
            ":requests": counts.requests,
            ":tool_calls": counts.tool_calls,
            ":nano_usd": counts.nano_usd,
            ":nano_usd_estimated": counts.nano_usd_estimated,
        })?;
        Ok(self.0.last_insert_rowid())
    }

    fn update_message(&mut self, id: &i64, message: &Message) -> Result<()> {
        let set = CLASSES.map(|class| format!("{class}=:{class}")).join(", ");
        let sql = format!(
            "UPDATE messages SET {set}, model=:model, agent=:agent, agent_type=:agent_type, at=:at, \
             estimated=:estimated, tools=:tools, rates=:rates, detail=:detail WHERE id=:id"
        );
        let counts = CounterDelta::from_amount(&message.amount());
        self.0.prepare_cached(&sql)?.execute(named_params! {
            ":input": counts.input,
            ":output": counts.output,
            ":cache_write_5m": counts.cache_write_5m,
            ":cache_write_1h": counts.cache_write_1h,
            ":cache_read": counts.cache_read,
            ":requests": counts.requests,
            ":tool_calls": counts.tool_calls,
            ":nano_usd": counts.nano_usd,
            ":nano_usd_estimated": counts.nano_usd_estimated,
            ":model": message.model,
            ":agent": message.agent,
            ":agent_type": message.agent_type,
            ":at": message.at.0,
            ":estimated": message.is_estimated(),
            ":tools": tools_to_blob(&message.tools),
            ":rates": message.rates.map(rates_to_blob),
            ":detail": MessageDetail::encode(message)?,
            ":id": id,
        })?;
        Ok(())
    }

    fn attach(&mut self, id: &i64, _: &Message, charged: &i64, own: bool) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO memberships (message, session, own) VALUES (?, ?, ?)";
        self.0.prepare_cached(sql)?.execute(params![id, charged, own])?;
        Ok(())
    }

    fn charged_session(&mut self, session: &i64) -> Result<WithParent<i64>> {
        sessions::charged_session(self.0, *session)
    }

    fn note_origin(&mut self, session: &i64, origin: &str) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO forks (session, origin) VALUES (?, ?)";
        self.0.execute(sql, params![session, origin])?;
        self.0.execute("UPDATE sessions SET settles = 1 WHERE session = ?", [origin])?;
        Ok(())
    }

    fn note_total(&mut self, session: &i64, total: &ClientTotal) -> Result<()> {
        totals::note(self.0, *session, total)
    }

    fn totals(&mut self, session: &i64) -> Result<Vec<ClientTotal>> {
        totals::session_totals(self.0, *session)
    }

    fn own_messages(&mut self, session: &i64) -> Result<Vec<Message>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE id IN (SELECT message FROM memberships WHERE session = ? AND own = 1)"
        );
        let mut query = self.0.prepare_cached(&sql)?;
        let rows = query.query_map([session], |r| Ok(row(r)))?;
        rows.map(|message| message?).collect()
    }

    fn forks_of(&mut self, session: &i64) -> Result<Vec<i64>> {
        let mut query = self.0.prepare_cached(
            "SELECT session FROM forks WHERE origin = (SELECT session FROM sessions WHERE id = ?1) AND session <> ?1",
        )?;
        let rows = query.query_map([session], |r| r.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn origins_of(&mut self, session: &i64) -> Result<Vec<i64>> {
        let mut query = self.0.prepare_cached(
            "SELECT s.id FROM forks f JOIN sessions s ON s.session = f.origin WHERE f.session = ?1 AND s.id <> ?1",
        )?;
        let rows = query.query_map([session], |r| r.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn settling_holders(&mut self, message: &i64, session: &i64) -> Result<Vec<i64>> {
        let mut query = self.0.prepare_cached(
            "SELECT session FROM memberships m WHERE message = ? AND own = 1 AND session <> ? \
             AND EXISTS (SELECT 1 FROM client_totals t WHERE t.session = m.session)",
        )?;
        let rows = query.query_map([message, session], |r| r.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// The columns that [`row`] reads by name.
pub const COLUMNS: &str = "input, output, cache_write_5m, cache_write_1h, cache_read, requests, tool_calls, nano_usd, \
     nano_usd_estimated, key, source, model, agent, agent_type, at, tools, rates, detail";

/// Reads a stored message.
pub fn row(row: &Row) -> Result<Message> {
    let amount: Amount = counters::amount(row)?;
    let key: [u8; 16] = row.get("key")?;
    let source = match row.get::<_, i64>("source")? {
        0 => UsageSource::Response,
        1 => UsageSource::Compaction,
        2 => UsageSource::Unlisted,
        3 => UsageSource::Part,
        _ => UsageSource::Unseen,
    };
    let mut message = Message::new(MessageKey(key), source, Timestamp(row.get("at")?));
    message.model = row.get("model")?;
    message.agent = row.get("agent")?;
    message.agent_type = row.get("agent_type")?;
    message.tools = tools_from_blob(&row.get::<_, Vec<u8>>("tools")?);
    message.rates = row.get::<_, Option<Vec<u8>>>("rates")?.as_deref().and_then(rates_from_blob);
    message.recorded = amount.usage;
    message.stopped = true;
    match row.get::<_, Option<String>>("detail")? {
        None => Ok(message),
        Some(detail) => MessageDetail::decode(&detail).map(|detail| detail.apply_to(message)),
    }
}

/// Data without a column, stored for messages that may still change other than by growing.
#[derive(Serialize, Deserialize)]
struct MessageDetail {
    recorded: Usage,
    stopped: bool,
    error_followed: bool,
    #[serde(default)]
    superseded: bool,
    #[serde(default)]
    held: bool,
    settled: BTreeSet<u64>,
    exact: Vec<(u64, Usage)>,
    share: Vec<(u64, Usage)>,
    visible: Vec<(u64, u64)>,
    #[serde(default)]
    signed: Vec<(u64, u64)>,
    #[serde(default)]
    web_searches: u64,
    #[serde(default)]
    terms: Terms,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked_model: Option<String>,
}

/// SQL for a held message.
pub const HELD: &str = " AND m.detail LIKE '%\"held\":true%'";

impl MessageDetail {
    fn encode(message: &Message) -> Result<Option<String>> {
        let plain = message.stopped
            && !message.error_followed
            && !message.superseded
            && !message.held
            && message.settled.is_empty()
            && message.visible.is_empty()
            && message.signed.is_empty()
            && message.web_searches == 0
            && message.terms == Terms::default()
            && message.asked_model.is_none();
        if plain && matches!(message.source, UsageSource::Response | UsageSource::Part) {
            return Ok(None);
        }
        let detail = Self {
            recorded: message.recorded,
            stopped: message.stopped,
            error_followed: message.error_followed,
            superseded: message.superseded,
            held: message.held,
            settled: message.settled.clone(),
            exact: message.exact.iter().map(|(session, usage)| (*session, *usage)).collect(),
            share: message.share.iter().map(|(session, usage)| (*session, *usage)).collect(),
            visible: message.visible.iter().map(|(line, chars)| (*line, *chars)).collect(),
            signed: message.signed.iter().map(|(line, chars)| (*line, *chars)).collect(),
            web_searches: message.web_searches,
            terms: message.terms,
            asked_model: message.asked_model.clone(),
        };
        serde_json::to_string(&detail).map(Some).map_err(|e| StoreError::Damaged(e.to_string()))
    }

    fn decode(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("messages.detail: {e}")))
    }

    fn apply_to(self, message: Message) -> Message {
        Message {
            recorded: self.recorded,
            stopped: self.stopped,
            error_followed: self.error_followed,
            superseded: self.superseded,
            held: self.held,
            settled: self.settled,
            exact: self.exact.into_iter().collect(),
            share: self.share.into_iter().collect(),
            visible: self.visible.into_iter().collect(),
            signed: self.signed.into_iter().collect(),
            web_searches: self.web_searches,
            terms: self.terms,
            asked_model: self.asked_model,
            ..message
        }
    }
}

/// The rates, little-endian, in the order of their fields.
fn rates_to_blob(rates: Rates) -> Vec<u8> {
    let Rates { input, output, cache_write_5m, cache_write_1h, cache_read, web_search, is_estimate } = rates;
    [input, output, cache_write_5m, cache_write_1h, cache_read, web_search, u64::from(is_estimate)]
        .iter()
        .flat_map(|rate| rate.to_le_bytes())
        .collect()
}

/// Rates as written by [`rates_to_blob`].
fn rates_from_blob(blob: &[u8]) -> Option<Rates> {
    let (numbers, _) = blob.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let [input, output, cache_write_5m, cache_write_1h, cache_read, web_search, is_estimate] = numbers[..]
    else {
        return None;
    };
    let is_estimate = is_estimate == 1;
    Some(Rates { input, output, cache_write_5m, cache_write_1h, cache_read, web_search, is_estimate })
}

fn tools_to_blob(tools: &BTreeSet<u64>) -> Vec<u8> {
    tools.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn tools_from_blob(blob: &[u8]) -> BTreeSet<u64> {
    blob.chunks_exact(8).map(|c| c.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))).collect()
}
