-- Counters, added up from the messages; and written, where the caller says so: over what is there ('2'), or where nobody
-- has in between ('1').
--
-- KEYS[1]: any key of the tenant. ARGV: data prefix, ttl, whether to write, then for each counter: key, since, scope, value,
-- from, end ('' for none). Sessions and messages are read where a counter needs them.
local prefix, ttl, writes = ARGV[1], ARGV[2], ARGV[3] ~= '0'
local call = redis.call

-- What is counted, in the order of the stored text and of a message's counts (counts.rs has the same list).
local CLASSES = { 'input', 'output', 'cache_write_5m', 'cache_write_1h', 'cache_read', 'requests', 'tool_calls' }

-- Who may not write all of it writes nothing. (Servers before 7.0 cannot say.)
local may = redis.acl_check_cmd
local write = ARGV[3] == '2' and 'HSET' or 'HSETNX'
if writes and may and not (may(write, KEYS[1], 'x', 'x') and may('EXPIRE', KEYS[1], '1')) then
  return redis.error_reply('NOPERM this user may not write counters')
end

local homes = {}
local function home(id)
  if homes[id] == nil then
    local record = call('GET', prefix .. 'session:' .. id)
    homes[id] = record and cjson.decode(record) or false
  end
  return homes[id]
end

local function is_of(scope, value, message)
  if scope == 'model' then return message.m == value end
  if scope == 'agent_type' then return message.t == value end
  local charged = home(message.h)
  return charged and charged[scope] == value
end

local function add(sum, session, from, to, wanted)
  local upper = to == '' and '+inf' or '(' .. to
  for _, hex in ipairs(call('ZRANGEBYSCORE', prefix .. 'messages:' .. session, from, upper)) do
    local record = call('GET', prefix .. 'message:' .. hex)
    local message = record and cjson.decode(record)
    if message and wanted(message) then
      for c = 1, #CLASSES do sum[c] = sum[c] + message.c[c] end
    end
  end
end

local sums = {}
for at = 4, #ARGV, 6 do
  local key, since, scope, value, from, to = unpack(ARGV, at, at + 5)
  local sum = {}
  for c = 1, #CLASSES do sum[c] = 0 end
  if scope == 'session' or scope == 'history' then
    add(sum, value, from, to, function() return true end)
  else
    for _, session in ipairs(call('ZRANGE', prefix .. 'sessions', 0, -1)) do
      -- Where it was brought first: it counts once.
      add(sum, session, from, to, function(message) return message.h == session and is_of(scope, value, message) end)
    end
  end
  for c = 1, #CLASSES do sum[c] = string.format('%.0f', sum[c]) end
  local counts = table.concat(sum, ',')
  if writes then
    call(write, key, since, counts)
    call('EXPIRE', key, ttl)
  end
  sums[#sums + 1] = counts
end
return sums
