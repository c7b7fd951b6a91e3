#!/bin/sh
# Runs Nginx in a container with the project's own nginx.conf; run/ beside it holds the settings for
# containers. Debian's Nginx resolves a name only when it reads its configuration, so this script checks
# once a second which replicas exist and answer, and reloads Nginx when that changes.
set -eu
home=/tmp/nginx
access_log=/var/log/tallybook/access.log
largest_log=$((${ACCESS_LOG_MB:-64} * 1024 * 1024))
app_port=8000

mkdir -p "$home/run" "$home/logs" "$home/temp" "$home/cache"
cp /etc/tallybook/nginx.conf "$home/nginx.conf"
ln -sf /dev/stderr "$home/logs/error.log"
ln -sf "$access_log" "$home/logs/access.log"
cd "$home"

addresses() {
  getent ahostsv4 app | cut -d ' ' -f 1 | sort -u
}

answers() {
  curl -s -o /dev/null -m 1 "http://$1:$app_port/health/live" && echo "$1"
}

# A replica joins when it answers, and stays until its address leaves the DNS: Nginx itself skips a replica
# that is down.
replicas() {
  for address in $(addresses); do
    case " $joined " in
      *" $address "*) echo "$address" ;;
      *) answers "$address" & ;;
    esac
  done
  wait
}

write_replicas() {
  # Nginx skips a failed replica for a second. If it would skip all of them, it tries the backup entries:
  # a replica that has just come back answers although it is still marked as failed.
  for address in $joined; do
    echo "server $address:$app_port max_fails=1 fail_timeout=1s;"
    echo "server $address:$app_port max_fails=0 backup;"
  done >run/upstream.conf
  # Nginx refuses an upstream without servers, so this placeholder stands in until a replica answers.
  [ -n "$joined" ] || echo 'server 127.0.0.1:9 down;' >run/upstream.conf
  {
    echo 'geo $from_app { default 0;'
    for address in $joined; do echo "  $address 1;"; done
    echo '}'
    echo "map \"\$from_app \$http_x_tallybook_secret\" \$from_service {"
    echo "  default \"\"; \"1 $(cat /secrets/edge/nginx_secret)\" 1;"
    echo '}'
  } >run/service.conf
}

write_listen() {
  echo 'listen 8080 backlog=4096;' >run/listen.conf
  [ -z "${TLS_CERTIFICATE:-}" ] || write_tls
  # The service raises page versions at 8000; 8081 is for the health check.
  echo 'listen 127.0.0.1:8081; listen 8000;' >run/inside.conf
  case ${RATE_LIMIT:-on} in
    off | false | no | 0) : >run/limits.conf ;;
    *) echo 'limit_req zone=writes burst=200 nodelay;' >run/limits.conf ;;
  esac
}

# Plain HTTP redirects to PUBLIC_URL, never to the Host of the request: a client may forge it, and a cache
# on the way would serve the redirect to others.
write_tls() {
  host='([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?'
  origin=$(printf %s "${PUBLIC_URL:-}" | tr -d '\n' | sed -nE "s!^(https://$host)([/?#].*)?\$!\1!p")
  if [ -z "$origin" ]; then
    echo "nginx.sh: PUBLIC_URL must be an https:// address with TLS_CERTIFICATE: ${PUBLIC_URL:-}" >&2
    exit 1
  fi
  cat >run/listen.conf <<EOF
listen 8080;
listen 8443 ssl http2 backlog=4096;
ssl_certificate $TLS_CERTIFICATE;
ssl_certificate_key $TLS_KEY;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:tls:4m;
ssl_session_tickets off;
add_header Strict-Transport-Security "max-age=31536000" always;
# Errors on the plain port are answered there: an unreadable request has no URI to redirect.
set \$plain "\$server_port\$uri";
if (\$plain ~ "^8080(?!/-/refused_)") { return 308 $origin\$request_uri; }
EOF
}

# The app follows the log by name and offset, so the file is renamed, not truncated.
rotate_log() {
  size=$(wc -c <"$access_log")
  [ "$size" -gt "$largest_log" ] || return 0
  mv "$access_log" "$access_log.1"
  kill -USR1 "$nginx"
}

# A checksum that changes when the certificate is renewed.
certificate() {
  [ -z "${TLS_CERTIFICATE:-}" ] || cksum "$TLS_CERTIFICATE" "$TLS_KEY" 2>/dev/null || true
}

joined=
umask 077
write_listen
joined=$(replicas | sort | tr '\n' ' ')
write_replicas
umask 022
certificate=$(certificate)
nginx -p "$home/" -c "$home/nginx.conf" -e stderr -g 'daemon off;' &
nginx=$!
trap 'kill -QUIT "$nginx"' TERM QUIT INT

while kill -0 "$nginx" 2>/dev/null; do
  sleep 1 &
  wait $! || true
  found=$(replicas | sort | tr '\n' ' ')
  if [ -n "$found" ] && [ "$found" != "$joined" ]; then
    joined=$found
    write_replicas
    kill -HUP "$nginx"
  elif [ "$(certificate)" != "$certificate" ]; then
    certificate=$(certificate)
    kill -HUP "$nginx"
  fi
  rotate_log
done
wait "$nginx"
