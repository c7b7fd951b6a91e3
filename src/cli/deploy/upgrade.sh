#!/bin/sh
# upgrade.sh [--no-build]: upgrades a running system to this source, one replica after the other, never with
# fewer replicas than before. Migrations run first; the previous version works with the migrated database.
# COMPOSE_FILE and COMPOSE_PROJECT_NAME select the system, as for compose itself.
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
      echo "upgrade: timed out after $within seconds: $*" >&2
      return 1
    fi
    sleep 1
  done
}

is_healthy() {
  [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]
}

# Whether Nginx lists one of the replica's addresses.
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

# Reloads a changed nginx.conf without closing the port, and only if Nginx accepts it.
compose exec -T nginx sh -c 'cd /tmp/nginx && cat >next.conf && nginx -q -t -p /tmp/nginx/ -c /tmp/nginx/next.conf &&
  mv next.conf nginx.conf && kill -HUP "$(cat nginx.pid)"' <nginx.conf
echo "upgrade: done, $count replicas"
