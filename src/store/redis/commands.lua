-- Several commands in one atomic round trip. KEYS[1]: the tenant's `epoch`. ARGV: for each command, its number of words
-- and the words. Returns as many replies as fit; the caller sends the rest again.
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
