-- Keeps the geo index of last positions in step with their values, in whatever order writes come.
--
-- KEYS: the index, the versions of its members (a hash), when members expire (a sorted set), all in one slot.
-- ARGV: as one JSON list for each position: member, source, version as 19 digits, longitude ('' when it is gone),
--   latitude, milliseconds to live (0: for ever). At most 1,000, as many as Lua passes on at once; each member once.
local told = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local expired = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
if #expired > 0 then
  redis.call('ZREM', KEYS[1], unpack(expired))
  redis.call('ZREM', KEYS[3], unpack(expired))
end
local fields = {}
for n = 1, #told / 6 do
  fields[n] = told[6 * n - 4] .. '\0' .. told[6 * n - 5]
end
local held = redis.call('HMGET', KEYS[2], unpack(fields))
local said, placed, dated, gone, lasting = {}, {}, {}, {}, {}
for n = 1, #fields do
  local first = 6 * n - 5
  local version = told[first + 2]
  if not held[n] or held[n] < version then
    local member, longitude, ttl = told[first], told[first + 3], told[first + 5]
    said[#said + 1] = fields[n]
    said[#said + 1] = version
    if longitude == '' then
      gone[#gone + 1] = member
      lasting[#lasting + 1] = member
    else
      placed[#placed + 1] = longitude
      placed[#placed + 1] = told[first + 4]
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
for _, change in ipairs({
  { 'HSET', KEYS[2], said }, { 'ZREM', KEYS[1], gone }, { 'GEOADD', KEYS[1], placed },
  { 'ZADD', KEYS[3], dated }, { 'ZREM', KEYS[3], lasting },
}) do
  if #change[3] > 0 then
    redis.call(change[1], change[2], unpack(change[3]))
  end
end
return 'OK'
