-- What the user that is logged in may do. KEYS[1]: the tenant's `epoch`. ARGV: what keys begin with that hooks write, and
-- that people write; the commands that recording needs, and those that deciding needs besides.
--
-- Answers 1 or 0 for recording and for deciding; and what the server does when its memory is full, where the user may know.
local data, decided = ARGV[1] .. 'x', ARGV[2] .. 'x'

-- Arguments that a command needs before its keys can be told.
local more = { expire = { '1' }, hdel = { 'x' }, hget = { 'x' }, hmget = { 'x' }, hset = { 'x', '1' },
  hsetnx = { 'x', '1' }, lrange = { '0', '0' }, rpush = { 'x' }, sadd = { 'x' }, set = { '1' }, sismember = { 'x' },
  srem = { 'x' }, zadd = { '1', 'x' }, zrange = { '0', '0' }, zrangebyscore = { '0', '0' }, zremrangebyscore = { '0', '0' },
  zrevrange = { '0', '0' }, zscore = { 'x' } }

local function may_all(commands, key)
  for command in string.gmatch(commands, '%S+') do
    if not redis.acl_check_cmd(command, key, unpack(more[command] or {})) then return false end
  end
  return true
end

local records = may_all(ARGV[3], data) and may_all('get', decided)
local decides = records and may_all(ARGV[4] .. ' set hset expire', decided)
local info = redis.acl_check_cmd('info', 'memory') and redis.call('INFO', 'memory') or ''
return { records and 1 or 0, decides and 1 or 0, string.match(info, 'maxmemory_policy:(%S+)') or false }
