-- Version 8. Totals for monitoring, which never go down. name: kind and label, such as `usage claude-haiku-4-5`. totals:
-- the sums, then the largest value that each had. The program counts the messages that are there. A later version that
-- deletes messages, to read them again, must set the sums to 0, and keep the largest values.
CREATE TABLE metrics (name PRIMARY KEY, totals) WITHOUT ROWID;
