-- Version 1. Times are milliseconds since 1970, UTC.
--
-- Every hook parses this schema anew, which was a quarter of its work: so columns have no types and no constraints that
-- the code does not need, indexes stand only where tables grow, and comments stand between the statements, not in them.
CREATE TABLE meta (name PRIMARY KEY, value) WITHOUT ROWID;
-- parent_since: messages dated from then on are charged to the parent too. settles: there is a total of this session,
-- or a fork of it. sequence: batches recorded.
CREATE TABLE sessions (id INTEGER PRIMARY KEY, session UNIQUE, transcript, project, user, task_type, parent, parent_since,
  client_pid, client_started, settles, sequence, last_seen, ended, complete);
-- One model response. The columns hold what is charged; detail what is needed to merge a message that may still change
-- in other ways than growing (cut streams, compactions), NULL for all others. home: the session that first brought it.
CREATE TABLE messages (id INTEGER PRIMARY KEY, key UNIQUE, source, home, model, agent, agent_type, at, input, output,
  cache_write_5m, cache_write_1h, cache_read, requests, tool_calls, estimated, tools, detail);
CREATE INDEX messages_at ON messages(at);
-- In which sessions a message counts: own = 1 where it stands in the session's files, 0 where a child brought it.
CREATE TABLE memberships (message, session, own, PRIMARY KEY (message, session)) WITHOUT ROWID;
CREATE INDEX memberships_session ON memberships(session, message);
-- The clients' own totals; usage: five counts, by class.
CREATE TABLE client_totals (session, run, model, usage, at, until, PRIMARY KEY (session, run, model, usage)) WITHOUT ROWID;
-- A session whose files hold lines that were copied from another one.
CREATE TABLE forks (session, origin, PRIMARY KEY (session, origin)) WITHOUT ROWID;
-- spec: the family of counters, such as `session lifetime@UTC`; all of them stand in meta. Sums over messages, kept so that nobody has to add them up. A missing row is added up when it is asked for. amount:
-- seven counts, in the order of the columns of messages.
CREATE TABLE counters (spec, value, start, since, amount, PRIMARY KEY (spec, value, start, since)) WITHOUT ROWID;
CREATE TABLE operations (seq INTEGER PRIMARY KEY, id UNIQUE, budget, value, window_start, operation);
-- in_force: the limit that the threshold is a fraction of. since: the reset that the count began with.
CREATE TABLE alerts (id INTEGER PRIMARY KEY, budget, value, window_start, threshold, in_force, since, alert, claimed_until,
  shown, UNIQUE (budget, value, window_start, threshold, in_force, since));
INSERT INTO meta (name, value) VALUES ('epoch', lower(hex(randomblob(8))));
