-- Version 4. standings: id is a hash of session and name, so that a row is found without an index and updated in place.
-- calls: the position of the oldest call and a ring of the last hundred. The program migrates the rows, because it
-- computes the hashes.
ALTER TABLE standings RENAME TO standings_of_3;
CREATE TABLE standings (id INTEGER PRIMARY KEY, session, name, standing, calls);
