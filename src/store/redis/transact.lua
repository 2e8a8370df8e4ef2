-- One atomic step: what the caller takes for given is looked at; if all of it is so, everything is written, counted and
-- answered; else nothing is written, and the caller hears how it is.
--
-- KEYS[1]: any key of the tenant (says to which node this goes). ARGV: the plan, see plan.rs, one text after the other.
local at = 0
local function take() at = at + 1 return ARGV[at] end
local function number() return tonumber(take()) end
local call = redis.call

local now, ttl = number(), number()

-- What the caller takes for given: records, and fields of hashes.
local actual, given = {}, true
for i = 1, number() do
  local key, field, is_there, value = take(), take(), take(), take()
  local found
  if field == '' then found = call('GET', key) else found = call('HGET', key, field) end
  if is_there == '1' then given = given and found == value else given = given and not found end
  actual[i] = found
end

-- An error half way would leave half a step: so keys are looked at first that could be of another kind.
for _ = 1, number() do
  local key, kind = take(), take()
  local is = call('TYPE', key).ok
  if is ~= kind and is ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is .. ', and should hold a ' .. kind)
  end
end
if not given then return { 'given', actual } end

-- Counters that the answer needs.
local counters, missing = {}, {}
for i = 1, number() do
  local key, since, may_begin = take(), take(), take()
  local counts = call('HGET', key, since)
  if not counts and may_begin == '0' then missing[#missing + 1] = i end
  counters[i] = { key = key, since = since, before = counts or '0,0,0,0,0,0,0' }
end
if #missing > 0 then return { 'missing', missing } end

for _ = 1, number() do
  local words = {}
  for w = 1, number() do words[w] = take() end
  call(unpack(words))
end

local function split(counts)
  local n = {}
  for count in string.gmatch(counts, '[^,]+') do n[#n + 1] = tonumber(count) end
  return n
end

-- Counters move: those of the window, and those that count since a moment before the message.
for _ = 1, number() do
  local key, start, date, may_begin = take(), take(), number(), take()
  local change = {}
  for c = 1, 7 do change[c] = number() end
  local rows = call('HGETALL', key)
  if may_begin == '1' then
    -- There may be others, of a reset that was known before.
    local begins = true
    for r = 1, #rows, 2 do begins = begins and rows[r] ~= start end
    if begins then
      rows[#rows + 1] = start
      rows[#rows + 1] = '0,0,0,0,0,0,0'
    end
  end
  for r = 1, #rows, 2 do
    if tonumber(rows[r]) <= date then
      local counts = split(rows[r + 1])
      for c = 1, 7 do counts[c] = string.format('%.0f', counts[c] + change[c]) end
      call('HSET', key, rows[r], table.concat(counts, ','))
    end
  end
  if #rows > 0 then call('EXPIRE', key, ttl) end
end
for _, counter in ipairs(counters) do
  counter.after = call('HGET', counter.key, counter.since)
  if not counter.after then
    counter.after = counter.before
    call('HSET', counter.key, counter.since, counter.after)
    call('EXPIRE', counter.key, ttl)
  end
end

-- Thresholds that this step crossed, each once whoever else is here.
local alerts_key, unshown_key, alert_number, alert_prefix = take(), take(), take(), take()
local function measure(counts, which)
  local sum, n = 0, split(counts)
  for c = 1, 7 do if string.sub(which, c, c) == '1' then sum = sum + n[c] end end
  return math.max(sum, 0)
end
for _ = 1, number() do
  local counter, which, place = counters[number()], take(), take()
  local before, after = measure(counter.before, which), measure(counter.after, which)
  for _ = 1, number() do
    local units, raised, alert = number(), take(), take()
    if before < units and units <= after and call('SET', raised, '1', 'NX', 'EX', ttl) then
      local id = call('INCR', alert_number)
      local key = alert_prefix .. id
      call('HSET', key, 'alert', alert, 'used', string.format('%.0f', after), 'place', place, 'claimed', '0')
      call('EXPIRE', key, ttl)
      call('ZADD', alerts_key, id, id)
      call('SADD', unshown_key, id)
      for _, known in ipairs({ alerts_key, unshown_key, alert_number }) do call('EXPIRE', known, ttl) end
    end
  end
end

local until_, latest, machine = take(), number(), take()
local function is_free(claimed) return not (claimed > now and claimed <= latest) end

local alerts = {}
local places = {}
for _ = 1, number() do places[take()] = true end
if next(places) then
  local ids = call('SMEMBERS', unshown_key)
  table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
  for _, id in ipairs(ids) do
    local key = alert_prefix .. id
    local found = call('HMGET', key, 'alert', 'used', 'place', 'claimed')
    if not found[1] then
      call('SREM', unshown_key, id)
    elseif places[found[3]] then
      -- Clocks of two machines cannot be compared: another one's claim ends by the server's.
      local claim = key .. ':claim'
      local by = call('GET', claim)
      local is_other = by and by ~= machine
      if not is_other and is_free(tonumber(found[4])) then
        call('HSET', key, 'claimed', until_)
        call('SET', claim, machine, 'PX', string.format('%.0f', tonumber(until_) - now))
        alerts[#alerts + 1] = { id, found[1], found[2] }
      end
    end
  end
end

local events_key, untold_key, event_number, evented, of_session = take(), take(), take(), take(), take()
for _ = 1, number() do
  local event, agent, is_known = take(), take(), take()
  local id = call('INCR', event_number)
  call('EXPIRE', event_number, ttl)
  call('HSET', events_key, id, event)
  call('EXPIRE', events_key, ttl)
  call('SADD', evented, of_session)
  call('EXPIRE', evented, ttl)
  if is_known == '0' then
    call('HSET', untold_key, id, '0 ' .. agent)
    call('EXPIRE', untold_key, ttl)
  end
end
local events = {}
if take() == '1' then
  local agent = take()
  local rows = call('HGETALL', untold_key)
  local mine = {}
  for r = 1, #rows, 2 do
    local claimed, of = string.match(rows[r + 1], '^(-?%d+) (.*)$')
    if of == agent and is_free(tonumber(claimed)) then mine[#mine + 1] = tonumber(rows[r]) end
  end
  table.sort(mine)
  for _, id in ipairs(mine) do
    local event = call('HGET', events_key, id)
    if event then
      call('HSET', untold_key, id, until_ .. ' ' .. agent)
      events[#events + 1] = { id, event }
    else
      call('HDEL', untold_key, id)
    end
  end
end

-- The session was seen, and this was a batch of it.
local session, live_key, sessions_key, seen = take(), take(), take(), number()
local sequence = 0
if session ~= '' then
  local last = call('HGET', live_key, 'seen')
  if not last or tonumber(last) < seen then
    call('HSET', live_key, 'seen', string.format('%.0f', seen))
    call('HDEL', live_key, 'ended', 'complete')
    call('ZADD', sessions_key, seen, session)
    call('EXPIRE', sessions_key, ttl)
  end
  sequence = call('HINCRBY', live_key, 'sequence', 1)
  call('EXPIRE', live_key, ttl)
end

-- The latest date of any message: a window that starts later holds none.
local latest_key, date = take(), take()
if date ~= '' then
  local known = call('HGET', latest_key, 'at')
  if not known or tonumber(known) < tonumber(date) then call('HSET', latest_key, 'at', date) end
  call('EXPIRE', latest_key, ttl)
end

local states = {}
for i, counter in ipairs(counters) do states[i] = { counter.before, counter.after } end
return { 'done', states, alerts, events, sequence }
