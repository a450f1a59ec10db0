# shellcheck shell=bash
# Private servers: what scripts/postgres and scripts/rabbitmq share, and how other scripts have servers for
# as long as they run. Sourced.

# shellcheck disable=SC2034  # durable is used by scripts/postgres

# server_command NAME COMMAND DIR OPTION...: what scripts/NAME does, which has these functions. They find the
# server's directory in $directory, and whether it is to be durable in $durable.
#   bindir          prints where the programs are; fails when missing
#   start_server    starts it, with the data and the ports of the last start, and prints its URL
#   kill_server     ends every process at once, if any runs
server_command() {
  local name=$1 command=${2:-} owner=''
  directory=${3:-}
  durable=''
  if [ $# -gt 3 ]; then shift 3; else shift $#; fi
  while [ $# -gt 0 ]; do
    case $1 in
    --owner) owner=${2:?--owner needs a process id} && shift ;;
    --durable) durable=yes ;;
    *) fail "unknown option '$1': --owner PID or --durable" ;;
    esac
    shift
  done
  case $command in
  bindir)
    bindir
    return
    ;;
  start | kill | remove) [ -n "$directory" ] || fail "which directory? scripts/$name $command DIR" ;;
  *) fail "unknown command '$command': bindir, start, kill or remove" ;;
  esac
  case $directory in /*) ;; *) directory=$PWD/$directory ;; esac
  case $command in
  start)
    mkdir -p "$directory"
    if [ -n "$owner" ]; then watch_owner "$owner" "$name"; fi
    start_server
    ;;
  kill) kill_server ;;
  remove) kill_server && rm -rf "$directory" ;;
  esac
}

# Removes the server when its owner is gone, so that a run that was killed with SIGKILL leaves none behind. Begins before
# the server starts, and waits for this script too, so that neither's death leaves a server that is half started.
watch_owner() {
  # shellcheck disable=SC2016  # expanded by the watcher
  start_detached bash -c 'while kill -0 "$1" || kill -0 "$2"; do sleep 1; done; exec "$3" remove "$4"' \
    watch-owner "$1" $$ "$REPOSITORY/scripts/$2" "$directory" >/dev/null 2>&1
}

# private_server NAME OPTION...: starts a server in the background, in $servers. It is gone when this script ends, however
# it ends.
private_server() {
  if [ -z "${servers:-}" ]; then
    servers=$(server_directory)
    trap remove_servers EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
  fi
  "scripts/$1" start "$servers/$1" --owner $$ "${@:2}" >"$servers/$1.url" &
}

remove_servers() {
  local url name
  for url in "$servers"/*.url; do
    name=$(basename "$url" .url)
    "scripts/$name" remove "$servers/$name" || true
  done
  rm -rf "$servers"
}

# Waits until the servers have started, and says where they are in TEST_DATABASE_URL and TEST_AMQP_URL.
wait_for_servers() {
  local url
  wait
  for url in "$servers"/*.url; do [ -s "$url" ] || fail "the private $(basename "$url" .url) did not start"; done
  TEST_DATABASE_URL=$(cat "$servers/postgres.url")
  TEST_AMQP_URL=$(cat "$servers/rabbitmq.url" 2>/dev/null || true)
  export TEST_DATABASE_URL TEST_AMQP_URL
}

# The user that runs PostgreSQL, which refuses to run as root: this one, unless this one is root.
server_user() {
  local user
  if ! is_root; then
    id -un
    return
  fi
  for user in postgres nobody; do
    if id "$user" >/dev/null 2>&1; then
      echo "$user"
      return
    fi
  done
  fail "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: run this as an ordinary user"
}

as_server() {
  local user
  if ! is_root; then
    "$@"
    return
  fi
  have setpriv || fail "setpriv is missing (package util-linux): install it or run this as an ordinary user"
  user=$(server_user)
  (cd / && setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups --reset-env -- "$@")
}

# A new directory for servers that live no longer than this script. PostgreSQL's user must be able to
# pass through it, which root's own TMPDIR may not allow.
server_directory() {
  local parent directory
  for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
    directory=$(mktemp -d "$parent/stripe-sync.XXXXXX") || continue
    chmod 0711 "$directory"
    if as_server test -x "$directory"; then
      echo "$directory"
      return
    fi
    rmdir "$directory"
  done
  fail "found no temporary directory that the user $(server_user) may enter"
}

random_hex() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
