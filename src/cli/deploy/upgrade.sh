#!/bin/sh
# upgrade.sh [--no-build]: brings a running system to the source beside it, one replica after the other,
# with never fewer of them than before. Migrations come first; they are made so that the code before
# them goes on working. COMPOSE_FILE and COMPOSE_PROJECT_NAME say which system, as for compose itself.
set -eu
cd "$(dirname "$0")/../../.."
within=${UPGRADE_WITHIN_SECONDS:-120}

compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

until_true() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    if [ "$tries" -ge "$within" ]; then
      echo "upgrade: waited $within seconds in vain for: $*" >&2
      return 1
    fi
    sleep 1
  done
}

is_healthy() {
  [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]
}

# Nginx knows the replica by one of its addresses.
is_joined() {
  for address in $(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1"); do
    compose exec -T nginx grep -qF "server $address:" /tmp/nginx/run/upstream.conf </dev/null && return 0
  done
  return 1
}

[ "${1:-}" = --no-build ] || compose build app nginx
compose run --rm --no-deps migrate

old=$(compose ps -q app)
count=$(echo "$old" | wc -w)
for replica in $old; do
  before=$(compose ps -q app)
  compose up -d --no-deps --no-recreate --scale "app=$((count + 1))" app
  for new in $(compose ps -q app); do
    case $before in *"$new"*) continue ;; esac
    if ! until_true is_healthy "$new" || ! until_true is_joined "$new"; then
      echo 'upgrade: stopped, the replicas that were there serve on; the new one said:' >&2
      docker logs --tail 20 "$new" >&2
      docker rm -f "$new" >/dev/null
      exit 1
    fi
  done
  docker stop -t 30 "$replica" >/dev/null
  docker rm "$replica" >/dev/null
  echo "upgrade: replaced $replica"
done

# A changed nginx.conf is taken into use without closing the port, and only if Nginx accepts it.
compose exec -T nginx sh -c 'cd /tmp/nginx && cat >next.conf && nginx -q -t -p /tmp/nginx/ -c /tmp/nginx/next.conf &&
  mv next.conf nginx.conf && kill -HUP "$(cat nginx.pid)"' <nginx.conf
echo "upgrade: done, $count replicas"
