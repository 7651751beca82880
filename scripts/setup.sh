# Functions that set up a fresh Debian machine with Node, shared by scripts/*.sh. POSIX sh sources this file with the
# project as the working directory. Each function installs only what is missing, so a second run needs neither network
# nor root.

# The programs of e2fsprogs, openssh-server and others are in sbin, which is not in an ordinary user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

# stop MESSAGE...: print each message on a line of its own, and exit with 1.
stop() {
  for line in "$@"; do printf '%s: %s\n' "$(basename -- "$0")" "$line" >&2; done
  exit 1
}

# need_programs PROGRAM:PACKAGE...: install the Debian packages of missing programs.
need_programs() {
  missing=
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 && continue
    case " $missing " in *" ${pair#*:} "*) ;; *) missing="$missing ${pair#*:}" ;; esac
  done
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    stop "these Debian packages are missing:$missing" 'There is no apt-get. Install the same programs by other means.'
  fi
  if [ "$(id -u)" != 0 ]; then
    stop "these Debian packages are missing:$missing" "Install them as root: apt-get install$missing"
  fi
  echo "Installing missing Debian packages:$missing"
  # shellcheck disable=SC2086 # a list of package names
  if ! apt_log=$({ apt-get -q update && apt-get -q -y --no-remove --no-install-recommends install $missing; } 2>&1 </dev/null); then
    printf '%s\n' "$apt_log" >&2
    stop "apt-get could not install:$missing"
  fi
}

# need_node: stop unless Node is as new as package.json requires.
need_node() {
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || stop 'Node 20.19 or newer and npm are required.'
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    stop "Node 20.19 or newer is required; this is $(node --version)."
}

# need_build: bring node_modules up to date with the lock file, and dist with src.
need_build() {
  need_node
  # npm writes this file when an installation is complete.
  installed=node_modules/.package-lock.json
  if [ ! -e "$installed" ] || [ -n "$(find package-lock.json -newer "$installed")" ]; then
    [ ! -L node_modules ] || stop 'node_modules is a symlink, and npm ci would empty its target.' 'Remove the symlink first.'
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
