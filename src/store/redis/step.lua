-- One atomic step. What the caller takes for given is looked at; if all of it is so, everything is written and counted,
-- and the caller hears what the counters held before and hold now. Else nothing is written, and it hears what differs.
--
-- KEYS[1]: the tenant's `epoch`, which says to which node of a cluster this goes. ARGV[1]: the step as JSON (step.rs);
-- then the values that are taken for given, and the words of the writes, as they come.
local step = cjson.decode(ARGV[1])
local at = 1

-- A reply holds at most so many bytes of what differs: the rest is looked at in the next round.
local MOST_BYTES = 4000000

local differs, bytes = {}, 0
for i, place in ipairs(step.given) do
  local key, field, expected = place[1], place[2], false
  if place[3] then
    at = at + 1
    expected = ARGV[at]
  end
  local found
  if field == '' then found = call('GET', key) else found = call('HGET', key, field) end
  if found ~= expected and bytes < MOST_BYTES then
    differs[#differs + 1] = { i, found }
    bytes = bytes + (found and #found or 0)
  elseif step.refreshes and found and string.match(key, '^.-:.-:d:') then
    living[key] = true
  end
end
if #differs > 0 then return { 'given', differs } end

-- Counters: a hash for each family, value and window; its fields say since when they count. Each is read once.
local hashes = {}
local function rows_of(key)
  if not hashes[key] then
    local rows, found = {}, call('HGETALL', key)
    for i = 1, #found, 2 do rows[found[i]] = found[i + 1] end
    hashes[key] = rows
  end
  return hashes[key]
end

-- The numbers of a stored text; nil where it is none of a counter.
local function counts(text)
  local numbers = {}
  for part in string.gmatch(text .. ',', '([^,]*),') do
    if not string.match(part, '^-?%d+$') then return nil end
    numbers[#numbers + 1] = tonumber(part)
  end
  return #numbers == step.classes and numbers or nil
end

local missing, before = {}, {}
for i, wanted in ipairs(step.counters) do
  before[i] = rows_of(wanted.key)[wanted.since]
  if not before[i] or not counts(before[i]) then missing[#missing + 1] = i end
end
if #missing > 0 then return { 'missing', missing } end

-- A message moves the counters of its window that count since a moment before it. One that is not kept is not missed: it
-- is added up when somebody wants it.
for _, move in ipairs(step.moves) do
  local rows, changed = rows_of(move.key), {}
  for since, text in pairs(rows) do
    local from, sum = tonumber(since), counts(text)
    if from and sum then
      for _, change in ipairs(move.changes) do
        if from <= change[1] then
          for class = 1, step.classes do sum[class] = sum[class] + change[class + 1] end
          changed[since] = sum
        end
      end
    end
  end
  for since, sum in pairs(changed) do
    for class = 1, step.classes do sum[class] = string.format('%.0f', sum[class]) end
    rows[since] = table.concat(sum, ',')
    write('HSET', move.key, since, rows[since])
  end
end

for _, count in ipairs(step.writes) do
  write(unpack(ARGV, at + 1, at + count))
  at = at + count
end

-- Events are numbered. Those that somebody has to be told are listed, by their agent.
local session, is_untold = step.session, 0
if #step.events > 0 then
  local number = tonumber(call('GET', session.event_number) or '') or 0
  for _, event in ipairs(step.events) do
    number = number + 1
    write('HSET', session.events, number, event.text)
    if event.is_news then
      write('HSET', session.untold, number, event.agent)
      if event.agent == step.tell then is_untold = 1 end
    end
  end
  write('SET', session.event_number, number)
  write('SADD', session.evented, session.id)
end

-- What nobody has shown yet, of what the caller can show.
local is_unshown = 0
if #step.unshown > 0 then is_unshown = call('EXISTS', unpack(step.unshown)) end
if step.tell then
  for _, agent in ipairs(call('HVALS', session.untold)) do
    if agent == step.tell then is_untold = 1 end
  end
end

-- A batch of the session: it was seen, and the batch gets a number, and one among those of this machine.
local sequence, of_machine = 0, 0
if step.seen then
  local known = call('HMGET', session.live, 'seen', 'ended', 'complete', 'sequence', session.machine)
  local last, seen = tonumber(known[1] or ''), tonumber(step.seen)
  -- One that is no number begins anew: who knows a higher one finds that the store lacks something.
  sequence, of_machine = (tonumber(known[4] or '') or 0) + 1, (tonumber(known[5] or '') or 0) + 1
  if (known[2] or known[3]) and last and last < seen then write('HDEL', session.live, 'ended', 'complete') end
  seen = string.format('%.0f', math.max(last or seen, seen))
  write('HSET', session.live, 'sequence', sequence, session.machine, of_machine, 'seen', seen)
  write('ZADD', session.sessions, 'GT', seen, session.id)
end

-- Thresholds are looked for by the caller, which may die before it has. So what each step moved is kept until a later one
-- of the session says that this was done (`checked`), and answered to all in between.
local answers, moved, unchecked = {}, {}, {}
for i, wanted in ipairs(step.counters) do
  local after = rows_of(wanted.key)[wanted.since]
  answers[i] = { before[i], after }
  if after ~= before[i] then moved[wanted.key .. ' ' .. wanted.since] = answers[i] end
end
if step.alerts then
  local known = call('HGETALL', session.unchecked)
  for i = 1, #known, 2 do
    if tonumber(known[i]) <= step.checked then
      write('HDEL', session.unchecked, known[i])
    else
      unchecked[#unchecked + 1] = known[i + 1]
    end
  end
  if next(moved) then write('HSET', session.unchecked, sequence, cjson.encode(moved)) end
end

local refused = commit(step.data_ttl, step.decided_ttl)
if refused then return refused end
return { 'done', sequence, of_machine, is_unshown, is_untold, answers, unchecked }
