#!/bin/sh
# Prints Markdown tables of how real package managers, curl and wget fare while new snapshots are published. By path:
# bare, under `mirrorlatch run`, and under ROOT/.mirrorlatch/reader. By HTTP: from nginx and Apache alone, from
# `mirrorlatch serve`, and so on. Each run updates and installs from scratch in directories of its own, and leaves the
# machine's own packages alone.
#
#   sh scripts/clients.sh [--over path|http] [--way NAME]... [--runs N] [--every MS|syncs,...] [CLIENT...]
#
#   --over path    one of the two tables (default: both)
#   --way NAME     one of the ways by HTTP, such as 'nginx in front'; may be repeated (default: all)
#   --runs N       runs of each kind (default: 25)
#   --every MS     time between two publications, or `syncs`: real ones that prune, by HTTP only; separate several by
#                  commas (default: 300,5 by path; 2000,300,syncs by HTTP)
#   CLIENT         beginning of a client's name: apt, dnf, zypper, pacman, pip, npm, curl, wget (default: all that are
#                  installed)
#
# This takes about five hours on two cores; by HTTP, the rows of each way are printed as soon as it has been tried. If a
# guarded run fails or sees a mix, it is reported at once, its files are left, and the exit code is 1.
# Needs root to mount and to install. Missing programs are installed with apt-get, except zypper, which conflicts with
# dnf-plugins-core in Debian.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
. ./scripts/setup.sh

[ "$(id -u)" = 0 ] || stop 'run this as root: it has to mount and to install.'

need_programs rsync:rsync flock:util-linux dpkg-deb:dpkg apt-ftparchive:apt-utils dnf:dnf rpmbuild:rpm \
  createrepo_c:createrepo-c pacman:pacman-package-manager python3:python3 pip:python3-pip curl:curl wget:wget \
  nginx:nginx-light apache2:apache2-bin squid:squid apt-cacher-ng:apt-cacher-ng
need_build

# Below node_modules, so that the bundle finds the packages it imports, and as deep in the project as test/support,
# from where it finds the program.
bundle=node_modules/.cache/clients-table.mjs
node_modules/.bin/esbuild scripts/clients/table.ts --bundle --platform=node --format=esm --packages=external \
  --log-level=warning "--outfile=$bundle"
exec node "$bundle" "$@"
