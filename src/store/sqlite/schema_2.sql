-- Version 2. acknowledged: by whom, when and why, as JSON; NULL if not acknowledged.
ALTER TABLE alerts ADD COLUMN acknowledged;
