-- The keys of a session live on together: what counts in it must be known for as long as it is counted.
-- KEYS[1]: any key of the tenant. ARGV: ttl, data prefix, the session, then further keys.
local ttl, prefix, session = ARGV[1], ARGV[2], ARGV[3]
for _, hex in ipairs(redis.call('ZRANGE', prefix .. 'messages:' .. session, 0, -1)) do
  redis.call('EXPIRE', prefix .. 'message:' .. hex, ttl)
end
for at = 4, #ARGV do redis.call('EXPIRE', ARGV[at], ttl) end
return 1
