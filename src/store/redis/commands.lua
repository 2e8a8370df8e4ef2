-- Several commands in one round trip, as one moment. KEYS[1]: any key of the tenant. ARGV: for each command the number of
-- its words, and the words.
local at, results = 0, {}
while at < #ARGV do
  local words = tonumber(ARGV[at + 1])
  results[#results + 1] = redis.call(unpack(ARGV, at + 2, at + 1 + words))
  at = at + 1 + words
end
return results
