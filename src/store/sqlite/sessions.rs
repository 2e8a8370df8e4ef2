//! Sessions: what they are charged to, when they were seen, what they used.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::ledger::{ChargedSession, LedgerRows, MIN_TIME, WithParent};
use super::super::{ClientProcess, Result, Session, SessionRow, SessionTotal};
use super::counters::{amount, sums};
use super::messages::Tables;
use super::{from_sql, totals};
use crate::domain::counter::{Attribution, member};
use crate::domain::message::{ClientTotal, UsageSource};
use crate::domain::time::Timestamp;

/// Minimum interval between writes of `last_seen`, in milliseconds: it is only displayed, and a write costs a page.
const SEEN_INTERVAL_MS: i64 = 10_000;

const COLUMNS: &str = "s.*, (SELECT p.session FROM sessions p WHERE p.id = s.parent) AS parent_session";

/// What a row of `sessions` is charged to. Its columns are named after scopes.
fn read_attribution(row: &Row) -> rusqlite::Result<Attribution> {
    let (user, team): (String, String) = (row.get("user")?, row.get("team")?);
    Ok(Attribution {
        project: row.get("project")?,
        member: member(&team, &user),
        user,
        team,
        task_type: row.get("task_type")?,
        chain: row.get("chain")?,
    })
}

fn row(row: &Row) -> rusqlite::Result<SessionRow> {
    let client =
        match (row.get::<_, Option<u32>>("client_pid")?, row.get::<_, Option<i64>>("client_started")?) {
            (Some(pid), Some(started)) => Some(ClientProcess { pid, started: from_sql(started) }),
            _ => None,
        };
    let Attribution { project, user, team, task_type, chain, .. } = read_attribution(row)?;
    let session = Session {
        id: row.get("session")?,
        transcript: row.get::<_, Option<String>>("transcript")?.map(Into::into),
        project,
        user,
        team,
        task_type,
        chain,
        parent: row.get("parent_session")?,
        client,
    };
    Ok(SessionRow {
        session,
        last_seen: Timestamp(row.get("last_seen")?),
        ended: row.get::<_, Option<i64>>("ended")?.map(Timestamp),
        complete: row.get("complete")?,
    })
}

/// The sessions, most recently seen first.
pub fn sessions(db: &Connection) -> Result<Vec<SessionRow>> {
    let mut query =
        db.prepare(&format!("SELECT {COLUMNS} FROM sessions s ORDER BY s.last_seen DESC, s.id DESC"))?;
    let rows = query.query_map((), row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// One session.
pub fn session(db: &Connection, id: &str) -> Result<Option<SessionRow>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions s WHERE s.session = ?");
    Ok(db.query_row(&sql, [id], row).optional()?)
}

/// The session whose client is this process.
pub fn session_of_client(db: &Connection, client: ClientProcess) -> Result<Option<String>> {
    let sql = "SELECT session FROM sessions WHERE client_pid = ? AND client_started = ? ORDER BY last_seen DESC, id DESC";
    let started = super::to_sql(client.started);
    Ok(db.query_row(sql, params![client.pid, started], |r| r.get(0)).optional()?)
}

/// The total of a session.
pub fn session_total(db: &Connection, session: &str) -> Result<Option<SessionTotal>> {
    let Some(id) = session_number(db, session)? else { return Ok(None) };
    let sums = sums("m");
    let sql = format!(
        "SELECT {sums}, SUM(m.estimated) AS estimated, SUM(m.estimated AND m.source = {unseen}) AS unseen \
         FROM memberships JOIN messages m ON m.id = memberships.message WHERE memberships.session = ?",
        unseen = UsageSource::Unseen as i64
    );
    let total = db.query_row(&sql, [id], |r| {
        let count = |name| r.get::<_, Option<i64>>(name).map(|n| from_sql(n.unwrap_or(0)));
        let (estimated_messages, unseen_messages) = (count("estimated")?, count("unseen")?);
        Ok(SessionTotal { amount: amount(r)?, estimated_messages, unseen_messages, client_nano_usd: None })
    })?;
    let client_nano_usd = ClientTotal::reckoning(&totals::session_totals(db, id)?);
    Ok(Some(SessionTotal { client_nano_usd, ..total }))
}

/// The number of recorded batches of each session.
pub fn sequences(db: &Connection) -> Result<HashMap<String, u64>> {
    let mut query = db.prepare("SELECT session, sequence FROM sessions")?;
    let rows = query.query_map((), |r| Ok((r.get(0)?, from_sql(r.get(1)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The number of a session.
pub fn session_number(db: &Connection, session: &str) -> Result<Option<i64>> {
    let mut query = db.prepare_cached("SELECT id FROM sessions WHERE session = ?")?;
    Ok(query.query_row([session], |r| r.get(0)).optional()?)
}

/// The session of a batch.
pub struct BatchSession {
    /// Its number.
    pub id: i64,
    /// Batches recorded before this one.
    pub sequence: u64,
    /// Whether the session or a fork of it has a client total.
    pub settles: bool,
    /// The sessions charged for it.
    pub lineage: Vec<ChargedSession<i64>>,
}

/// Finds `session`, or inserts it. `seen`: if later than its end, the session is active again.
pub fn intern(db: &Connection, session: &Session, seen: Timestamp) -> Result<BatchSession> {
    // One statement for everything about a session: preparing another would cost as much as running it.
    let mut query = db.prepare_cached(
        "SELECT *, complete OR ended IS NOT NULL AS is_over FROM sessions WHERE session = ?",
    )?;
    let known = query
        .query_row([&session.id], |r| {
            let (id, sequence, settles) = (r.get("id")?, from_sql(r.get("sequence")?), r.get("settles")?);
            let charged = ChargedSession::new(id, session.id.clone(), read_attribution(r)?);
            let known = BatchSession { id, sequence, settles, lineage: vec![charged] };
            let last_seen: i64 = r.get("last_seen")?;
            Ok((known, last_seen, r.get::<_, bool>("is_over")?, r.get::<_, Option<i64>>("parent")?))
        })
        .optional()?;
    let Some((mut known, last_seen, ended, parent)) = known else {
        let id = insert(db, session, seen)?;
        let settles = db.query_row("SELECT settles FROM sessions WHERE id = ?", [id], |r| r.get(0))?;
        return Ok(BatchSession { id, sequence: 0, settles, lineage: Tables(db).lineage(&id)? });
    };
    if known.lineage[0].attribution.project.is_empty() && !session.project.is_empty() {
        charge(db, known.id, session)?;
        known.lineage[0].attribution.project.clone_from(&session.project);
    }
    if parent.is_some() {
        known.lineage = Tables(db).lineage(&known.id)?;
    }
    if (ended && last_seen < seen.0) || last_seen + SEEN_INTERVAL_MS < seen.0 {
        db.execute(
            "UPDATE sessions SET last_seen = MAX(last_seen, ?), ended = NULL, complete = 0 WHERE id = ?",
            params![seen.0, known.id],
        )?;
    }
    Ok(known)
}

/// Charges a session to its project, which was unknown when its files were first read. The project's counters are
/// recomputed.
fn charge(db: &Connection, id: i64, session: &Session) -> Result<()> {
    db.execute("UPDATE sessions SET project = ? WHERE id = ?", params![session.project, id])?;
    db.execute("DELETE FROM counters WHERE spec LIKE 'project %' AND value = ?", [&session.project])?;
    Ok(())
}

fn insert(db: &Connection, session: &Session, now: Timestamp) -> Result<i64> {
    let parent = match &session.parent {
        Some(parent) if *parent != session.id => Some(intern_stub(db, parent, session, now)?),
        _ => None,
    };
    db.execute(
        "INSERT INTO sessions (session, transcript, project, user, team, task_type, chain, parent, parent_since, \
         client_pid, client_started, last_seen, sequence, complete, settles) \
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,0,0, EXISTS (SELECT 1 FROM forks WHERE origin = ?1))",
        params![
            session.id,
            session.transcript.as_ref().map(|p| p.to_string_lossy().into_owned()),
            session.project,
            session.user,
            session.team,
            session.task_type,
            session.chain,
            parent,
            parent.map(|_| now.0),
            session.client.map(|c| c.pid),
            session.client.map(|c| super::to_sql(c.started)),
            now.0
        ],
    )?;
    Ok(db.last_insert_rowid())
}

/// The number of a parent. One not reported yet by any hook is charged like its child.
fn intern_stub(db: &Connection, parent: &str, child: &Session, now: Timestamp) -> Result<i64> {
    match session_number(db, parent)? {
        Some(id) => Ok(id),
        None => {
            let stub =
                Session { id: parent.into(), transcript: None, parent: None, client: None, ..child.clone() };
            insert(db, &stub, now)
        }
    }
}

/// Records that a session was seen: its client (new if the session was resumed), its transcript, its end. Its
/// attribution stays.
pub fn touch_session(db: &Connection, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
    let id = intern(db, session, now)?.id;
    db.execute(
        "UPDATE sessions SET transcript = COALESCE(?, transcript), client_pid = COALESCE(?, client_pid), \
         client_started = COALESCE(?, client_started), last_seen = MAX(last_seen, ?), ended = ?, complete = 0 \
         WHERE id = ?",
        params![
            session.transcript.as_ref().map(|p| p.to_string_lossy().into_owned()),
            session.client.map(|c| c.pid),
            session.client.map(|c| super::to_sql(c.started)),
            now.0,
            ended.then_some(now.0),
            id
        ],
    )?;
    // An old session resumed inside another one becomes its child, so it cannot evade that one's budget.
    if let Some(parent) = session.parent.as_deref().filter(|p| *p != session.id) {
        let parent = intern_stub(db, parent, session, now)?;
        db.execute(
            "UPDATE sessions SET parent = ?1, parent_since = ?2 WHERE id = ?3 AND parent IS NOT ?1",
            params![parent, now.0, id],
        )?;
    }
    Ok(())
}

/// Marks a session as completely read, unless it was seen after `seen`.
pub fn mark_complete(db: &Connection, session: &str, seen: Timestamp) -> Result<()> {
    let sql = "UPDATE sessions SET complete = 1 WHERE session = ? AND last_seen <= ?";
    db.execute(sql, params![session, seen.0])?;
    Ok(())
}

/// What a session is charged to.
pub fn attribution(db: &Connection, id: i64) -> Result<Attribution> {
    let mut query = db.prepare_cached("SELECT * FROM sessions WHERE id = ?")?;
    Ok(query.query_row([id], read_attribution)?)
}

/// A session, and its parent.
pub fn charged_session(db: &Connection, id: i64) -> Result<WithParent<i64>> {
    let mut query = db.prepare_cached("SELECT * FROM sessions WHERE id = ?")?;
    Ok(query.query_row([id], |r| {
        let charged = ChargedSession::new(id, r.get("session")?, read_attribution(r)?);
        let since = r.get::<_, Option<i64>>("parent_since")?.map_or(MIN_TIME, Timestamp);
        Ok((charged, r.get::<_, Option<i64>>("parent")?.map(|parent| (parent, since))))
    })?)
}

/// Counts a batch of a session. Returns its number.
pub fn next_sequence(db: &Connection, session: &BatchSession) -> Result<u64> {
    // The number was read in this transaction; RETURNING it would cost twice as much.
    let sequence = session.sequence + 1;
    let mut count = db.prepare_cached("UPDATE sessions SET sequence = ? WHERE id = ?")?;
    count.execute(params![super::to_sql(sequence), session.id])?;
    Ok(sequence)
}
