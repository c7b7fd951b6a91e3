#!/bin/sh
# Makes a backup at once and then every BACKUP_EVERY_HOURS, and keeps the newest BACKUP_KEEP. Retries a
# failed backup after a minute.
set -eu
wait_seconds() {
  sleep "$1" &
  wait $!
}
trap 'exit 0' TERM INT
while :; do
  if sh src/cli/deploy/run.sh src/cli/backup.ts --keep "${BACKUP_KEEP:-14}"; then
    wait_seconds $((${BACKUP_EVERY_HOURS:-24} * 3600))
  else
    wait_seconds 60
  fi
done
