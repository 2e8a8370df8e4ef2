-- Computes counters from the messages, and stores them if the caller asks for it (`keep`).
--
-- KEYS[1]: the tenant's `epoch`. ARGV[1]: the request as JSON (counters.rs).
local ask, sums = cjson.decode(ARGV[1]), {}
for i, wanted in ipairs(ask.counters) do
  sums[i] = add_up(ask, wanted)
  if ask.keep then write('HSET', wanted.key, wanted.since, sums[i]) end
end
if not ask.keep then return sums end
local refused = commit(ask.data_ttl, ask.decided_ttl)
if refused then return refused end
return sums
