#!/bin/sh
# run.sh [flags of deno run ...] PROGRAM [arguments ...]: runs one of our programs with the permissions
# that its configuration needs. The program replaces this shell, so that it receives the signals.
set -eu

deno_flags='--quiet --no-prompt --cached-only --frozen'
flags=
while [ "${1#-}" != "$1" ]; do
  flags="$flags $1"
  shift
done
program=$1
shift

# shellcheck disable=SC2086
lines=$(deno run $deno_flags --allow-env --allow-read --allow-sys=networkInterfaces \
  --allow-net="${LISTEN_NAME:-localhost}" src/cli/deploy/permissions.ts "$program")
set -f
# shellcheck disable=SC2086
set -- $deno_flags $flags $lines "$@"
exec deno run "$@"
