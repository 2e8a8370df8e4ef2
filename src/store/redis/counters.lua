-- Counters, added up from the messages. Stands before each script that needs them, behind writes.lua. `ask`: what the script
-- was asked, with `data` (what keys begin with that hooks write), `damaged`, `classes` and `counters`.

-- The numbers of a stored text; nil where it is none of a counter.
local function counts(text, classes)
  local numbers = {}
  for part in string.gmatch(text .. ',', '([^,]*),') do
    if not string.match(part, '^-?%d+$') then return nil end
    numbers[#numbers + 1] = tonumber(part)
  end
  return #numbers == classes and numbers or nil
end

local function text_of(numbers)
  local digits = {}
  for class, number in ipairs(numbers) do digits[class] = string.format('%.0f', number) end
  return table.concat(digits, ',')
end

-- What cannot be read is kept for whoever looks into it.
local function set_aside(ask, name, text) write('HSETNX', ask.damaged, name, string.sub(text, 1, 1000)) end

-- A record; nil where there is none, or one that is no JSON.
local function record(ask, key)
  local text = call('GET', key)
  if not text then return nil end
  local is_json, found = pcall(cjson.decode, text)
  if is_json and type(found) == 'table' then return found end
  set_aside(ask, key, text)
end

-- A name as part of a key (keys.rs).
local function part(name)
  return (string.gsub(name, '[%c%%\128-\255]', function(c) return string.format('%%%02X', string.byte(c)) end))
end

-- Whether a message counts for a counter. `session`: in whose list it stands; elsewhere it counts where it was brought first.
local function is_of(ask, wanted, message, session, homes)
  local scope, value = wanted.scope, wanted.value
  if scope == 'session' or scope == 'history' then
    for _, id in ipairs(message.s) do if id == session then return true end end
    return false
  end
  if message.h ~= session then return false end
  if scope == 'model' or scope == 'agent_type' then return message.d[scope] == value end
  if homes[session] == nil then homes[session] = record(ask, ask.data .. 'session:' .. part(session)) or false end
  return homes[session] and homes[session][scope] == value
end

-- What the messages come to for a counter.
local function add_up(ask, wanted)
  local sum, sessions, homes = {}, { wanted.value }, {}
  for class = 1, ask.classes do sum[class] = 0 end
  if wanted.scope ~= 'session' and wanted.scope ~= 'history' then sessions = call('ZRANGE', ask.data .. 'sessions', 0, -1) end
  for _, session in ipairs(sessions) do
    local list, to = ask.data .. 'messages:' .. part(session), wanted.to and '(' .. wanted.to or '+inf'
    for _, hex in ipairs(call('ZRANGEBYSCORE', list, wanted.from, to)) do
      local message = record(ask, ask.data .. 'message:' .. hex)
      local is_whole = message and type(message.c) == 'table' and type(message.s) == 'table' and type(message.d) == 'table'
      if is_whole and is_of(ask, wanted, message, session, homes) then
        for class = 1, #sum do sum[class] = sum[class] + (tonumber(message.c[class]) or 0) end
      end
    end
  end
  return text_of(sum)
end
