-- One atomic step: what the caller takes for given is looked at; if all of it is so, everything is written, counted and
-- answered; else nothing is written, and the caller hears how it is.
--
-- KEYS[1]: any key of the tenant (says to which node this goes). ARGV: the plan, see plan.rs, one text after the other.
--
-- An error half way would leave half a step. So everything is read first (a key that holds other data ends the step
-- there), what is only written to is asked for its kind, and then everything is written.
local at = 0
local function take() at = at + 1 return ARGV[at] end
local function number() return tonumber(take()) end
local call = redis.call

local now, ttl, refreshes = number(), number(), take() == '1'

-- Keys that are there as they should be; keys that begin to live on with this step (the others do now and then).
local there, begins, wrong = {}, {}, nil
local function check(key, kind)
  if there[key] then return end
  local is = call('TYPE', key).ok
  if is == 'none' then
    begins[key] = true
  elseif is ~= kind then
    wrong = wrong or redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is .. ', and should hold a ' .. kind)
  end
end
local function live_on(key)
  if refreshes or begins[key] then call('EXPIRE', key, ttl) end
end

-- Counters: each hash is read once.
local hashes, dirty = {}, {}
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

-- What the caller takes for given: records that are not there, and that are (all read at once), then what stands in fields
-- of hashes, scores and counters, and what does not.
local actual, expected, names, count = {}, {}, {}, 0
local function look(key, field)
  local kind, name = string.match(field, '^(%a+):(.*)$')
  if kind == 'score' then return call('ZSCORE', key, name) end
  if kind == 'count' then return rows_of(key)[name] or false end
  local found = call('HGET', key, field)
  there[key] = there[key] or found and true
  return found
end
for _ = 1, number() do
  count = count + 1
  names[count], expected[count] = take(), false
end
for _ = 1, number() do
  count = count + 1
  names[count] = take()
  expected[count] = take()
end
if count > 0 then actual = call('MGET', unpack(names)) end
for is_there = 1, 0, -1 do
  for _ = 1, number() do
    count = count + 1
    local key, field = take(), take()
    actual[count] = look(key, field)
    expected[count] = is_there == 1 and take()
  end
end
local given = true
for i = 1, count do given = given and actual[i] == expected[i] end
if not given then
  -- MGET calls what is of another kind missing.
  for n, key in ipairs(names) do
    if not actual[n] then check(key, 'string') end
  end
end
for _ = 1, number() do check(take(), take()) end
if wrong then return wrong end
if not given then return { 'given', actual } end

local function set(key, since, counts)
  hashes[key][since] = counts
  dirty[key] = dirty[key] or {}
  dirty[key][since] = counts
end
local NOTHING = '0,0,0,0,0,0,0'
local counters, missing = {}, {}
for i = 1, number() do
  local key, since, may_begin, before, after = take(), take(), take(), take(), take()
  local counts = rows_of(key)[since]
  if not counts and may_begin == '0' then missing[#missing + 1] = i end
  counters[i] = { key = key, since = since, before = counts or NOTHING, after = counts and counts == before and after }
end
if #missing > 0 then return { 'missing', missing } end

-- They move: those of the window, and those that count since a moment before the message. Where nobody else counted in
-- between, the caller has added it up: doing that here takes longer than all the rest.
local settled = {}
for _, counter in ipairs(counters) do
  if counter.after then
    settled[counter.key] = settled[counter.key] or {}
    settled[counter.key][counter.since] = true
    if counter.after ~= counter.before then set(counter.key, counter.since, counter.after) end
  end
end
local function split(counts)
  local n = {}
  for c in string.gmatch(counts, '[^,]+') do n[#n + 1] = tonumber(c) end
  return n
end
for _ = 1, number() do
  local key, start, date, may_begin, change = take(), take(), number(), take(), take()
  local rows, done = rows_of(key), settled[key] or {}
  -- There may be others, of a reset that was known before.
  if may_begin == '1' and not rows[start] then rows[start] = NOTHING end
  for since, text in pairs(rows) do
    if not done[since] and tonumber(since) <= date then
      local counts, by = split(text), split(change)
      for c = 1, 7 do counts[c] = string.format('%.0f', counts[c] + by[c]) end
      set(key, since, table.concat(counts, ','))
    end
  end
end
for _, counter in ipairs(counters) do
  counter.is_expected = counter.after
  counter.after = rows_of(counter.key)[counter.since]
  if not counter.after then
    counter.after = counter.before
    set(counter.key, counter.since, counter.after)
  end
end

-- Keys that few steps need, in one text.
local alerts_key, alert_number, event_number, evented, sessions_key
local rare = take()
local function need_rare()
  if not alerts_key then
    alerts_key, alert_number, event_number, evented, sessions_key =
      string.match(rare, '^(.-)\n(.-)\n(.-)\n(.-)\n(.-)$')
  end
end

-- Thresholds that this step crosses.
local alert_prefix, unshown_key = take(), take()
local function measure(counts, which)
  local sum, n = 0, split(counts)
  for c = 1, 7 do if string.sub(which, c, c) == '1' then sum = sum + n[c] end end
  return math.max(sum, 0)
end
local crossed = {}
for _ = 1, number() do
  local counter, which, place, crosses = counters[number()], take(), take(), take()
  local alerts = {}
  local thresholds = take()
  for _ = 1, number() do
    local units = take()
    alerts[units] = { take(), take() }
  end
  -- Where it was added up as the caller expected, that knows, too, that none is crossed.
  if counter.is_expected and crosses == '0' then thresholds = '' end
  local before = thresholds ~= '' and measure(counter.before, which)
  local after = thresholds ~= '' and measure(counter.after, which)
  for units in string.gmatch(thresholds, '%d+') do
    if before < tonumber(units) and tonumber(units) <= after then
      -- The caller did not see it coming.
      if not alerts[units] then return { 'alerts' } end
      local raised, alert = unpack(alerts[units])
      crossed[#crossed + 1] = { raised = raised, alert = alert, place = place, used = string.format('%.0f', after) }
    end
  end
end
if #crossed > 0 then
  need_rare()
  check(alerts_key, 'zset')
  check(unshown_key, 'set')
  check(alert_number, 'string')
end

-- Alerts that can be shown now, as far as others have not claimed them.
local until_, latest, machine = take(), number(), take()
local function is_free(claimed) return not (claimed > now and claimed <= latest) end
local claims, gone, shown_places = {}, {}, {}
for _ = 1, number() do shown_places[take()] = true end
if next(shown_places) then
  local ids = call('SMEMBERS', unshown_key)
  table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
  for _, id in ipairs(ids) do
    local key = alert_prefix .. id
    local found = call('HMGET', key, 'alert', 'used', 'place', 'claimed')
    if not found[1] then
      gone[#gone + 1] = id
    elseif shown_places[found[3]] and is_free(tonumber(found[4])) then
      -- Clocks of two machines cannot be compared: another one's claim ends by the server's.
      local by = call('GET', key .. ':claim')
      if not by or by == machine then claims[#claims + 1] = { id, found[1], found[2] } end
    end
  end
end

-- Events of this step, and those that can be told now.
local events_key, untold_key, of_session = take(), take(), take()
local noted = {}
for n = 1, number() do noted[n] = { event = take(), agent = take(), is_known = take() == '1' } end
if #noted > 0 then
  need_rare()
  check(events_key, 'hash')
  check(untold_key, 'hash')
  check(event_number, 'string')
  check(evented, 'set')
end
local tells, agent, mine = take() == '1', nil, {}
if tells then
  agent = take()
  local rows = call('HGETALL', untold_key)
  for r = 1, #rows, 2 do
    local claimed, of = string.match(rows[r + 1], '^(-?%d+) (.*)$')
    if of == agent and is_free(tonumber(claimed)) then mine[#mine + 1] = tonumber(rows[r]) end
  end
  if #mine > 0 then check(events_key, 'hash') end
end

-- The session was seen, and this is a batch of it. When it was seen serves people: that is written now and then.
local session, live_key, seen = take(), take(), number()
local last, is_seen, known
if session ~= '' then
  known = call('HMGET', live_key, 'seen', 'ended', 'complete', 'sequence', 'sequence:' .. machine)
  last = known[1] and tonumber(known[1])
  is_seen = not last or ((known[2] or known[3]) and last < seen) or last + 10000 < seen
  if is_seen then
    need_rare()
    check(sessions_key, 'zset')
  end
end
if wrong then return wrong end

-- So would a user that may not do all of it: such a one does nothing. (Servers before 7.0 cannot say; who may empty the
-- server may do all.)
local may = redis.acl_check_cmd
if may and may('FLUSHALL') then may = nil end
local function refused(words)
  local place = string.match(words[2], '^.-:.-:%a:') or ''
  return redis.error_reply('NOPERM this user may not run ' .. words[1] .. ' on ' .. place .. '*')
end
if may then
  local always = { { 'HSET', KEYS[1], 'x', 'x' }, { 'HGETALL', KEYS[1] }, { 'SET', KEYS[1], 'x' }, { 'INCR', KEYS[1] },
    { 'ZADD', KEYS[1], '1', 'x' }, { 'SADD', KEYS[1], 'x' }, { 'SMEMBERS', KEYS[1] }, { 'HMGET', KEYS[1], 'x' },
    { 'SREM', KEYS[1], 'x' }, { 'HDEL', KEYS[1], 'x' }, { 'EXPIRE', KEYS[1], '1' } }
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

-- From here on everything is written.
for _, words in ipairs(commands) do call(unpack(words)) end
for _ = 1, number() do live_on(take()) end
for key, rows in pairs(dirty) do
  for since, counts in pairs(rows) do call('HSET', key, since, counts) end
  live_on(key)
end

-- Each threshold alerts once, whoever else is here.
for _, alert in ipairs(crossed) do
  if call('SET', alert.raised, '1', 'NX', 'EX', ttl) then
    local id = call('INCR', alert_number)
    local key = alert_prefix .. id
    call('HSET', key, 'alert', alert.alert, 'used', alert.used, 'place', alert.place, 'claimed', '0')
    call('EXPIRE', key, ttl)
    call('ZADD', alerts_key, id, id)
    call('SADD', unshown_key, id)
    for _, known in ipairs({ alerts_key, unshown_key, alert_number }) do call('EXPIRE', known, ttl) end
    if shown_places[alert.place] then claims[#claims + 1] = { tostring(id), alert.alert, alert.used } end
  end
end
for _, id in ipairs(gone) do call('SREM', unshown_key, id) end
for _, claim in ipairs(claims) do
  local key = alert_prefix .. claim[1]
  call('HSET', key, 'claimed', until_)
  call('SET', key .. ':claim', machine, 'PX', string.format('%.0f', tonumber(until_) - now))
end

for _, new in ipairs(noted) do
  local id = call('INCR', event_number)
  call('EXPIRE', event_number, ttl)
  call('HSET', events_key, id, new.event)
  call('EXPIRE', events_key, ttl)
  call('SADD', evented, of_session)
  call('EXPIRE', evented, ttl)
  if not new.is_known then
    call('HSET', untold_key, id, '0 ' .. new.agent)
    call('EXPIRE', untold_key, ttl)
    if new.agent == agent then mine[#mine + 1] = id end
  end
end
local events = {}
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

local sequence, own = 0, 0
if session ~= '' then
  -- A machine knows of its own batches only whether they are there: others' make up the number.
  sequence, own = (tonumber(known[4]) or 0) + 1, (tonumber(known[5]) or 0) + 1
  local words = { 'HSET', live_key, 'sequence', sequence, 'sequence:' .. machine, own }
  if is_seen then
    words[#words + 1], words[#words + 2] = 'seen', string.format('%.0f', math.max(last or seen, seen))
    call('HDEL', live_key, 'ended', 'complete')
    call('ZADD', sessions_key, 'GT', seen, session)
    call('EXPIRE', sessions_key, ttl)
  end
  call(unpack(words))
  if is_seen or sequence == 1 then call('EXPIRE', live_key, ttl) end
end

-- In few pieces: each takes the caller time.
local head, reply = { sequence, own, #claims, #events }, { 'done', '' }
for _, counter in ipairs(counters) do
  head[#head + 1], head[#head + 2] = counter.before, counter.after
end
reply[2] = table.concat(head, ' ')
for _, list in ipairs({ claims, events }) do
  for _, parts in ipairs(list) do
    for _, part in ipairs(parts) do reply[#reply + 1] = part end
  end
end
return reply
