# shellcheck shell=bash
# What scripts need that run something of Node's or a browser. Sourced.

# install_node_packages DIRECTORY: what its package-lock.json lists, in its node_modules. Installs again only when the
# lock file is another one than at the last installation. Packages run no scripts of their own.
install_node_packages() {
  local installed=$1/node_modules/.installed-from
  cmp -s "$1/package-lock.json" "$installed" && return
  say "fetching the npm packages of ${1#"$REPOSITORY/"}"
  npm ci --prefix "$1" --silent --no-audit --no-fund --ignore-scripts || fail "npm ci failed in $1"
  cp "$1/package-lock.json" "$installed"
}

# Prints where Chromium is: $CHROMIUM, or the first on the PATH. Fails when there is none.
chromium_program() {
  local program
  for program in ${CHROMIUM:+"$CHROMIUM"} chromium chromium-browser google-chrome-stable google-chrome; do
    command -v "$program" && return
  done
  return 1
}
