-- Version 1. Times are milliseconds since 1970, UTC.
--
-- Every hook parses this schema, which took a quarter of its time. So columns have no types or constraints that the
-- code does not need, only tables that grow have indexes, and comments are between the statements, not in them.
CREATE TABLE meta (name PRIMARY KEY, value) WITHOUT ROWID;
-- parent_since: messages from then on are charged to the parent as well. settles: the session or a fork of it has a
-- total. sequence: batches recorded.
CREATE TABLE sessions (id INTEGER PRIMARY KEY, session UNIQUE, transcript, project, user, task_type, parent, parent_since,
  client_pid, client_started, settles, sequence, last_seen, ended, complete);
-- One model response. The columns hold the charge. detail: data to merge a message that may still change other than by
-- growing (cut streams, compactions), else NULL. home: the session that it was first read for.
CREATE TABLE messages (id INTEGER PRIMARY KEY, key UNIQUE, source, home, model, agent, agent_type, at, input, output,
  cache_write_5m, cache_write_1h, cache_read, requests, tool_calls, estimated, tools, detail);
CREATE INDEX messages_at ON messages(at);
-- The sessions that a message counts in. own = 1 if it is in the session's files, 0 if it came through a child.
CREATE TABLE memberships (message, session, own, PRIMARY KEY (message, session)) WITHOUT ROWID;
CREATE INDEX memberships_session ON memberships(session, message);
-- The client's own totals. usage: five counts by class.
CREATE TABLE client_totals (session, run, model, usage, at, until, PRIMARY KEY (session, run, model, usage)) WITHOUT ROWID;
-- A session whose files contain lines copied from another one.
CREATE TABLE forks (session, origin, PRIMARY KEY (session, origin)) WITHOUT ROWID;
-- Cached sums over messages; a missing row is computed on demand. spec: the counter family, such as `session
-- lifetime@UTC`; meta lists all families. amount: seven counts, in the order of the columns of messages.
CREATE TABLE counters (spec, value, start, since, amount, PRIMARY KEY (spec, value, start, since)) WITHOUT ROWID;
CREATE TABLE operations (seq INTEGER PRIMARY KEY, id UNIQUE, budget, value, window_start, operation);
-- in_force: the limit that the threshold refers to. since: the reset that the count starts from.
CREATE TABLE alerts (id INTEGER PRIMARY KEY, budget, value, window_start, threshold, in_force, since, alert, claimed_until,
  shown, UNIQUE (budget, value, window_start, threshold, in_force, since));
INSERT INTO meta (name, value) VALUES ('epoch', lower(hex(randomblob(8))));
