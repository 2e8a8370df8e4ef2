-- What a script writes: collected, checked, then written, because an error half way would leave half a step. This file
-- stands before each script that writes.
local call = redis.call

-- The whole number of a stored text; nil where it is none, or one that loses digits in Lua.
local function number_of(text)
  local number = text and string.match(text, '^-?%d+$') and tonumber(text)
  return number and math.abs(number) < 2^53 and number or nil
end

local KINDS = { HSET = 'hash', HSETNX = 'hash', HDEL = 'hash', ZADD = 'zset', ZREMRANGEBYSCORE = 'zset',
  SADD = 'set', SREM = 'set', RPUSH = 'list' }

local writes = {}
local function write(...) writes[#writes + 1] = { ... } end

-- Writes what was collected; each key that is written lives on from now. Answers an error, and has written nothing then,
-- where a key holds data of another kind, or the user may not do all of it.
local function commit(data_ttl, decided_ttl)
  local may, kinds, living = redis.acl_check_cmd, {}, {}
  for _, words in ipairs(writes) do
    local name, key = words[1], words[2]
    kinds[key] = kinds[key] or call('TYPE', key).ok
    local kind, is = KINDS[name], kinds[key]
    if kind and is ~= 'none' and is ~= kind then
      return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is .. ', not a ' .. kind)
    end
    if not (may(unpack(words)) and may('EXPIRE', key, '1')) then
      local place = string.match(key, '^.-:.-:%a:') or ''
      return redis.error_reply('NOPERM this user may not run ' .. name .. ' on ' .. place .. '*')
    end
  end
  for _, words in ipairs(writes) do
    call(unpack(words))
    -- What has a life of its own keeps it.
    if words[1] ~= 'SET' or words[4] ~= 'PX' then living[words[2]] = true end
  end
  for key in pairs(living) do
    call('EXPIRE', key, string.match(key, '^[^:]*:[^:]*:o:') and decided_ttl or data_ttl)
  end
end
