# What scripts/*.sh share: the set-up of a fresh Debian machine that has Node. Sourced by POSIX sh, with the project
# as the working directory; nothing here runs by itself. Each function does only what is missing, so a second run
# needs no network and no root.

# The programs of e2fsprogs, openssh-server and others are in sbin, which an ordinary user's PATH leaves out.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

# stop MESSAGE...: end the script, one line each.
stop() {
  for line in "$@"; do printf '%s: %s\n' "$(basename -- "$0")" "$line" >&2; done
  exit 1
}

# need_programs PROGRAM:PACKAGE...: install the Debian packages of the programs that are not there.
need_programs() {
  missing=
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 && continue
    case " $missing " in *" ${pair#*:} "*) ;; *) missing="$missing ${pair#*:}" ;; esac
  done
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    stop "install what Debian calls:$missing" 'and run this again (there is no apt-get here to do it).'
  fi
  if [ "$(id -u)" != 0 ]; then
    stop "these Debian packages are missing:$missing" "as root: apt-get install$missing" 'and run this again.'
  fi
  echo "Installing the Debian packages that are missing:$missing"
  # shellcheck disable=SC2086 # a list of package names
  if ! apt_log=$({ apt-get -q update && apt-get -q -y --no-remove --no-install-recommends install $missing; } 2>&1 </dev/null); then
    printf '%s\n' "$apt_log" >&2
    stop "apt-get could not install:$missing"
  fi
}

# need_node: the Node that package.json asks for.
need_node() {
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || stop 'Node 20.19 or newer with npm is needed.'
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    stop "Node 20.19 or newer is needed, this is $(node --version)."
}

# need_build: node_modules as the lock file says, and dist made of src as it is.
need_build() {
  need_node
  # npm writes this file at the end of an installation: older than the lock file means another state.
  installed=node_modules/.package-lock.json
  if [ ! -e "$installed" ] || [ -n "$(find package-lock.json -newer "$installed")" ]; then
    [ ! -L node_modules ] || stop 'node_modules is a symlink: npm ci would empty what it leads to.' 'Remove it, and run this again.'
    echo 'Installing the Node packages of package-lock.json'
    npm ci --no-audit --no-fund --loglevel=error </dev/null || stop 'npm ci failed.'
  fi
  if [ ! -e dist/bin.js ] || [ -n "$(find src scripts/*.mjs package.json tsconfig.json -newer dist/bin.js)" ]; then
    echo 'Building dist'
    npm run --silent build </dev/null || stop 'the build failed.'
  fi
}

DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
