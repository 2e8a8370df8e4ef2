-- Version 4. standings: id is a hash of session and name, so that one is found without an index, and changed in place. calls:
-- a ring of the last hundred, and before it which one is the oldest. The rows are taken over by the program, which knows the
-- hashes.
ALTER TABLE standings RENAME TO standings_of_3;
CREATE TABLE standings (id INTEGER PRIMARY KEY, session, name, standing, calls);
