-- Version 3. What is known of a session besides its messages, by name. `circuit <agent>`: a breaker as JSON, with the last
-- hundred calls, 24 bytes each. `slots`: its subagents at work, as JSON.
CREATE TABLE standings (session, name, standing, calls, PRIMARY KEY (session, name)) WITHOUT ROWID;
-- call: hash of the id of the call that it is about. untold: NULL where nobody has to be told; else until when it is claimed.
CREATE TABLE events (id INTEGER PRIMARY KEY, call, at, event, untold);
