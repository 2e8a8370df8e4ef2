-- Version 3. What is known of an agent besides its messages. breaker: JSON; calls: the last hundred, 24 bytes each.
CREATE TABLE circuits (session, agent, breaker, calls, PRIMARY KEY (session, agent)) WITHOUT ROWID;
-- Subagents at work, as JSON.
CREATE TABLE slots (session PRIMARY KEY, slots) WITHOUT ROWID;
-- call: hash of the id of the call that it is about. shown: 0 where somebody is still to be told.
CREATE TABLE events (id INTEGER PRIMARY KEY, session, agent, call, event, at, claimed_until, shown);
