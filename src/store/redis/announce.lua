-- Raises alerts, each only once, and claims alerts and events to show. The caller has some seconds to show and confirm
-- them; after that, they can be claimed again.
--
-- KEYS[1]: the tenant's `epoch`. ARGV[1]: the request as JSON (alerts.rs).
local ask = cjson.decode(ARGV[1])

local number, raised_now = number_of(call('GET', ask.alert_number)) or 0, {}
for _, alert in ipairs(ask.raise) do
  local raised, unshown, text, changes = unpack(alert)
  if call('EXISTS', raised) == 0 then
    number = number + 1
    write('SET', raised, '1')
    write('SET', ask.alert .. number, text)
    write('ZADD', ask.alerts, number, number)
    write('SADD', unshown, number)
    add_metrics(ask, changes)
    raised_now[#raised_now + 1] = { tostring(number), text, unshown }
  end
end
if #raised_now > 0 then write('SET', ask.alert_number, number) end

-- Clocks of two machines cannot be compared, so another machine's claim ends by its TTL. A claim of this machine that
-- ends later than a new one would is from before the clock was set back. A claim names its list, for the confirmation.
local function claim(key, list)
  local owner, ends = string.match(call('GET', key) or '', '^(%S+) (%d+) ')
  local at = number_of(ends)
  local is_over = owner == ask.machine and (not at or at <= ask.now or at > ask.latest)
  if owner and not is_over then return false end
  local claimed = string.format('%s %.0f %s', ask.machine, ask.ends, list)
  write('SET', key, claimed, 'PX', string.format('%.0f', ask.ends - ask.now))
  return true
end

local shown = {}
for _, unshown in ipairs(ask.show) do
  for _, id in ipairs(call('SMEMBERS', unshown)) do
    local text = number_of(id) and call('GET', ask.alert .. id)
    if not text then
      write('SREM', unshown, id)
    elseif claim(ask.alert .. id .. ':claim', unshown) then
      shown[#shown + 1] = { id, text }
    end
  end
  for _, alert in ipairs(raised_now) do
    if alert[3] == unshown and claim(ask.alert .. alert[1] .. ':claim', unshown) then shown[#shown + 1] = alert end
  end
end

local told = {}
if ask.tell then
  local rows = call('HGETALL', ask.untold)
  for i = 1, #rows, 2 do
    local text = number_of(rows[i]) and call('HGET', ask.events, rows[i])
    if not text then
      write('HDEL', ask.untold, rows[i])
    elseif rows[i + 1] == ask.tell and claim(ask.event .. rows[i] .. ':claim', ask.untold) then
      told[#told + 1] = { rows[i], text }
    end
  end
end

for _, alert in ipairs(shown) do alert[3] = nil end
local function by_number(a, b) return tonumber(a[1]) < tonumber(b[1]) end
table.sort(shown, by_number)
table.sort(told, by_number)
local refused = commit(ask.data_ttl, ask.decided_ttl)
if refused then return refused end
return { shown, told }
