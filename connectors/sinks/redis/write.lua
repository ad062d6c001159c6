-- Applies writes to values under keys, each only when nothing newer than what it replaces is held of (entity, source).
--
-- KEYS: for each write its entity's versions (a hash) and its value (a string).
-- ARGV: prefix of channels ('' for none), milliseconds that versions outlive a write (0: for ever), and as one
--   MessagePack list for each write: the key as watchers know it, source, version as 19 digits, the newest one replaced
--   in the same form (one that begins with '-' sorts before all others), 'u' or 'd', milliseconds to live
--   as text ('': for ever), the value as JSON, and where the entity's value lies by itself ('': where it is written to).
--   One list and not arguments, which took the client a third of all its time; MessagePack, because a JSON text inside
--   of another one is escaped and read once more; a text, because Redis writes a number of Lua with 17 digits.
-- A version is kept as its 19 digits and one of '+' (held), '-' (deleted), or the time in ms when what it wrote expires.
-- Text, because numbers of Lua are floating point and would lose what is beyond 2^53.
-- Returns a text of a letter for each write ('a' applied, 's' superseded, 'e' error), then the errors in their order.
local outcomes, answer = {}, {}
local channel, keep, told = ARGV[1], tonumber(ARGV[2]), cmsgpack.unpack(ARGV[3])
local keys, call, pcall, sub = KEYS, redis.call, redis.pcall, string.sub
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local marks = {}
for n = 1, #keys / 2 do
  local versions, value = keys[2 * n - 1], keys[2 * n]
  local first = 1 + (n - 1) * 8
  local name, source, version = told[first], told[first + 1], told[first + 2]
  local replaces, operation = told[first + 3], told[first + 4]
  local ttl, content, home = told[first + 5], told[first + 6], told[first + 7]
  if home == '' then
    home = value
  end
  local held = pcall('HMGET', versions, source, '')
  if held.err then
    outcomes[n] = 'e'
    answer[#answer + 1] = held.err
  elseif held[1] and sub(held[1], 1, 19) > replaces then
    outcomes[n] = 's'
  else
    -- The field without a name says where the value lies when that is not at home.
    local before = held[2] or home
    if before ~= value then
      call('DEL', before)
    end
    local mark
    if operation == 'd' then
      call('DEL', value)
      mark = '-'
    elseif ttl ~= '' then
      call('SET', value, content, 'PX', ttl)
      mark = marks[ttl]
      if not mark then
        mark = string.format('%.0f', now + ttl)
        marks[ttl] = mark
      end
    else
      call('SET', value, content)
      mark = '+'
    end
    if value ~= home then
      call('HSET', versions, source, version .. mark, '', value)
    else
      call('HSET', versions, source, version .. mark)
      if held[2] then
        call('HDEL', versions, '')
      end
    end
    if keep > 0 then
      call('PEXPIRE', versions, keep + (tonumber(ttl) or 0))
    end
    if channel ~= '' then
      local number = string.match(version, '^0*(%d+)$')
      local op, seen = 'upsert', content
      if operation == 'd' then
        op, seen = 'delete', 'null'
      end
      call('PUBLISH', channel .. name, '{"op":"' .. op .. '","version":' .. number .. ',"value":' .. seen .. '}')
    end
    outcomes[n] = 'a'
  end
end
table.insert(answer, 1, table.concat(outcomes))
return answer
