-- Computes counters from the messages, and changes totals. Included before scripts that need it, after writes.lua. `ask`: the request,
-- with `data` (prefix of the keys that hooks write), `damaged`, `classes` and `counters`.

-- Parses a stored counter; nil if invalid.
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

-- Keeps an unreadable value for inspection.
local function set_aside(ask, name, text) write('HSETNX', ask.damaged, name, string.sub(text, 1, 1000)) end

-- The fields of a hash, as changed by this step. It is read once.
local hashes = {}
local function rows_of(key)
  if not hashes[key] then
    local rows, found = {}, call('HGETALL', key)
    for i = 1, #found, 2 do rows[found[i]] = found[i + 1] end
    hashes[key] = rows
  end
  return hashes[key]
end

-- Changes totals for monitoring: the sums, then the largest value that each had (metrics.rs).
local function add_metrics(ask, changes)
  for _, change in ipairs(changes) do
    local kind, by, rows, labels = change[1] .. ' ', change[3], rows_of(ask.metrics), 0
    for known in pairs(rows) do labels = labels + (string.find(known, kind, 1, true) == 1 and 1 or 0) end
    local is_own = rows[kind .. change[2]] or labels < ask.max_labels
    local name = kind .. (is_own and change[2] or 'other')
    local totals = counts(rows[name] or '', 2 * #by) or {}
    for i, number in ipairs(by) do
      totals[i] = (totals[i] or 0) + number
      totals[#by + i] = math.max(totals[#by + i] or 0, totals[i])
    end
    rows[name] = text_of(totals)
    write('HSET', ask.metrics, name, rows[name])
  end
end

-- Reads a record; nil if it is missing or not JSON.
local function record(ask, key)
  local text = call('GET', key)
  if not text then return nil end
  local is_json, found = pcall(cjson.decode, text)
  if is_json and type(found) == 'table' then return found end
  set_aside(ask, key, text)
end

-- Encodes a name as part of a key (keys.rs).
local function part(name)
  return (string.gsub(name, '[%c%%\128-\255]', function(c) return string.format('%%%02X', string.byte(c)) end))
end

-- The counts of a message; nil if its record has another structure.
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

-- What a session is charged to in a scope.
local function charged_to(session, scope)
  if scope ~= 'member' then return session[scope] end
  return session.team ~= '' and session.team and session.team .. '/' .. session.user
end

-- Adds what reservations of this platform or chain charge.
local function add_reservations(ask, wanted, to, sum)
  for _, id in ipairs(call('ZRANGEBYSCORE', ask.data .. 'reservations', wanted.from, to)) do
    local found = record(ask, ask.data .. 'reservation:' .. id)
    local is_of = found and type(found.c) == 'table' and type(found.d) == 'table' and found.d[wanted.scope] == wanted.value
    for class = 1, is_of and ask.classes or 0 do sum[class] = sum[class] + (tonumber(found.c[class]) or 0) end
  end
end

-- The sum of the messages for a counter. Reads only messages that may count: not those of sessions charged to another
-- value, nor of a model or agent type last counted (`values`) before the window.
local function add_up(ask, wanted)
  local scope, value, sum, sessions = wanted.scope, wanted.value, {}, {}
  for class = 1, ask.classes do sum[class] = 0 end
  local of_session = scope == 'session' or scope == 'history'
  local of_message = scope == 'model' or scope == 'agent_type'
  local last = of_message and call('ZSCORE', ask.data .. 'values', scope .. ' ' .. value)
  local to = wanted.to and '(' .. wanted.to or '+inf'
  if scope == 'platform' or scope == 'chain' then add_reservations(ask, wanted, to, sum) end
  if of_session then
    sessions = { value }
  elseif scope == 'platform' then
    return text_of(sum)
  elseif not of_message or (last and (wanted.from == '-inf' or tonumber(last) >= tonumber(wanted.from))) then
    sessions = call('ZRANGE', ask.data .. 'sessions', 0, -1)
  end
  for _, session in ipairs(sessions) do
    local charged = of_session or of_message or record(ask, ask.data .. 'session:' .. part(session))
    local counts_here = charged == true or (charged and charged_to(charged, scope) == value)
    local list = ask.data .. 'messages:' .. part(session)
    for _, hex in ipairs(counts_here and call('ZRANGEBYSCORE', list, wanted.from, to) or {}) do
      local message = record(ask, ask.data .. 'message:' .. hex)
      local counts = counted(message, ask.classes)
      -- For other scopes than sessions, a message counts where it was first read; its sessions are listed in it.
      local is_of = counts and message.h == session and (not of_message or message.d[scope] == value)
      if counts and of_session then
        is_of = false
        local is_counted = scope == 'session' or message.d.held
        for _, id in ipairs(message.s) do is_of = is_of or (id == session and is_counted) end
      end
      for class = 1, is_of and ask.classes or 0 do sum[class] = sum[class] + counts[class] end
    end
  end
  return text_of(sum)
end
