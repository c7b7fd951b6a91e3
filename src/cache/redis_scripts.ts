// What Redis does in one step, where two commands would leave room for another client's.

// ARGV: generation, expiry on Redis' own clock, whether the lease must be there. A command that was
// held back for longer than the lease is worth nothing when it arrives. A lease that is gone before
// its time says that Redis was flushed: with it went the tags, which answers under way may need.
export const RENEW = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local expiry = tonumber(ARGV[2])
if ARGV[3] == '1' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if now < expiry then redis.call('SET', KEYS[1], ARGV[1], 'PXAT', expiry) end
return now`;

// KEYS: the answer, its tags. ARGV: position, value, milliseconds. What a tag has overtaken already would
// never be believed, and may hold text that was erased meanwhile.
export const PUT = `
for i = 2, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or '0') > tonumber(ARGV[1]) then return 0 end
end
local old = redis.call('GET', KEYS[1])
if old then
  local gen, position = string.match(old, '^(%S+) (%d+)')
  local mine = string.match(ARGV[2], '^(%S+)')
  if gen == mine and tonumber(position) > tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`;

// KEYS: tags. ARGV: position, milliseconds. A late, older drop never takes a newer one back.
export const DROP = `
for _, key in ipairs(KEYS) do
  local old = tonumber(redis.call('GET', key) or '0')
  if tonumber(ARGV[1]) > old then redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
end
return #KEYS`;
