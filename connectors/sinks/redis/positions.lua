-- Keeps the geo index of last positions in step with their values, in whatever order writes come.
--
-- KEYS: the index, the versions of its members (a hash), when members expire (a sorted set), all in one slot.
-- ARGV: for each position: member, source, version as 19 digits, longitude ('' when it is gone),
--   latitude, ms to live (0: for ever).
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('ZREM', KEYS[3], member)
end
for first = 1, #ARGV, 6 do
  local member, source, version = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  local longitude, latitude, ttl = ARGV[first + 3], ARGV[first + 4], tonumber(ARGV[first + 5])
  local field = source .. '\0' .. member
  local held = redis.call('HGET', KEYS[2], field)
  if not held or held < version then
    redis.call('HSET', KEYS[2], field, version)
    if longitude == '' then
      redis.call('ZREM', KEYS[1], member)
      redis.call('ZREM', KEYS[3], member)
    else
      redis.call('GEOADD', KEYS[1], longitude, latitude, member)
      if ttl > 0 then
        redis.call('ZADD', KEYS[3], now + ttl, member)
      else
        redis.call('ZREM', KEYS[3], member)
      end
    end
  end
end
return 'OK'
