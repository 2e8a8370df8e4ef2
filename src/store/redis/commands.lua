-- Several commands in one round trip, as one moment. KEYS[1]: any key of the tenant. ARGV: for each command the number of
-- its words, and the words.
local at, commands, results = 0, {}, {}
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
for c, words in ipairs(commands) do results[c] = redis.call(unpack(words)) end
return results
