-- Returns what is held of entities. KEYS: for each its versions and its value; ARGV: the sources, one for each.
-- For each: the version as 19 digits with '+' or, when it was deleted or what it wrote has expired, '-' (nil: it is not
-- known), and whether a value is there, both as of one moment.
local found = {}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for n = 1, #ARGV do
  local held = redis.call('HMGET', KEYS[2 * n - 1], ARGV[n], '')
  local version = held[1]
  if version then
    local expires = tonumber(string.sub(version, 20))
    if expires then
      version = string.sub(version, 1, 19) .. (expires <= now and '-' or '+')
    end
  end
  found[2 * n - 1] = version
  found[2 * n] = redis.call('EXISTS', held[2] or KEYS[2 * n])
end
return found
