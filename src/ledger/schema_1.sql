-- One record per message of a transcript (task_id: the message's key in hexadecimal digits), and per recorded call
-- (task_id: the task). Times are UTC. cost_usd is cost_nanos in dollars; timestamp is at (milliseconds) as text.
-- rates: what it was first charged with. tools, detail: what later lines of the same message are merged with.
CREATE TABLE cost_records (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  task_id TEXT NOT NULL,
  platform TEXT NOT NULL,
  chain_id TEXT,
  model TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_usd REAL NOT NULL,
  timestamp TEXT NOT NULL,
  cost_nanos INTEGER NOT NULL,
  at INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL DEFAULT 0,
  cache_write_1h INTEGER NOT NULL DEFAULT 0,
  cache_read INTEGER NOT NULL DEFAULT 0,
  requests INTEGER NOT NULL DEFAULT 1,
  tool_calls INTEGER NOT NULL DEFAULT 0,
  web_searches INTEGER NOT NULL DEFAULT 0,
  task TEXT,
  session TEXT,
  project TEXT,
  branch TEXT,
  agent TEXT,
  agent_type TEXT,
  source TEXT NOT NULL,
  usage_estimated INTEGER NOT NULL DEFAULT 0,
  price_estimated INTEGER NOT NULL DEFAULT 0,
  rates INTEGER,
  tools BLOB,
  detail TEXT,
  UNIQUE (task_id)
);
CREATE INDEX idx_chain ON cost_records (chain_id);
CREATE INDEX idx_platform ON cost_records (platform);
CREATE INDEX idx_timestamp ON cost_records (timestamp);
CREATE INDEX idx_session ON cost_records (session);
CREATE INDEX idx_task ON cost_records (task) WHERE task IS NOT NULL;

-- Picodollars per token, nano-dollars per web search.
CREATE TABLE rates (
  id INTEGER PRIMARY KEY,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  web_search INTEGER NOT NULL,
  is_estimate INTEGER NOT NULL
);

-- Messages without a record. kind 0: copies of a later line of a message, known by key only. kind 1: messages that
-- charge nothing (message: JSON). kind 2: purged messages, kept so that they do not come back (JSON, without a place).
CREATE TABLE unlisted_messages (
  key BLOB PRIMARY KEY,
  kind INTEGER NOT NULL,
  session INTEGER,
  message TEXT,
  rates INTEGER
) WITHOUT ROWID;
CREATE INDEX idx_unlisted_session ON unlisted_messages (session) WHERE session IS NOT NULL;

-- Sessions. born: when the first file was made (milliseconds). totals: the client's own totals (JSON).
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  session TEXT NOT NULL UNIQUE,
  born INTEGER NOT NULL,
  totals TEXT
);

-- Sessions that a message is also in, beside its record's session.
CREATE TABLE memberships (session INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (session, key)) WITHOUT ROWID;
CREATE INDEX idx_membership_key ON memberships (key);

-- Sessions that were forked from another one (ids).
CREATE TABLE forks (session TEXT NOT NULL, origin TEXT NOT NULL, PRIMARY KEY (session, origin)) WITHOUT ROWID;

-- The files (path: a hash), as they were when they were read to their end (0: not read to the end), and how far each was
-- read (JSON).
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  path BLOB NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  changed_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL
);
CREATE TABLE positions (file INTEGER PRIMARY KEY, position TEXT NOT NULL);
