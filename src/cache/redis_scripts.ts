// Scripts that Redis runs in one step; another client's command could come between two commands.

// ARGV: generation, expiry on Redis' own clock, whether the lease must exist. A command that was
// delayed for longer than the lease must have no effect. A lease that is gone before its time shows
// that Redis was flushed: the tags are gone with it, and loads under way may need them.
export const RENEW = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local expiry = tonumber(ARGV[2])
if ARGV[3] == '1' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if now < expiry then redis.call('SET', KEYS[1], ARGV[1], 'PXAT', expiry) end
return now`;

// KEYS: the value, its tags. ARGV: position, value, milliseconds. A value that a tag has overtaken
// would never be valid, and may hold text that was erased meanwhile.
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

// KEYS: tags. ARGV: position, milliseconds. A late, older invalidation never lowers a tag's
// position.
export const DROP = `
for _, key in ipairs(KEYS) do
  local old = tonumber(redis.call('GET', key) or '0')
  if tonumber(ARGV[1]) > old then redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
end
return #KEYS`;
