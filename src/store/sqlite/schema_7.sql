-- Version 7. Messages have prices. rates: what a token of each class costs, from when the message was first recorded.
-- client_totals.nano_usd: what the client reckons.
-- So messages are read again from the transcripts, as in version 6.
ALTER TABLE messages ADD COLUMN nano_usd;
ALTER TABLE messages ADD COLUMN nano_usd_estimated;
ALTER TABLE messages ADD COLUMN rates;
ALTER TABLE client_totals ADD COLUMN nano_usd;
INSERT OR IGNORE INTO meta (name, value) SELECT 'rebuilding', 1 WHERE EXISTS (SELECT 1 FROM messages);
UPDATE meta SET value = lower(hex(randomblob(8))) WHERE name = 'epoch';
UPDATE sessions SET settles = 0, complete = 0;
DELETE FROM messages;
DELETE FROM memberships;
DELETE FROM client_totals;
DELETE FROM forks;
DELETE FROM counters;
