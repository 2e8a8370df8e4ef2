-- One atomic step. If every value that the caller expects is current, writes and counts everything, and returns the
-- counters before and after. Otherwise writes nothing, and returns what differs.
--
-- KEYS[1]: the tenant's `epoch`, which selects the cluster node. ARGV[1]: the step as JSON (step.rs); then the expected
-- values, and the words of the writes.
local step = cjson.decode(ARGV[1])
local at = 1

-- Maximum bytes of differing values in a reply; the rest is checked in the next round.
local MAX_BYTES = 4000000

-- How many steps of a session are kept whose thresholds may be unchecked.
local MAX_UNCHECKED = 64

local differs, bytes = {}, 0
for i, place in ipairs(step.given) do
  local key, field, expected = place[1], place[2], false
  if place[3] then
    at = at + 1
    expected = ARGV[at]
  end
  local found
  if field == '' then found = call('GET', key) else found = call('HGET', key, field) end
  if found ~= expected and bytes < MAX_BYTES then
    differs[#differs + 1] = { i, found }
    bytes = bytes + (found and #found or 0)
  end
end
if #differs > 0 then return { differs, 0, 0, 0, {}, {} } end

-- Counters: a hash per family, value and window, with the start of counting as the field. Compute those that are missing
-- or unreadable.
local before = {}
for i, wanted in ipairs(step.counters) do
  local rows = rows_of(wanted.key)
  local text = rows[wanted.since]
  if not text or not counts(text, step.classes) then
    if text then set_aside(step, wanted.key .. ' ' .. wanted.since, text) end
    rows[wanted.since] = add_up(step, wanted)
    write('HSET', wanted.key, wanted.since, rows[wanted.since])
  end
  before[i] = rows[wanted.since]
end

-- A message changes the counters of its window that start before it. Missing counters are computed on demand.
for key, changes in pairs(step.moves) do
  local rows, changed = rows_of(key), {}
  for since, text in pairs(rows) do
    local from, sum = tonumber(since), counts(text, step.classes)
    if from and sum then
      for _, change in ipairs(changes) do
        if from <= change[1] then
          for class = 1, step.classes do sum[class] = sum[class] + change[2][class] end
          changed[since] = sum
        end
      end
    end
  end
  for since, sum in pairs(changed) do
    rows[since] = text_of(sum)
    write('HSET', key, since, rows[since])
  end
end

add_metrics(step, step.changes)
for _, count in ipairs(step.writes) do
  write(unpack(ARGV, at + 1, at + count))
  at = at + count
end

-- Whether there is something to show.
local session, is_unshown, is_untold = step.session, 0, 0
if #step.unshown > 0 then is_unshown = call('EXISTS', unpack(step.unshown)) end
if step.tell then
  for _, agent in ipairs(call('HVALS', session.untold)) do
    if agent == step.tell then is_untold = 1 end
  end
end

-- A batch: the session was seen, and the batch gets a number in the session and on this machine.
local sequence, of_machine = 0, 0
if step.seen then
  local known = call('HMGET', session.live, 'seen', 'ended', 'complete', 'sequence', session.machine)
  local last, seen = number_of(known[1]), tonumber(step.seen)
  sequence, of_machine = math.max(number_of(known[4]) or 0, 0) + 1, math.max(number_of(known[5]) or 0, 0) + 1
  if (known[2] or known[3]) and last and last < seen then write('HDEL', session.live, 'ended', 'complete') end
  seen = string.format('%.0f', math.max(last or seen, seen))
  write('HSET', session.live, 'sequence', sequence, session.machine, of_machine, 'seen', seen)
  write('ZADD', session.sessions, 'GT', seen, session.id)
end

-- The caller checks thresholds, but may die before it does. So the changes of each step are kept, and returned by later
-- steps, until one reports that they were checked (`checked`).
local answers, moved, unchecked = {}, {}, {}
for i, wanted in ipairs(step.counters) do
  local after = rows_of(wanted.key)[wanted.since]
  answers[i] = { before[i], after }
  if after ~= before[i] then moved[wanted.key .. ' ' .. wanted.since] = answers[i] end
end
if step.alerts then
  local known = call('HGETALL', session.unchecked)
  for i = 1, #known, 2 do
    local number = number_of(known[i]) or 0
    -- Give up on old steps: nobody may ever check them.
    if number <= step.checked or number <= sequence - MAX_UNCHECKED then
      write('HDEL', session.unchecked, known[i])
    else
      unchecked[#unchecked + 1] = known[i + 1]
    end
  end
  if next(moved) then write('HSET', session.unchecked, sequence, cjson.encode(moved)) end
end

local refused = commit(step.data_ttl, step.decided_ttl)
if refused then return refused end
return { {}, sequence, of_machine, is_unshown + is_untold, answers, unchecked }
