-- Version 3. State of a session besides its messages, by name. `circuit <agent>`: a breaker as JSON, with the last
-- hundred calls of 24 bytes each. `slots`: its active subagents, as JSON.
CREATE TABLE standings (session, name, standing, calls, PRIMARY KEY (session, name)) WITHOUT ROWID;
-- call: hash of the id of the call that the event is about. untold: NULL if it need not be reported, else the end of
-- its claim.
CREATE TABLE events (id INTEGER PRIMARY KEY, call, at, event, untold);
