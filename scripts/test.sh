#!/bin/sh
# Sets up a fresh Debian machine with Node, then runs all checks and tests of the project, in less than 30 minutes on two
# cores. Package managers and shells that apt-get cannot install are named at the end, and what needs them is skipped. The
# last line is `N passed, N failed`, followed by `, N skipped` if tests were skipped. vitest counts the tests; a failing
# check, or a crash without a failed test, counts as one failure.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
. ./scripts/setup.sh

passed=0 failed=0 skipped=0
reports=$(mktemp -d)

# Prints the last line, however the script ends.
finish() {
  status=$?
  trap - EXIT
  trap '' HUP INT TERM # Otherwise the same Ctrl-C would kill rm.
  rm -rf -- "$reports"
  [ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
  [ -z "${without-}" ] || echo "Without what these Debian packages test, because apt-get could not install them:$without"
  figures="$passed passed, $failed failed"
  [ "$skipped" = 0 ] || figures="$figures, $skipped skipped"
  printf '%s\n' "$figures"
  exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# vitest_run NAME PROJECT...: run these projects, and add their counts to the totals. NAME names the report.
vitest_run() {
  report=$reports/$1.json
  shift
  projects=
  for project in "$@"; do projects="$projects --project $project"; done
  ended=0
  # shellcheck disable=SC2086 # a list of options
  node_modules/.bin/vitest run $projects --reporter=default --reporter=json --outputFile.json="$report" </dev/null || ended=$?
  # A file that cannot be loaded has failed, although it reports no failed test.
  figures=$(node -e '
    const report = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
    const broken = report.testResults.filter(
      (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"));
    console.log(report.numPassedTests, report.numFailedTests + broken.length, report.numPendingTests + report.numTodoTests);
  ' "$report") || figures='0 1 0'
  read -r these_passed these_failed these_skipped <<FIGURES
$figures
FIGURES
  # vitest can fail although every test passed, for example after an unhandled rejection.
  [ "$ended" = 0 ] || [ "$these_failed" != 0 ] || these_failed=1
  passed=$((passed + these_passed)) failed=$((failed + these_failed)) skipped=$((skipped + these_skipped))
}

need_programs rsync:rsync ssh:openssh-client sshd:openssh-server mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs \
  mkfs.btrfs:btrfs-progs flock:util-linux setpriv:util-linux losetup:mount ps:procps apt-ftparchive:apt-utils \
  cc:gcc gencat:libc6-dev dpkg-deb:dpkg python3:python3 man:man-db
# The tests of these are skipped where they cannot be installed.
want_programs bindfs:bindfs zsh:zsh fish:fish busybox:busybox dnf:dnf rpmbuild:rpm createrepo_c:createrepo-c zck:zchunk \
  pacman:pacman-package-manager makepkg:makepkg bsdtar:libarchive-tools pip:python3-pip curl:curl wget:wget debmirror:debmirror strace:strace \
  /usr/libexec/dnf-utils-3:dnf-plugins-core nginx:nginx-light apache2:apache2-bin squid:squid \
  apt-cacher-ng:apt-cacher-ng chromium:chromium promtool:prometheus systemd-analyze:systemd \
  logrotate:logrotate mmdebstrap:mmdebstrap faketime:faketime cron:cron lintian:lintian \
  systemd-nspawn:systemd-container
want_newer_apt /var/cache/mirrorlatch-test/trixie # Also in test/support/repositories/newer-apt.ts.
want_package_chroots /var/cache/mirrorlatch-test # Also in test/support/packages/debian-root.ts.
need_build
want_nodes # Also in test/e2e/node-versions.test.ts.

npm run --silent check </dev/null || { echo 'test.sh: npm run check failed.' >&2; failed=$((failed + 1)); }
vitest_run tests unit integration e2e
MIRRORLATCH_STRESS=sample
export MIRRORLATCH_STRESS
vitest_run stress stress

[ "$((passed + failed))" != 0 ] || stop 'no test was run.'
[ "$failed" = 0 ]
