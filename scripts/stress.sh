#!/bin/sh
# Runs the complete stress tests, of which scripts/test.sh runs a sample. They kill syncs, in-place syncs and adoptions
# at every system call that changes the disk, cut the power at random moments, read bare, guarded and behind a gate
# while syncs publish and prune, damage repositories at random, sync an upstream that updates itself, load the HTTP
# server, let two hosts compete for one mirror, and let everything happen at once.
#
#   sh scripts/stress.sh [damage|gate-readers|http-load|kill|kill-in-place|power-cut|prune-readers|torn-read|turmoil|two-hosts|updating-upstream]...
#
# This takes some hours on two cores, and needs root for loop devices and namespaces. MIRRORLATCH_STRESS_SEED=N in the
# environment changes the random moments. Missing programs are installed with apt-get.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
. ./scripts/setup.sh

for name in "$@"; do
  [ -e "test/stress/$name.test.ts" ] || stop "there is no stress test $name" \
    'usage: sh scripts/stress.sh [damage|gate-readers|http-load|kill|kill-in-place|power-cut|prune-readers|torn-read|turmoil|two-hosts|updating-upstream]...'
done
[ "$(id -u)" = 0 ] || stop 'run this as root: it needs loop devices and namespaces.'

need_programs rsync:rsync mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs flock:util-linux \
  setpriv:util-linux losetup:mount python3:python3 cc:gcc gencat:libc6-dev bindfs:bindfs
need_build

MIRRORLATCH_STRESS=all
MIRRORLATCH_STRESS_SUMMARY=$(mktemp)
export MIRRORLATCH_STRESS MIRRORLATCH_STRESS_SUMMARY
trap 'rm -f -- "$MIRRORLATCH_STRESS_SUMMARY"' EXIT

ended=0
# One file after the other, because some of them measure time.
node_modules/.bin/vitest run --project stress --no-file-parallelism --reporter=verbose "$@" </dev/null || ended=$?

echo 'Figures:'
sed 's/^/  /' "$MIRRORLATCH_STRESS_SUMMARY"
exit "$ended"
