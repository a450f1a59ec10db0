# shellcheck shell=bash
# How the demo's processes are found again and ended, for scripts/demo and scripts/clean. Sourced.

# shellcheck disable=SC2034  # used by the scripts that source this
DEMO=$REPOSITORY/.local/demo

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
