-- Version 9. chain: empty for older sessions, and those inserted by an older executable.
ALTER TABLE sessions ADD COLUMN chain DEFAULT '';
-- Reserved and recorded calls of platforms. key: the caller's name for a request. open: 1 until it has ended, else NULL.
-- reservation: the whole record, as JSON. Not read again from transcripts, which do not have them.
CREATE TABLE reservations (id PRIMARY KEY, platform, key, at, open, reservation, UNIQUE (platform, key)) WITHOUT ROWID;
CREATE INDEX reservations_at ON reservations(at);
CREATE INDEX reservations_open ON reservations(open) WHERE open;
