-- Counters, added up from the messages; and kept, where the caller says so.
--
-- KEYS[1]: the tenant's `epoch`. ARGV[1]: what is asked, as JSON (counters.rs). `keep`: 'nothing', 'missing' (where there is
-- none, or one that cannot be read), or 'all' (in place of what is there).
local ask = cjson.decode(ARGV[1])

-- A record that is no JSON is set aside, and counts nothing.
local function decoded(key, text)
  local is_json, record = pcall(cjson.decode, text)
  if is_json and type(record) == 'table' then return record end
  if ask.keep ~= 'nothing' then write('HSETNX', ask.damaged, key, string.sub(text, 1, 1000)) end
  return false
end

-- A name as part of a key (keys.rs).
local function part(name)
  return (string.gsub(name, '[%c%%\128-\255]', function(c) return string.format('%%%02X', string.byte(c)) end))
end

local homes = {}
local function home(session)
  if homes[session] == nil then
    local key = ask.data .. 'session:' .. part(session)
    local record = call('GET', key)
    homes[session] = record and decoded(key, record) or false
  end
  return homes[session]
end

-- Whether a message counts for a value. `session`: in whose list it stands; elsewhere it counts where it was brought first.
local function is_of(scope, value, message, session)
  if scope == 'session' or scope == 'history' then
    for _, id in ipairs(message.s) do if id == session then return true end end
    return false
  end
  if message.h ~= session then return false end
  if scope == 'model' then return message.m == value end
  if scope == 'agent_type' then return message.t == value end
  local charged = home(session)
  return charged and charged[scope] == value
end

local function add(sum, session, wanted)
  local key, to = ask.data .. 'messages:' .. part(session), wanted.to and '(' .. wanted.to or '+inf'
  for _, hex in ipairs(call('ZRANGEBYSCORE', key, wanted.from, to)) do
    local of_message = ask.data .. 'message:' .. hex
    local record = call('GET', of_message)
    local message = record and decoded(of_message, record)
    if message and type(message.c) == 'table' and type(message.s) == 'table' and is_of(wanted.scope, wanted.value, message, session) then
      for class = 1, #sum do sum[class] = sum[class] + (tonumber(message.c[class]) or 0) end
    end
  end
end

local sums, sessions = {}, nil
for i, wanted in ipairs(ask.counters) do
  local sum = {}
  for class = 1, ask.classes do sum[class] = 0 end
  if wanted.scope == 'session' or wanted.scope == 'history' then
    add(sum, wanted.value, wanted)
  else
    sessions = sessions or call('ZRANGE', ask.data .. 'sessions', 0, -1)
    for _, session in ipairs(sessions) do add(sum, session, wanted) end
  end
  for class = 1, #sum do sum[class] = string.format('%.0f', sum[class]) end
  sums[i] = table.concat(sum, ',')
  local known = ask.keep == 'missing' and call('HGET', wanted.key, wanted.since)
  local is_damaged = known and not string.match(known, '^-?%d+' .. string.rep(',-?%d+', ask.classes - 1) .. '$')
  if is_damaged then write('HSETNX', ask.damaged, wanted.key .. ' ' .. wanted.since, string.sub(known, 1, 1000)) end
  if ask.keep == 'all' or (ask.keep == 'missing' and (not known or is_damaged)) then
    write('HSET', wanted.key, wanted.since, sums[i])
  end
end
local refused = commit(ask.data_ttl, ask.decided_ttl)
if refused then return refused end
return sums
