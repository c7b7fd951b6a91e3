#!/bin/sh
# Nginx for containers. nginx.conf is the project's own; what is different here goes into run/ beside
# it. Plain Nginx looks a name up only when it reads its configuration, so once a second this looks
# which replicas there are and answer, and has Nginx read it again when that changed.
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

# A replica joins once it answers; those that joined stay for as long as their name does, for Nginx
# itself passes over one that is down.
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
  # One that failed is passed over for a second. Where all of them are, each is tried all the same: one
  # that has just come back answers while the mark on it still stands.
  for address in $joined; do
    echo "server $address:$app_port max_fails=1 fail_timeout=1s;"
    echo "server $address:$app_port max_fails=0 backup;"
  done >run/upstream.conf
  # An upstream without servers is refused; this one is down until there is another.
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
  # 8000 is where the service raises page versions; 8081 is for the health check.
  echo 'listen 127.0.0.1:8081; listen 8000;' >run/inside.conf
  case ${RATE_LIMIT:-on} in
    off | false | no | 0) : >run/limits.conf ;;
    *) echo 'limit_req zone=writes burst=200 nodelay;' >run/limits.conf ;;
  esac
}

# The plain side leads to PUBLIC_URL, never to the Host of a request: a client may send any, and a cache
# on the way would give its redirect to others.
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
# What was refused on the plain side is answered there: its address may be one that cannot be read.
set \$plain "\$server_port\$uri";
if (\$plain ~ "^8080(?!/-/refused_)") { return 308 $origin\$request_uri; }
EOF
}

# The app follows the log by name and offset, so it is moved aside whole.
turn_log() {
  size=$(wc -c <"$access_log")
  [ "$size" -gt "$largest_log" ] || return 0
  mv "$access_log" "$access_log.1"
  kill -USR1 "$nginx"
}

# What changes when a certificate is renewed.
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
  turn_log
done
wait "$nginx"
