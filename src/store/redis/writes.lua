-- Collects, checks, then runs writes: an error half way would leave half a step. Included before scripts that write.

-- The key type of each command; SET replaces any type.
local KINDS = { HGET = 'hash', HGETALL = 'hash', HMGET = 'hash', HVALS = 'hash', HSET = 'hash', HSETNX = 'hash',
  HDEL = 'hash', ZADD = 'zset', ZREMRANGEBYSCORE = 'zset', SADD = 'set', SREM = 'set', RPUSH = 'list' }

-- A key that was read has that type, or does not exist: reading another type is an error.
local kinds = {}
local function call(name, key, ...)
  local reply = redis.call(name, key, ...)
  kinds[key] = kinds[key] or KINDS[name]
  return reply
end

-- Parses a stored integer; nil if it is invalid, or loses digits in Lua.
local function number_of(text)
  local number = text and string.match(text, '^-?%d+$') and tonumber(text)
  return number and math.abs(number) < 2^53 and number or nil
end

local writes = {}
local function write(...) writes[#writes + 1] = { ... } end

-- Runs the collected writes, and renews the TTL of each written key. Returns an error, without having written anything,
-- if a key has another type, or the user may not run every command.
local function commit(data_ttl, decided_ttl)
  local may, checked, living = redis.acl_check_cmd, {}, {}
  for _, words in ipairs(writes) do
    local name, key, kind = words[1], words[2], KINDS[words[1]]
    if kind and kinds[key] ~= kind then
      local is = redis.call('TYPE', key).ok
      if is ~= 'none' and is ~= kind then
        return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is .. ', not a ' .. kind)
      end
      kinds[key] = kind
    end
    local once = name .. ' ' .. key
    checked[once] = checked[once] or may(unpack(words)) and may('EXPIRE', key, '1')
    if not checked[once] then
      local place = string.match(key, '^.-:.-:%a:') or ''
      return redis.error_reply('NOPERM this user may not run ' .. name .. ' on ' .. place .. '*')
    end
  end
  for _, words in ipairs(writes) do
    redis.call(unpack(words))
    -- Keys written with their own TTL keep it.
    if words[1] ~= 'SET' or words[4] ~= 'PX' then living[words[2]] = true end
  end
  for key in pairs(living) do
    redis.call('EXPIRE', key, string.match(key, '^[^:]*:[^:]*:o:') and decided_ttl or data_ttl)
  end
end
