-- Version 9. chain: empty for older sessions, and those inserted by an older executable.
ALTER TABLE sessions ADD COLUMN chain DEFAULT '';
-- Reserved and recorded calls of platforms. slot: a hash of platform and key. open: 1 until it has ended, else NULL.
-- reservation: the whole record, as JSON. Not read again from transcripts, which do not have them.
CREATE TABLE reservations (slot PRIMARY KEY, at, open, reservation) WITHOUT ROWID;
CREATE INDEX reservations_open ON reservations(open, at);
