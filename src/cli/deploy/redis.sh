#!/bin/sh
# Runs Redis with its password in a file on a tmpfs, so that no process list shows it.
# No eviction: if Redis evicted a tag, an older cached answer would count as current.
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
