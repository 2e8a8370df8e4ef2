-- One atomic step: what the caller takes for given is looked at; if all of it is so, everything is written, counted and
-- answered; else nothing is written, and the caller hears how it is.
--
-- KEYS[1]: the tenant's `epoch` (says to which node this goes, and what names of keys begin with). ARGV: the plan, see
-- arguments.rs.
--
-- An error half way would leave half a step. So everything is read first (a key that holds other data ends the step
-- there), what is only written to is asked for its kind, and then everything is written.
--
-- Most steps are a message more of a session, and find everything as the caller took it to be. They are what this is
-- written for: a hundred arguments cost a server more than all that it reads here, and tables and functions add to that.
-- So what few steps need is one text that most leave unread, and is worked out where it turns out to be needed.
local call, argv = redis.call, ARGV
local ttl, refreshes, is_batch, claims_alerts, claims_events, is_rare, absent, present, fields, blanks, scores, counts,
  wanted, distinct, listed, records, changed = struct.unpack('>I4BBBBBI4I4I4I4I4I4I4I4I4I4I4', argv[1])
local machine, session, seen = argv[2], argv[3], tonumber(argv[5])
local rare = is_rare == 1 and cjson.decode(argv[4])
local NONE = {}
local commands = rare and rare.commands or NONE
refreshes = refreshes == 1

-- Names of keys, as keys.rs makes them.
local prefix = string.sub(KEYS[1], 1, -1 - #'epoch')

-- Keys that are known to be of their kind: whether they are to live on from this step. (Those that begin are; the others
-- now and then.)
local expires, wrong = {}, nil
local function check(key, kind)
  if expires[key] ~= nil then return end
  local is = call('TYPE', key).ok
  if is == 'none' or is == kind then
    expires[key] = refreshes or is == 'none'
  else
    wrong = wrong or redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is .. ', and should hold a ' .. kind)
  end
end
local function live_on(key)
  if expires[key] then
    call('EXPIRE', key, ttl)
    expires[key] = false
  end
end

-- Counters: each hash is read once.
local hashes, stored = {}, 0
local function rows_of(key)
  local known = hashes[key]
  if not known then
    known = {}
    local rows = call('HGETALL', key)
    for r = 1, #rows, 2 do known[rows[r]] = rows[r + 1] end
    stored = stored + #rows / 2
    expires[key] = refreshes or #rows == 0
    hashes[key] = known
  end
  return known
end

-- What the caller takes for given: records that are not there, and that are (all read at once), then what stands in fields
-- of hashes, fields where nothing does, scores, and wanted counters.
local at, looked, given = 5, absent + present, true
local actual = looked > 0 and call('MGET', unpack(argv, at + 1, at + looked)) or {}
local values = at + present
for i = 1, absent do given = given and not actual[i] end
for i = absent + 1, looked do given = given and actual[i] == argv[values + i] end
at = at + looked + present
for i = 1, fields + blanks do
  local key, is_there = argv[at + 1], i <= fields
  local found = call('HGET', key, argv[at + 2])
  if found and expires[key] == nil then expires[key] = refreshes end
  looked = looked + 1
  actual[looked] = found
  given = given and found == (is_there and argv[at + 3])
  at = at + (is_there and 3 or 2)
end
for _ = 1, scores do
  looked = looked + 1
  actual[looked] = call('ZSCORE', argv[at + 1], argv[at + 2])
  given = given and (actual[looked] or '') == argv[at + 3]
  at = at + 3
end
-- Of each wanted counter: its key, since when, and what is in it before and after, as far as the caller knows.
local wanted_at = at + counts
for i = at + 1, at + counts do
  local w = wanted_at + 4 * (argv[i] - 1)
  looked = looked + 1
  actual[looked] = rows_of(argv[w + 1])[argv[w + 2]] or false
  given = given and (actual[looked] or '') == argv[w + 3]
end
if not given then
  -- MGET calls what is of another kind missing.
  for i = 1, absent + present do if not actual[i] then check(argv[5 + i], 'string') end end
end
-- Then what is written: members with scores, records, fields.
local listed_at = wanted_at + 4 * wanted
local records_at = listed_at + 3 * listed
local changed_at = records_at + 2 * records
for i = listed_at + 1, records_at, 3 do check(argv[i], 'zset') end
for i = changed_at + 1, changed_at + 3 * changed, 3 do check(argv[i], 'hash') end
for _, command in ipairs(commands) do
  if command.kind then check(command.words[2], command.kind) end
end
if wrong then return wrong end
if not given then return { 'given', actual } end

-- What is counted, in the order of the stored text (counts.rs has the same list).
local CLASSES = { 'input', 'output', 'cache_write_5m', 'cache_write_1h', 'cache_read', 'requests', 'tool_calls' }
local NOTHING = string.rep('0,', #CLASSES - 1) .. '0'
local before, after, is_expected, missing = {}, {}, true, nil
for i = 1, wanted do
  local w = wanted_at + 4 * i - 3
  local now, known, becomes = rows_of(argv[w])[argv[w + 1]], argv[w + 2], argv[w + 3]
  before[i] = now or NOTHING
  if now and now == known and becomes ~= '' then after[i] = becomes else is_expected = false end
  if not now then
    rare, missing = rare or cjson.decode(argv[4]), missing or {}
    if not rare.may_begin[i] then missing[#missing + 1] = i end
  end
end
if missing and #missing > 0 then return { 'missing', missing } end

-- They move: those of the window, and those that count since a moment before the message. Where nobody else counted in
-- between, and no others are there, the caller has added it up: doing that here takes longer than all the rest.
local foreseen, dirty = after, nil
local function split(text)
  local n = {}
  for c in string.gmatch(text, '[^,]+') do n[#n + 1] = tonumber(c) end
  return n
end
if not is_expected or stored ~= distinct or (rare and rare.moves_others) then
  rare = rare or cjson.decode(argv[4])
  local settled = {}
  after, dirty = {}, {}
  local function set(key, since, text)
    hashes[key][since] = text
    dirty[key] = dirty[key] or {}
    dirty[key][since] = text
  end
  for i = 1, wanted do
    local key, since = argv[wanted_at + 4 * i - 3], argv[wanted_at + 4 * i - 2]
    if foreseen[i] then
      settled[key] = settled[key] or {}
      settled[key][since] = true
      if foreseen[i] ~= before[i] then set(key, since, foreseen[i]) end
    end
  end
  for _, move in ipairs(rare.moves) do
    local key = move.key or argv[wanted_at + 4 * move.counter - 3]
    local rows, done = rows_of(key), settled[key] or {}
    -- There may be others, of a reset that was known before.
    if move.may_begin and not rows[move.start] then rows[move.start] = NOTHING end
    for since, text in pairs(rows) do
      if not done[since] and tonumber(since) <= move.at then
        local sum, by = split(text), split(move.change)
        for c = 1, #CLASSES do sum[c] = string.format('%.0f', sum[c] + by[c]) end
        set(key, since, table.concat(sum, ','))
      end
    end
  end
  for i = 1, wanted do
    local key, since = argv[wanted_at + 4 * i - 3], argv[wanted_at + 4 * i - 2]
    after[i] = rows_of(key)[since]
    if not after[i] then
      after[i] = before[i]
      set(key, since, after[i])
    end
  end
end

-- Thresholds that this step crosses. Where a counter was added up as the caller expected, that knows, too, which it
-- crosses.
local crossed
if not is_expected or (rare and rare.may_cross) then
  crossed = {}
  local function measure(text, which)
    local sum, n = 0, split(text)
    for c = 1, #CLASSES do if string.sub(which, c, c) == '1' then sum = sum + n[c] end end
    return math.max(sum, 0)
  end
  for _, budget in ipairs(rare.alerting) do
    if budget.may_cross or not foreseen[budget.counter] then
      local was, is = measure(before[budget.counter], budget.which), measure(after[budget.counter], budget.which)
      for units in string.gmatch(budget.thresholds, '%d+') do
        if was < tonumber(units) and tonumber(units) <= is then
          local known = budget.alerts[units]
          -- The caller did not see it coming.
          if not known then return { 'alerts' } end
          crossed[#crossed + 1] =
            { raised = known[1], alert = known[2], place = budget.place, used = string.format('%.0f', is) }
        end
      end
    end
  end
  if #crossed > 0 then
    check(prefix .. 'alerts', 'zset')
    check(prefix .. 'unshown', 'set')
    check(prefix .. 'alert_number', 'string')
  end
end

-- Alerts that can be shown now, as far as others have not claimed them.
local function is_free(claimed) return not (claimed > rare.now and claimed <= rare.latest_claim) end
local claims, gone = nil, NONE
if claims_alerts == 1 then
  local ids = call('SMEMBERS', prefix .. 'unshown')
  if #ids > 0 then
    rare = rare or cjson.decode(argv[4])
    claims, gone = {}, {}
    table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
    for _, id in ipairs(ids) do
      local key = prefix .. 'alert:' .. id
      local found = call('HMGET', key, 'alert', 'used', 'place', 'claimed')
      if not found[1] then
        gone[#gone + 1] = id
      elseif rare.shows[found[3]] and is_free(tonumber(found[4])) then
        -- Clocks of two machines cannot be compared: another one's claim ends by the server's.
        local by = call('GET', key .. ':claim')
        if not by or by == machine then claims[#claims + 1] = { id, found[1], found[2] } end
      end
    end
  end
end

-- Events of this step, and those that can be told now.
local noted, mine
if rare and #rare.events > 0 then
  noted = rare.events
  check(prefix .. 'events:' .. session, 'hash')
  check(prefix .. 'untold:' .. session, 'hash')
  check(prefix .. 'event_number', 'string')
  check(prefix .. 'evented', 'set')
end
if claims_events == 1 then
  local rows = call('HGETALL', prefix .. 'untold:' .. session)
  if #rows > 0 then
    rare = rare or cjson.decode(argv[4])
    mine = {}
    for r = 1, #rows, 2 do
      local claimed, of = string.match(rows[r + 1], '^(-?%d+) (.*)$')
      if of == rare.agent and is_free(tonumber(claimed)) then mine[#mine + 1] = tonumber(rows[r]) end
    end
    if #mine > 0 then check(prefix .. 'events:' .. session, 'hash') end
  end
end

-- The session was seen, and this is a batch of it. When it was seen serves people: that is written now and then.
local live_key, own_batches, known, last, is_seen
if is_batch == 1 then
  live_key, own_batches = prefix .. 'live:' .. session, 'sequence:' .. machine
  known = call('HMGET', live_key, 'seen', 'ended', 'complete', 'sequence', own_batches)
  last = known[1] and tonumber(known[1])
  is_seen = not last or ((known[2] or known[3]) and last < seen) or last + 10000 < seen
  if is_seen then check(prefix .. 'sessions', 'zset') end
end
if wrong then return wrong end

-- So would a user that may not do all of it: such a one does nothing. (Servers before 7.0 cannot say; who may empty the
-- server may do all.)
local may = redis.acl_check_cmd
if may and not may('FLUSHALL') then
  local refused, place
  local function try(name, key, ...)
    if not refused and not may(name, key, ...) then refused, place = name, string.match(key, '^.-:.-:%a:') or '' end
  end
  local any = KEYS[1]
  try('HSET', any, 'x', 'x')
  try('HGETALL', any)
  try('SET', any, 'x')
  try('INCR', any)
  try('ZADD', any, '1', 'x')
  try('SADD', any, 'x')
  try('SMEMBERS', any)
  try('HMGET', any, 'x')
  try('SREM', any, 'x')
  try('HDEL', any, 'x')
  try('EXPIRE', any, '1')
  for i = listed_at + 1, records_at, 3 do try('ZADD', argv[i], '1', 'x') end
  for i = records_at + 1, changed_at, 2 do try('SET', argv[i], 'x', 'EX', '1') end
  for i = changed_at + 1, changed_at + 3 * changed, 3 do try('HSET', argv[i], 'x', 'x') end
  for _, command in ipairs(commands) do try(unpack(command.words)) end
  if refused then return redis.error_reply('NOPERM this user may not run ' .. refused .. ' on ' .. place .. '*') end
end

-- From here on everything is written.
for i = listed_at + 1, records_at, 3 do
  call('ZADD', argv[i], argv[i + 1], argv[i + 2])
  live_on(argv[i])
end
for _, command in ipairs(commands) do call(unpack(command.words)) end
for i = records_at + 1, changed_at, 2 do call('SET', argv[i], argv[i + 1], 'EX', ttl) end
for i = changed_at + 1, changed_at + 3 * changed, 3 do
  call('HSET', argv[i], argv[i + 1], argv[i + 2])
  live_on(argv[i])
end
for _, command in ipairs(commands) do
  if command.kind then live_on(command.words[2]) end
end
if dirty then
  for key, rows in pairs(dirty) do
    for since, text in pairs(rows) do call('HSET', key, since, text) end
    live_on(key)
  end
else
  for i = 1, wanted do
    local key, since = argv[wanted_at + 4 * i - 3], argv[wanted_at + 4 * i - 2]
    if after[i] ~= hashes[key][since] then
      call('HSET', key, since, after[i])
      hashes[key][since] = after[i]
      live_on(key)
    end
  end
end

-- Each threshold alerts once, whoever else is here.
if crossed then
  local alerts, unshown, number = prefix .. 'alerts', prefix .. 'unshown', prefix .. 'alert_number'
  for _, alert in ipairs(crossed) do
    if call('SET', alert.raised, '1', 'NX', 'EX', ttl) then
      local id = call('INCR', number)
      local key = prefix .. 'alert:' .. id
      call('HSET', key, 'alert', alert.alert, 'used', alert.used, 'place', alert.place, 'claimed', '0')
      call('EXPIRE', key, ttl)
      call('ZADD', alerts, id, id)
      call('SADD', unshown, id)
      for _, name in ipairs({ alerts, unshown, number }) do call('EXPIRE', name, ttl) end
      claims = claims or {}
      if rare.shows[alert.place] then claims[#claims + 1] = { tostring(id), alert.alert, alert.used } end
    end
  end
end
for _, id in ipairs(gone) do call('SREM', prefix .. 'unshown', id) end
for _, claim in ipairs(claims or NONE) do
  local key = prefix .. 'alert:' .. claim[1]
  call('HSET', key, 'claimed', rare.claim_end)
  call('SET', key .. ':claim', machine, 'PX', string.format('%.0f', tonumber(rare.claim_end) - rare.now))
end

if noted then
  local events, untold = prefix .. 'events:' .. session, prefix .. 'untold:' .. session
  local number, evented = prefix .. 'event_number', prefix .. 'evented'
  for _, new in ipairs(noted) do
    local event, agent, is_known = unpack(new)
    local id = call('INCR', number)
    call('EXPIRE', number, ttl)
    call('HSET', events, id, event)
    call('EXPIRE', events, ttl)
    call('SADD', evented, session)
    call('EXPIRE', evented, ttl)
    if not is_known then
      call('HSET', untold, id, '0 ' .. agent)
      call('EXPIRE', untold, ttl)
      mine = mine or {}
      if agent == rare.agent then mine[#mine + 1] = id end
    end
  end
end
local told = mine and {}
if mine then table.sort(mine) end
for _, id in ipairs(mine or NONE) do
  local event = call('HGET', prefix .. 'events:' .. session, id)
  if event then
    call('HSET', prefix .. 'untold:' .. session, id, rare.claim_end .. ' ' .. rare.agent)
    told[#told + 1] = { id, event }
  else
    call('HDEL', prefix .. 'untold:' .. session, id)
  end
end

local sequence, own = 0, 0
if is_batch == 1 then
  -- A machine knows of its own batches only whether they are there: others' make up the number.
  sequence, own = (tonumber(known[4]) or 0) + 1, (tonumber(known[5]) or 0) + 1
  if is_seen then
    local latest = string.format('%.0f', math.max(last or seen, seen))
    call('HDEL', live_key, 'ended', 'complete')
    call('ZADD', prefix .. 'sessions', 'GT', seen, session)
    call('EXPIRE', prefix .. 'sessions', ttl)
    call('HSET', live_key, 'sequence', sequence, own_batches, own, 'seen', latest)
  else
    call('HSET', live_key, 'sequence', sequence, own_batches, own)
  end
  if is_seen or sequence == 1 then call('EXPIRE', live_key, ttl) end
end

-- In few pieces: each takes the caller time.
local head, reply = { sequence, own, claims and #claims or 0, told and #told or 0 }, { 'done', '' }
for i = 1, wanted do head[3 + 2 * i], head[4 + 2 * i] = before[i], after[i] end
reply[2] = table.concat(head, ' ')
if not claims and not told then return reply end
for _, list in ipairs({ claims or NONE, told or NONE }) do
  for _, parts in ipairs(list) do
    for _, part in ipairs(parts) do reply[#reply + 1] = part end
  end
end
return reply
