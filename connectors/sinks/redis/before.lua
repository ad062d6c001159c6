-- Returns what is held of entities, content included, as of one moment. KEYS: for each its versions and where its value
-- lies by itself; ARGV: the sources, one for each.
-- For each: the version as 19 digits and its mark (nil: it is not known), where the value lies (nil: another program has
-- one of the keys), the value (nil: none), and for how many milliseconds it still does (-1: for ever).
local found = {}
for n = 1, #ARGV do
  local held = redis.pcall('HMGET', KEYS[2 * n - 1], ARGV[n], '')
  local first = 4 * n - 3
  found[first], found[first + 1], found[first + 2], found[first + 3] = false, false, false, 0
  if not held.err then
    local place = held[2] or KEYS[2 * n]
    local value = redis.pcall('GET', place)
    if not (type(value) == 'table' and value.err) then
      found[first], found[first + 1], found[first + 2] = held[1], place, value
      found[first + 3] = redis.call('PTTL', place)
    end
  end
end
return found
