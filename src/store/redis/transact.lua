-- One atomic step: what the caller takes for given is looked at; if all of it is so, everything is written, counted and
-- answered; else nothing is written, and the caller hears how it is.
--
-- KEYS[1]: any key of the tenant (says to which node this goes). ARGV: the plan, see plan.rs, one text after the other.
local at = 0
local function take() at = at + 1 return ARGV[at] end
local function number() return tonumber(take()) end
local call = redis.call

local now, ttl, refreshes = number(), number(), take() == '1'

-- What the caller takes for given: records (all read at once), fields of hashes, scores.
local actual, expected, names, places = {}, {}, {}, {}
local count = number()
for i = 1, count do
  local key, field, is_there, value = take(), take(), take(), take()
  expected[i] = is_there == '1' and value
  if field == '' then
    names[#names + 1], places[#places + 1] = key, i
  elseif string.sub(field, 1, 6) == 'score:' then
    actual[i] = call('ZSCORE', key, string.sub(field, 7))
  else
    actual[i] = call('HGET', key, field)
  end
end
if #names > 0 then
  for n, found in ipairs(call('MGET', unpack(names))) do actual[places[n]] = found end
end
local given = true
for i = 1, count do given = given and actual[i] == expected[i] end
if not given then
  -- MGET calls what is of another kind missing.
  for n, key in ipairs(names) do
    local is = actual[places[n]] and 'string' or call('TYPE', key).ok
    if is ~= 'none' and is ~= 'string' then
      return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is .. ', and should hold a string')
    end
  end
end

-- An error half way would leave half a step: so keys are looked at first that could be of another kind. Those that are not
-- there yet begin to live on with this step; the others do now and then.
local begins = {}
for _ = 1, number() do
  local key, kind = take(), take()
  local is = call('TYPE', key).ok
  if is == 'none' then
    begins[key] = true
  elseif is ~= kind then
    return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is .. ', and should hold a ' .. kind)
  end
end
if not given then return { 'given', actual } end

-- Counters: each hash is read once.
local hashes = {}
local function rows_of(key)
  local known = hashes[key]
  if not known then
    known = {}
    local rows = call('HGETALL', key)
    for r = 1, #rows, 2 do known[rows[r]] = rows[r + 1] end
    begins[key] = #rows == 0
    hashes[key] = known
  end
  return known
end
local NOTHING = '0,0,0,0,0,0,0'
local counters, missing = {}, {}
for i = 1, number() do
  local key, since, may_begin = take(), take(), take()
  local counts = rows_of(key)[since]
  if not counts and may_begin == '0' then missing[#missing + 1] = i end
  counters[i] = { key = key, since = since, before = counts or NOTHING }
end
if #missing > 0 then return { 'missing', missing } end

-- So would a user that may not do all of it: such a one does nothing. (Servers before 7.0 cannot say; who may empty the
-- server may do all.)
local may = redis.acl_check_cmd
if may and may('FLUSHALL') then may = nil end
local function refused(words)
  local place = string.match(words[2], '^.-:.-:%a:') or ''
  return redis.error_reply('NOPERM this user may not run ' .. words[1] .. ' on ' .. place .. '*')
end
local always = { { 'HSET', KEYS[1], 'x', 'x' }, { 'HGETALL', KEYS[1] }, { 'SET', KEYS[1], 'x' }, { 'INCR', KEYS[1] },
  { 'ZADD', KEYS[1], '1', 'x' }, { 'SADD', KEYS[1], 'x' }, { 'SMEMBERS', KEYS[1] }, { 'HMGET', KEYS[1], 'x' },
  { 'SREM', KEYS[1], 'x' }, { 'HDEL', KEYS[1], 'x' }, { 'HINCRBY', KEYS[1], 'x', '1' }, { 'EXPIRE', KEYS[1], '1' } }
if may then
  for _, words in ipairs(always) do
    if not may(unpack(words)) then return refused(words) end
  end
end

local commands = {}
for c = 1, number() do
  local words = {}
  for w = 1, number() do words[w] = take() end
  if may and not may(unpack(words)) then return refused(words) end
  commands[c] = words
end
for _, words in ipairs(commands) do call(unpack(words)) end
for _ = 1, number() do
  local key = take()
  if refreshes or begins[key] then call('EXPIRE', key, ttl) end
end

local function split(counts)
  local n = {}
  for count in string.gmatch(counts, '[^,]+') do n[#n + 1] = tonumber(count) end
  return n
end
local function keep(key, since, counts)
  rows_of(key)[since] = counts
  call('HSET', key, since, counts)
  if refreshes or begins[key] then call('EXPIRE', key, ttl) end
end

-- Counters move: those of the window, and those that count since a moment before the message.
for _ = 1, number() do
  local key, start, date, may_begin = take(), take(), number(), take()
  local change = {}
  for c = 1, 7 do change[c] = number() end
  local rows = rows_of(key)
  -- There may be others, of a reset that was known before.
  if may_begin == '1' and not rows[start] then rows[start] = NOTHING end
  for since, text in pairs(rows) do
    if tonumber(since) <= date then
      local counts = split(text)
      for c = 1, 7 do counts[c] = string.format('%.0f', counts[c] + change[c]) end
      keep(key, since, table.concat(counts, ','))
    end
  end
end
for _, counter in ipairs(counters) do
  counter.after = rows_of(counter.key)[counter.since]
  if not counter.after then
    counter.after = counter.before
    keep(counter.key, counter.since, counter.after)
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
local sequence, own = 0, 0
if session ~= '' then
  local known = call('HMGET', live_key, 'seen', 'ended', 'complete')
  local last = known[1] and tonumber(known[1])
  -- When it was seen serves people: it is written now and then.
  local is_over = known[2] or known[3]
  if not last or (is_over and last < seen) or last + 10000 < seen then
    call('HSET', live_key, 'seen', string.format('%.0f', math.max(last or seen, seen)))
    call('HDEL', live_key, 'ended', 'complete')
    call('ZADD', sessions_key, 'GT', seen, session)
    call('EXPIRE', sessions_key, ttl)
    call('EXPIRE', live_key, ttl)
  end
  sequence = call('HINCRBY', live_key, 'sequence', 1)
  if sequence == 1 then call('EXPIRE', live_key, ttl) end
  -- A machine knows of its own batches only whether they are there: others' make up the number.
  own = call('HINCRBY', live_key, 'sequence:' .. machine, 1)
end

local states = {}
for i, counter in ipairs(counters) do states[i] = { counter.before, counter.after } end
return { 'done', states, alerts, events, sequence, own }
