-- Version 1. Times are milliseconds since 1970, UTC.
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  session TEXT NOT NULL UNIQUE,
  transcript TEXT,
  project TEXT NOT NULL,
  user TEXT NOT NULL,
  task_type TEXT NOT NULL,
  parent INTEGER REFERENCES sessions(id),
  parent_since INTEGER, -- messages dated from here on are charged to the parent too
  client_pid INTEGER,
  client_started INTEGER,
  sequence INTEGER NOT NULL DEFAULT 0, -- batches recorded
  last_seen INTEGER NOT NULL,
  ended INTEGER,
  complete INTEGER NOT NULL DEFAULT 0
);
-- One model response. The columns hold what is charged; `detail` what is needed to merge a message that may still
-- change in other ways than growing (cut streams, compactions), NULL for all others.
CREATE TABLE messages (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,
  source INTEGER NOT NULL,
  home INTEGER NOT NULL REFERENCES sessions(id),
  model TEXT NOT NULL,
  agent TEXT,
  agent_type TEXT NOT NULL,
  at INTEGER NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  tools BLOB NOT NULL,
  detail TEXT
);
CREATE INDEX messages_at ON messages(at);
-- In which sessions a message counts: own = 1 where it stands in the session's files, 0 where a child brought it.
CREATE TABLE memberships (
  message INTEGER NOT NULL,
  session INTEGER NOT NULL,
  own INTEGER NOT NULL,
  PRIMARY KEY (message, session)
) WITHOUT ROWID;
CREATE INDEX memberships_session ON memberships(session, message);
CREATE TABLE client_totals (
  session INTEGER NOT NULL,
  run INTEGER NOT NULL,
  model TEXT NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  at INTEGER NOT NULL,
  until INTEGER,
  PRIMARY KEY (session, run, model, input, output, cache_write_5m, cache_write_1h, cache_read)
) WITHOUT ROWID;
-- A session whose files hold lines that were copied from another one.
CREATE TABLE forks (session INTEGER NOT NULL, origin TEXT NOT NULL, PRIMARY KEY (session, origin)) WITHOUT ROWID;
CREATE TABLE specs (id INTEGER PRIMARY KEY, scope TEXT NOT NULL, rule TEXT NOT NULL, UNIQUE (scope, rule));
-- Sums over messages, kept so that nobody has to add them up. A missing row is added up when it is asked for.
CREATE TABLE counters (
  spec INTEGER NOT NULL,
  value TEXT NOT NULL,
  start INTEGER NOT NULL,
  since INTEGER NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  PRIMARY KEY (spec, value, start, since)
) WITHOUT ROWID;
CREATE TABLE operations (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  budget TEXT NOT NULL,
  value TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  operation TEXT NOT NULL
);
CREATE INDEX operations_of ON operations(budget, value, window_start);
CREATE TABLE alerts (
  id INTEGER PRIMARY KEY,
  budget TEXT NOT NULL,
  value TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  threshold INTEGER NOT NULL,
  in_force INTEGER NOT NULL, -- the limit that it is a fraction of
  since INTEGER NOT NULL,    -- the reset that the count began with
  alert TEXT NOT NULL,
  claimed_until INTEGER NOT NULL DEFAULT 0,
  shown INTEGER NOT NULL DEFAULT 0,
  UNIQUE (budget, value, window_start, threshold, in_force, since)
);
CREATE INDEX alerts_unshown ON alerts(budget, value, window_start) WHERE shown = 0;
-- Tells this database from one that took its place: who read transcripts for another one reads them again.
INSERT INTO meta (name, value) VALUES ('epoch', lower(hex(randomblob(8))));
