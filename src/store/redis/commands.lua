-- Several commands in one round trip, as one moment. KEYS[1]: the tenant's `epoch`. ARGV: for each command the number of its
-- words, and the words. Answers as many as fit into a reply; the caller asks for the rest again.
local MOST_BYTES = 4000000

local at, commands = 0, {}
while at < #ARGV do
  local count = tonumber(ARGV[at + 1])
  local words = { unpack(ARGV, at + 2, at + 1 + count) }
  -- Who may not do all of it does none of it. (Servers before 7.0 cannot say.)
  if redis.acl_check_cmd and not redis.acl_check_cmd(unpack(words)) then
    local place = string.match(words[2], '^.-:.-:%a:') or ''
    return redis.error_reply('NOPERM this user may not run ' .. words[1] .. ' on ' .. place .. '*')
  end
  commands[#commands + 1] = words
  at = at + 1 + count
end

local function size(reply)
  if type(reply) == 'string' then return #reply end
  local sum = 16
  if type(reply) == 'table' then
    for _, part in ipairs(reply) do sum = sum + size(part) end
  end
  return sum
end

local replies, bytes = {}, 0
for i, words in ipairs(commands) do
  replies[i] = redis.call(unpack(words))
  bytes = bytes + size(replies[i])
  if bytes > MOST_BYTES then break end
end
return replies
