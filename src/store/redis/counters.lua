-- Counters, added up from the messages. Stands before each script that needs them, behind writes.lua. `ask`: what the script
-- was asked, with `data` (what keys begin with that hooks write), `damaged`, `classes` and `counters`.

-- The numbers of a stored text; nil where it is none of a counter.
local function counts(text, classes)
  local numbers = {}
  for part in string.gmatch(text .. ',', '([^,]*),') do
    local number = number_of(part)
    if not number then return nil end
    numbers[#numbers + 1] = number
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

-- What a message counts; nil where its record is of another shape.
local function counted(message, classes)
  if type(message) ~= 'table' or type(message.c) ~= 'table' or type(message.s) ~= 'table' or type(message.d) ~= 'table' then
    return nil
  end
  for class = 1, classes do
    local number = message.c[class]
    if type(number) ~= 'number' or number ~= math.floor(number) or math.abs(number) >= 2^53 then return nil end
  end
  return message.c
end

-- What the messages come to for a counter. Messages are read where they may count: of a session that is charged to another
-- value none does, and a model or a type of agent was last counted for when `values` says.
local function add_up(ask, wanted)
  local scope, value, sum, sessions = wanted.scope, wanted.value, {}, {}
  for class = 1, ask.classes do sum[class] = 0 end
  local of_session = scope == 'session' or scope == 'history'
  local of_message = scope == 'model' or scope == 'agent_type'
  local last = of_message and call('ZSCORE', ask.data .. 'values', scope .. ' ' .. value)
  if of_session then
    sessions = { value }
  elseif not of_message or (last and (wanted.from == '-inf' or tonumber(last) >= tonumber(wanted.from))) then
    sessions = call('ZRANGE', ask.data .. 'sessions', 0, -1)
  end
  for _, session in ipairs(sessions) do
    local charged = of_session or of_message or record(ask, ask.data .. 'session:' .. part(session))
    local counts_here = charged == true or (charged and charged[scope] == value)
    local list, to = ask.data .. 'messages:' .. part(session), wanted.to and '(' .. wanted.to or '+inf'
    for _, hex in ipairs(counts_here and call('ZRANGEBYSCORE', list, wanted.from, to) or {}) do
      local message = record(ask, ask.data .. 'message:' .. hex)
      local counts = counted(message, ask.classes)
      -- Where it was brought first it counts for all but sessions: those are listed with it.
      local is_of = counts and message.h == session and (not of_message or message.d[scope] == value)
      if counts and of_session then
        is_of = false
        for _, id in ipairs(message.s) do is_of = is_of or id == session end
      end
      for class = 1, is_of and ask.classes or 0 do sum[class] = sum[class] + counts[class] end
    end
  end
  return text_of(sum)
end
