-- Version 5. team: empty where a session has none, as all have that were noted before; and those that an executable of an
-- earlier version notes beside this one, which does not know the column.
ALTER TABLE sessions ADD COLUMN team DEFAULT '';
