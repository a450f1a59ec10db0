# shellcheck shell=bash
# How the demo's processes are started, found again and ended, for scripts/demo and scripts/clean, and for
# scripts/check-api, which keeps its own in another directory. Sourced.

# shellcheck disable=SC2034  # used by the scripts that source this
DEMO=$REPOSITORY/.local/demo

# launch NAME COMMAND...: starts a program that outlives this script, with its log and process id.
launch() {
  local name=$1
  shift
  start_detached "$@" >"$DEMO/$name.log" 2>&1
  echo "$STARTED_PID" >"$DEMO/$name.pid"
}

# wait_for NAME URL: until the URL answers with success, or the program ends.
wait_for() {
  wait_until 90 answers_or_ended "$1" "$2" || true
  answers "$2" || fail "$1 did not start: $(tail -n 5 "$DEMO/$1.log")"
}
answers_or_ended() { answers "$2" || process_gone "$(cat "$DEMO/$1.pid")"; }
# A plain HTTP request by bash itself, so that no curl has to be installed.
answers() {
  local host path status
  host=${1#http://}
  path=/${host#*/}
  host=${host%%/*}
  {
    printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$host" >&3
    IFS=' ' read -r -t 5 _ status _ <&3
  } 2>/dev/null 3<>"/dev/tcp/${host%:*}/${host##*:}" || return 1
  [[ $status == 2* ]]
}

# end_process FILE NAME: ends the process whose id stands in FILE, if it is still the program NAME;
# process ids are used again.
end_process() {
  local pid
  pid=$(head -n 1 "$1" 2>/dev/null || true)
  process_lives "$pid" || return 0
  case $(ps -o comm= -p "$pid") in
  *"$2"*) ;;
  *) return 0 ;;
  esac
  kill -TERM "$pid" 2>/dev/null || true
  if ! wait_until 45 process_gone "$pid"; then
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 10 process_gone "$pid" || fail "$2 (process $pid) does not end"
  fi
}

process_gone() { ! process_lives "$1"; }

# Ends the engine, then the PostgreSQL that it leaves behind when it was killed, then the simulator.
stop_demo() {
  local data
  end_process "$DEMO/demo-webhook.pid" demo-webhook
  end_process "$DEMO/stripe-sync.pid" stripe-sync
  data=$(cat "$DEMO/postgres/data_directory" 2>/dev/null || echo "$DEMO/postgres/data")
  end_process "$data/postmaster.pid" postgres
  end_process "$DEMO/stripe-sim.pid" stripe-sim
}

# Removes a directory below .local, with a cluster that had to be kept elsewhere because PostgreSQL's
# user could not enter it.
remove_local() {
  local pointer data
  for pointer in "$1/postgres/data_directory" "$1"/*/postgres/data_directory; do
    [ -f "$pointer" ] || continue
    data=$(cat "$pointer")
    case $data in /var/lib/stripe-sync-postgres-*/data) rm -rf "${data%/data}" ;; esac
  done
  rm -rf "$1"
}
