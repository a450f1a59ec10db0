# shellcheck shell=bash
# What every script here shares: where the repository is, how to speak to a person, how to end with
# one clear sentence, and how to start a process and wait for it.
# Sourced, never run. Kept to what bash 3.2 understands, which is what macOS still ships.

# shellcheck disable=SC2034  # used by the scripts that source this
REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Progress goes to standard error, so that standard output stays usable by the next program.
say() { printf '%s\n' "$*" >&2; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# Every build here reads the query data committed in .sqlx, so that no database is needed to compile.
# Only scripts/sqlx-prepare turns this off.
export SQLX_OFFLINE=true

need_cargo() {
  have cargo || fail "cargo is missing: install Rust 1.95 or newer with rustup (https://rustup.rs), then run this again"
}

# A free TCP port on the loopback interface, below the range that Linux hands out to outgoing
# connections: a client that keeps trying a port whose server was killed would otherwise, now and
# then, be given that very port as its own and keep the server from coming back. Another program may
# still take the port before its server does; whoever starts a server tries again with another port.
free_port() {
  local port attempt
  for attempt in $(seq 1 200); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if ! port_answers "$port"; then
      echo "$port"
      return
    fi
  done
  fail "found no free port on 127.0.0.1 after $attempt tries"
}

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A zombie does not count: in a container whose first process reaps no orphans it stays for ever.
process_lives() {
  case ${1:+$(ps -o state= -p "$1" 2>/dev/null)} in
  '' | Z*) return 1 ;;
  esac
}

# wait_until SECONDS COMMAND...: polls until the command succeeds; fails when time is up.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# Starts a command as the leader of a session of its own, so that Ctrl-C in a terminal reaches only
# the script, which then stops its servers in order. Sets STARTED_PID. The caller redirects.
start_detached() {
  if have setsid; then
    setsid "$@" </dev/null &
  else
    "$@" </dev/null &
  fi
  STARTED_PID=$!
}
