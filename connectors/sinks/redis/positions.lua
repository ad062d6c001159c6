-- Keeps the geo index of last positions in step with their values, in whatever order writes come.
--
-- KEYS: the index, the versions of its members (a hash), when members expire and when their versions do (sorted sets),
--   all in one slot.
-- ARGV: milliseconds that versions outlive a write (0: for ever), and as one JSON list for each position: member,
--   source, version as 19 digits, the newest one replaced in the same form, longitude ('' when it is gone), latitude,
--   milliseconds to live (0: for ever). At most 1,000, as many as Lua passes on at once; each member once.
local keep, told = tonumber(ARGV[1]), cjson.decode(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local expired = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
if #expired > 0 then
  redis.call('ZREM', KEYS[1], unpack(expired))
  redis.call('ZREM', KEYS[3], unpack(expired))
end
local forgotten = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 1000)
if #forgotten > 0 then
  redis.call('HDEL', KEYS[2], unpack(forgotten))
  redis.call('ZREM', KEYS[4], unpack(forgotten))
end
local fields = {}
for n = 1, #told / 7 do
  fields[n] = told[7 * n - 5] .. '\0' .. told[7 * n - 6]
end
local held = redis.call('HMGET', KEYS[2], unpack(fields))
local said, kept, placed, dated, gone, lasting = {}, {}, {}, {}, {}, {}
for n = 1, #fields do
  local first = 7 * n - 6
  local version, replaces = told[first + 2], told[first + 3]
  if not held[n] or held[n] <= replaces then
    local member, longitude, ttl = told[first], told[first + 4], told[first + 6]
    said[#said + 1] = fields[n]
    said[#said + 1] = version
    if keep > 0 then
      kept[#kept + 1] = now + keep + ttl
      kept[#kept + 1] = fields[n]
    end
    if longitude == '' then
      gone[#gone + 1] = member
      lasting[#lasting + 1] = member
    else
      placed[#placed + 1] = longitude
      placed[#placed + 1] = told[first + 5]
      placed[#placed + 1] = member
      if ttl > 0 then
        dated[#dated + 1] = now + ttl
        dated[#dated + 1] = member
      else
        lasting[#lasting + 1] = member
      end
    end
  end
end
-- Versions last: where one of the others fails, the write is not taken for applied when it comes again.
for _, change in ipairs({
  { 'ZREM', KEYS[1], gone }, { 'GEOADD', KEYS[1], placed }, { 'ZADD', KEYS[3], dated }, { 'ZREM', KEYS[3], lasting },
  { 'ZADD', KEYS[4], kept }, { 'HSET', KEYS[2], said },
}) do
  if #change[3] > 0 then
    redis.call(change[1], change[2], unpack(change[3]))
  end
end
return 'OK'
