-- The permissions of the logged-in user. KEYS[1]: the tenant's `epoch`. ARGV: the prefixes of keys that hooks write and
-- that people write; the commands for recording, and the additional ones for deciding.
--
-- Returns 1 or 0 for recording and for deciding, and the memory policy, if the user may read it.
local data, decided = ARGV[1] .. 'x', ARGV[2] .. 'x'

-- Arguments that commands need so that their keys can be determined.
local more = { expire = { '1' }, hdel = { 'x' }, hget = { 'x' }, hmget = { 'x' }, hset = { 'x', '1' },
  hsetnx = { 'x', '1' }, lrange = { '0', '0' }, rpush = { 'x' }, sadd = { 'x' }, set = { '1' }, sismember = { 'x' },
  srem = { 'x' }, zadd = { '1', 'x' }, zrange = { '0', '0' }, zrangebyscore = { '0', '0' }, zremrangebyscore = { '0', '0' },
  zrevrange = { '0', '0' }, zscore = { 'x' } }

local function may_all(commands, key)
  for command in string.gmatch(commands, '%S+') do
    if command ~= 'time' and not redis.acl_check_cmd(command, key, unpack(more[command] or {})) then return false end
  end
  return true
end

local records = may_all(ARGV[3], data) and may_all('get', decided)
local decides = records and may_all(ARGV[4] .. ' set hset expire', decided)
local info = redis.acl_check_cmd('info', 'memory') and redis.call('INFO', 'memory') or ''
return { records and 1 or 0, decides and 1 or 0, string.match(info, 'maxmemory_policy:(%S+)') or false }
