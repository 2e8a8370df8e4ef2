-- Version 2. acknowledged: by whom, when and why, as JSON; NULL until somebody did.
ALTER TABLE alerts ADD COLUMN acknowledged;
