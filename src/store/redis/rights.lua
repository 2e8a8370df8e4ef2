-- What the user that is logged in may do. KEYS[1]: any key of the tenant. ARGV: what keys begin with that hooks write, and
-- that people write; the commands that recording needs, and those that deciding needs besides.
--
-- Answers '1', '0' or '' (not known) for recording and for deciding; and what the server does when its memory is full.
local data, decided = ARGV[1] .. 'x', ARGV[2] .. 'x'
local check = redis.acl_check_cmd

-- Arguments that a command needs before its keys can be told.
local more = { expire = { '1' }, hdel = { 'x' }, hget = { 'x' }, hmget = { 'x' }, hset = { 'x', '1' },
  hsetnx = { 'x', '1' }, lrange = { '0', '0' }, rpush = { 'x' }, sadd = { 'x' }, set = { '1' }, sismember = { 'x' },
  srem = { 'x' }, zadd = { '1', 'x' }, zrange = { '0', '0' }, zrangebyscore = { '0', '0' }, zremrangebyscore = { '0', '0' },
  zrevrange = { '0', '0' } }

local function may(command, key)
  if command == 'info' then return check(command, 'memory') end
  return check(command, key, unpack(more[command] or {}))
end

local function may_all(commands, key)
  for command in string.gmatch(commands, '%S+') do
    if not may(command, key) then return false end
  end
  return true
end

local records, decides, when_full = '', '', ''
if check then
  records = may_all(ARGV[3], data) and may('get', decided) and '1' or '0'
  local writes = may('set', decided) and may('hsetnx', decided) and may('expire', decided)
  decides = records == '1' and writes and may_all(ARGV[4], decided) and '1' or '0'
  if may('info') then
    when_full = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:(%S+)') or ''
  end
end
return { records, decides, when_full }
