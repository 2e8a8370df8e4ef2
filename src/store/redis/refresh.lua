-- The keys of a session live on together: what counts in it must be known for as long as it is counted.
-- KEYS[1]: the tenant's `epoch`. ARGV: seconds, what the keys of messages begin with, the session's list of messages, then
-- further keys.
for _, hex in ipairs(redis.call('ZRANGE', ARGV[3], 0, -1)) do redis.call('EXPIRE', ARGV[2] .. hex, ARGV[1]) end
for i = 3, #ARGV do redis.call('EXPIRE', ARGV[i], ARGV[1]) end
return 1
