#!/bin/sh
# Redis with its password in a file of its own memory, so that no list of processes shows it.
# No eviction: a tag that Redis forgot early would let an older answer be believed.
set -eu
umask 077
cat >/tmp/redis.conf <<EOF
requirepass "$(cat /secrets/cache/password)"
dir /data
save ""
appendonly yes
appendfsync everysec
maxmemory ${REDIS_MEMORY:-192mb}
maxmemory-policy noeviction
EOF
exec redis-server /tmp/redis.conf --protected-mode no
