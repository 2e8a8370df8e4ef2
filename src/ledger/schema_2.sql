-- Few records have a chain or another platform than the client.
DROP INDEX idx_chain;
DROP INDEX idx_platform;
CREATE INDEX idx_chain ON cost_records (chain_id) WHERE chain_id IS NOT NULL;
CREATE INDEX idx_platform ON cost_records (platform) WHERE source = 'call';

-- Sums of the records of messages (not of calls) in each quarter of an hour (UTC) that have these texts in common: what
-- reports read. agent_type: as reports name it. first, last: times of records. The cost is dollars and nanos (nano-dollars)
-- together: absurd costs would not fit one sum.
CREATE TABLE quarter_hours (
  session TEXT,
  model TEXT NOT NULL,
  project TEXT,
  branch TEXT,
  agent_type TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  records INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  dollars INTEGER NOT NULL,
  nanos INTEGER NOT NULL,
  usage_estimated INTEGER NOT NULL,
  price_estimated INTEGER NOT NULL
);
CREATE INDEX idx_quarter_session ON quarter_hours (session);
