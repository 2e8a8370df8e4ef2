-- Version 5. team: empty if a session has none. This includes older sessions, and those inserted by an older
-- executable, which does not know the column.
ALTER TABLE sessions ADD COLUMN team DEFAULT '';
