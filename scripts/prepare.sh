#!/bin/sh
# npm's `prepare`: builds dist for `npm ci`, and wherever npm installs a clone or packs it.
set -eu

# npm would link a clone that it then removes, and end with 0 (https://github.com/npm/cli/issues/6984).
case ${npm_config_global-}:$PWD in
true:*/_cacache/tmp/git-clone*)
  echo 'mirrorlatch: npm cannot install this from git with --global.' >&2
  echo '  Clone it, and run this in the clone: npm install --global .' >&2
  exit 1
  ;;
esac

# For a global installation npm does not fetch what the build needs. `npm ci` does, and starts this again.
[ ! -e node_modules/.package-lock.json ] || exec npm run --silent build
exec npm ci --global=false --include=dev --no-audit --no-fund --loglevel=error
