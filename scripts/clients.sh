#!/bin/sh
# Prints, as Markdown, how real package managers fare while snapshots are published under them: with nothing between
# them and the mirror, under `mirrorlatch run`, and under ROOT/.mirrorlatch/reader. Each run updates and installs from
# nothing, in directories of its own: the machine's own packages are not touched.
#
#   sh scripts/clients.sh [--runs N] [--every MS,...] [CLIENT...]
#
#   --runs N       runs of each kind (40)
#   --every MS     the time between two publications; more than one may be given (300,5)
#   CLIENT         the beginning of a client's name: apt, dnf, zypper, pacman, pip (all that are there)
#
# Takes about an hour on two cores. Ends with 1 when a guarded run failed or mixed, and says how. Needs root, to mount
# and to install; installs what is missing by apt-get, but for zypper: Debian's cannot be there beside
# dnf-plugins-core, which apt-get would remove for it.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
. ./scripts/setup.sh

[ "$(id -u)" = 0 ] || stop 'root is needed, to mount and to install.'

need_programs rsync:rsync flock:util-linux dpkg-deb:dpkg apt-ftparchive:apt-utils dnf:dnf rpmbuild:rpm \
  createrepo_c:createrepo-c pacman:pacman-package-manager python3:python3 pip:python3-pip
need_build

# Below node_modules, where it finds the packages that it imports.
bundle=node_modules/.cache/clients/table.mjs
node_modules/.bin/esbuild scripts/clients/table.ts --bundle --platform=node --format=esm --packages=external \
  --log-level=warning "--outfile=$bundle"
exec node "$bundle" "$@"
