-- Several commands in one round trip, as one moment. KEYS[1]: the tenant's `epoch`. ARGV: for each command the number of its
-- words, and the words. Answers as many as fit into a reply; the caller asks for the rest again.
local MAX_BYTES = 4000000

local function size(reply)
  local sum = type(reply) == 'string' and #reply or 16
  for _, part in ipairs(type(reply) == 'table' and reply or {}) do sum = sum + (type(part) == 'string' and #part or 16) end
  return sum
end

local replies, bytes, at = {}, 0, 0
while at < #ARGV and bytes <= MAX_BYTES do
  local count = tonumber(ARGV[at + 1])
  local reply = redis.call(unpack(ARGV, at + 2, at + 1 + count))
  replies[#replies + 1] = reply
  bytes = bytes + size(reply)
  at = at + 1 + count
end
return replies
