#!/bin/sh
# Shows in a minute what mirrorlatch is for. It makes an apt repository of real packages, mirrors it twice, with a
# plain `rsync -a --delete` in place and with `mirrorlatch sync`, changes it, and updates both mirrors while the same
# kind of readers is at work in them. Then it runs a real apt-get update, bare and under `mirrorlatch run`, on a mirror
# that flips all the time. Everything printed is measured in this run; the exit code is 1 if it does not hold.
#
#   sh scripts/demo.sh [--offline]     --offline: build small packages instead of downloading Debian's
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
. ./scripts/setup.sh

offline=
case $# in
  0) ;;
  1) [ "$1" = --offline ] || stop "unknown option: $1" 'usage: sh scripts/demo.sh [--offline]'; offline=yes ;;
  *) stop 'usage: sh scripts/demo.sh [--offline]' ;;
esac

need_programs rsync:rsync apt-ftparchive:apt-utils dpkg-deb:dpkg flock:util-linux setpriv:util-linux
need_build

program=$PWD/dist/mirrorlatch
arch=$(dpkg --print-architecture)
work=$(mktemp -d "${TMPDIR:-/tmp}/mirrorlatch-demo.XXXXXX")
children=
clean_up() {
  trap - EXIT
  trap '' HUP INT TERM # Otherwise the same Ctrl-C would kill rm.
  # shellcheck disable=SC2086 # a list of process ids
  [ -z "$children" ] || kill $children 2>/dev/null || :
  rm -rf -- "$work"
}
trap clean_up EXIT
trap 'clean_up; exit 129' HUP
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
  bold=$(printf '\033[1m') good=$(printf '\033[32m') bad=$(printf '\033[31m') plain=$(printf '\033[0m')
else
  bold='' good='' bad='' plain=''
fi

mirrorlatch() { sh "$program" "$@"; }

# --- The upstream: two states of an apt repository -------------------------------------------------------------------

# versions_of PACKAGE: print the versions that apt knows, newest first.
versions_of() { apt-cache madison "$1" 2>/dev/null | awk -F ' *[|] *' '$3 !~ / Sources$/ { print $2 }' | uniq; }

# apt COMMAND...: run apt-get with its output in a log file; give up soon if there is no network.
apt() {
  timeout 60 apt-get -q -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o APT::Sandbox::User=root "$@" \
    >>"$work/apt.log" 2>&1 </dev/null
}

# download_packages: fetch real packages of this machine's release. Some stay, some go, one comes, and up to two change
# their version.
download_packages() {
  older='' newer='' changing=0
  for name in ca-certificates tzdata curl rsync; do
    newest=$(versions_of "$name" | head -n 1) oldest=$(versions_of "$name" | tail -n 1)
    [ "$newest" != "$oldest" ] || continue
    older="$older $name=$oldest" newer="$newer $name=$newest" changing=$((changing + 1))
    [ "$changing" -lt 2 ] || break
  done
  # shellcheck disable=SC2086 # lists of packages
  (cd -- "$work/before" && apt download tree hello less patch zip unzip diffutils nano $older) &&
    (cd -- "$work/after" && apt download bc $newer) &&
    stay hello less patch zip unzip diffutils nano
}

stay() { for name in "$@"; do cp -p "$work/before/$name"_*.deb "$work/after/"; done; }

# build_package DIRECTORY NAME VERSION
build_package() {
  tree=$work/build/$2
  mkdir -p "$tree/DEBIAN" "$tree/usr/share/$2"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: %s\n' \
    "$2" "$3" 'a package for a demonstration' >"$tree/DEBIAN/control"
  head -c 200000 /dev/urandom >"$tree/usr/share/$2/data"
  dpkg-deb --root-owner-group --build "$tree" "$1/$2_$3_all.deb" >/dev/null
}

build_packages() {
  rm -f "$work"/before/*.deb "$work"/after/*.deb
  for name in demo-a demo-b demo-c demo-d demo-e demo-f; do
    build_package "$work/before" "$name" 1.0
    stay "$name"
  done
  build_package "$work/before" demo-goes 1.0
  build_package "$work/before" demo-changes 1.0
  build_package "$work/after" demo-changes 2.0
  build_package "$work/after" demo-comes 1.0
}

# make_repository DIRECTORY PACKAGES
make_repository() {
  index=dists/stable/main/binary-$arch
  mkdir -p "$1/$index"
  for deb in "$2"/*.deb; do
    name=$(dpkg-deb --field "$deb" Package)
    mkdir -p "$1/pool/main/$(printf %.1s "$name")/$name"
    cp -p "$deb" "$1/pool/main/$(printf %.1s "$name")/$name/"
  done
  (
    cd -- "$1"
    apt-ftparchive packages pool >"$index/Packages"
    gzip --keep "$index/Packages"
    apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Components=main \
      -o "APT::FTPArchive::Release::Architectures=$arch" release dists/stable >"$work/Release"
    mv "$work/Release" dists/stable/
  )
}

# list_packages DIRECTORY: print `name version`, one per line.
list_packages() { for deb in "$1"/*.deb; do dpkg-deb --show --showformat='${Package} ${Version}\n' "$deb"; done | LC_ALL=C sort; }

in_one_line() { paste -s -d , - | sed 's/,/, /g'; }

# --- The reader ------------------------------------------------------------------------------------------------------

# read_repository DIRECTORY LIST [MARKS]: enter the directory once and verify it as apt does: Packages against Release,
# and every .deb against Packages. LIST is a file for a copy of Packages. With MARKS, create MARKS.inside after the
# first .deb, and wait for MARKS.go. Prints `whole SHA256-OF-PACKAGES`, or what is broken.
read_repository() (
  cd -P -- "$1" 2>/dev/null || { echo 'no tree at all'; exit; }
  index=main/binary-$arch/Packages
  cat "dists/stable/$index" >"$2" 2>/dev/null || { echo 'no Packages'; exit; }
  sum=$(sha256sum <"$2" | cut -d ' ' -f 1)
  known=$(awk -v name="$index" '/^[^ ]/ { sums = $1 == "SHA256:" } sums && $3 == name { print $1 }' dists/stable/Release 2>/dev/null) || :
  [ "$sum" = "$known" ] || { echo 'Release and Packages differ'; exit; }
  total=0 gone=0 wrong=0
  while read -r expected file; do
    total=$((total + 1))
    # Opened at once, without a look before: it may go in between.
    if ! found=$({ sha256sum <"$file"; } 2>/dev/null); then
      gone=$((gone + 1))
    elif [ "$found" != "$expected  -" ]; then
      wrong=$((wrong + 1))
    fi
    if [ "$total" = 1 ] && [ -n "${3-}" ]; then
      : >"$3.inside"
      until [ -e "$3.go" ]; do sleep 0.05; done
    fi
  done <<DEBS
$(awk '/^Filename:/ { file = $2 } /^SHA256:/ { print $2, file }' "$2")
DEBS
  if [ "$((gone + wrong))" = 0 ]; then echo "whole $sum"; else echo "$((gone + wrong)) of $total .debs gone or changed"; fi
)

# watched_update NAME TREE COMMAND...: run the update while one reader is inside TREE and others enter it in turn.
watched_update() {
  name=$work/$1 tree=$2
  shift 2
  read_repository "$tree" "$name.slow.list" "$name" >"$name.slow" &
  slow=$!
  children=$slow
  until [ -e "$name.inside" ]; do
    kill -0 "$slow" 2>/dev/null || stop "no reader got into $tree: $(cat "$name.slow")"
    sleep 0.05
  done
  : >"$name.came"
  "$@" >"$name.log" 2>&1 </dev/null &
  update=$!
  children="$slow $update"
  while kill -0 "$update" 2>/dev/null; do read_repository "$tree" "$name.list" >>"$name.came"; done
  ended=0
  wait "$update" || ended=$?
  : >"$name.go"
  wait "$slow" || :
  children=
  [ "$ended" = 0 ] || stop "the update ended with $ended: $*" "$(cat "$name.log")"
  read_repository "$tree" "$name.list" >"$name.next"
}

# --- apt on a mirror that flips --------------------------------------------------------------------------------------

# flip_all_the_time: publish the old and the new snapshot in turn, each by one rename, as a sync does. Ends with the
# new one.
flip_all_the_time() {
  until [ -e "$work/enough" ]; do
    for snapshot in "$first" "$current"; do
      ln -s "$snapshot" "$work/flip" && mv -T "$work/flip" "$work/mirror/current" && printf . >>"$work/flips"
    done
  done
}

# configure_apt: write the configuration that an administrator would write, with a directory of its own instead of
# /var/lib/apt.
configure_apt() {
  mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
  : >"$work/apt/status"
  printf 'deb [trusted=yes] file:%s/mirror/current stable main\n' "$(printf %s "$work" | sed 's/ /%20/g')" >"$work/apt/sources.list"
  cat >"$work/apt.conf" <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::State "$work/apt";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
}

# A script that runs apt-get update from scratch and prints `whole` if the fetched files belong together, `mixed` or
# `failed`.
cat >"$work/update" <<'UPDATE'
#!/bin/sh
rm -f "$WORK"/apt/lists/*_* "$WORK"/apt/*.bin
APT_CONFIG=$WORK/apt.conf apt-get -q update >"$WORK/apt-update.log" 2>&1 </dev/null && ! grep -q '^[EW]:' "$WORK/apt-update.log" || { echo failed; exit; }
for list in "$WORK"/apt/lists/*_Packages; do
  [ -e "$list" ] || { echo mixed; exit; }
  grep -q " $(sha256sum <"$list" | cut -d ' ' -f 1) " "$WORK"/apt/lists/*Release && echo whole || echo mixed
done
UPDATE

# updates FILE COMMAND...: run that script ten times under COMMAND, and append the results to FILE.
updates() {
  results=$1
  shift
  for _ in 1 2 3 4 5 6 7 8 9 10; do WORK=$work "$@" sh "$work/update" >>"$results" 2>>"$work/update.log" || echo failed >>"$results"; done
}

# counted FILE: print `N of M whole`, and the counts of the other results.
counted() {
  printf '%s of %s whole' "$(grep -c whole "$1" || :)" "$(grep -c '' "$1" || :)"
  for kind in failed mixed; do grep -q "$kind" "$1" && printf ', %s %s' "$(grep -c "$kind" "$1")" "$kind"; done || :
}

# --- What is shown ---------------------------------------------------------------------------------------------------

wrong=
# must MESSAGE TEST...: remember MESSAGE if TEST fails.
must() {
  message=$1
  shift
  "$@" || wrong="$wrong
$message"
}

sum_of() { sha256sum <"$1/dists/stable/main/binary-$arch/Packages" | cut -d ' ' -f 1; }

# in_words RESULT: describe a reader's result.
in_words() {
  case $1 in
    "whole $old") echo 'whole, the old state' ;;
    "whole $new") echo 'whole, the new state' ;;
    whole*) echo 'whole, but of an unknown state' ;;
    *) echo "$1" ;;
  esac
}

came_whole() { grep -c -x -e "whole $old" -e "whole $new" "$work/$1.came" || :; }
came() { grep -c '' "$work/$1.came" || :; }

# cell WIDTH TEXT: print TEXT in green if every reader saw a whole tree, otherwise in red.
cell() {
  colour=$bad
  # shellcheck disable=SC2086 # The words of `whole, ...` or `N of M whole`.
  set -- "$1" "$2" $2
  [ "$3" != whole, ] && [ "$3" != "${5-}" ] || colour=$good
  printf '%s%-*s%s' "$colour" "$1" "$2" "$plain"
}
row() { printf '  %-32s %s %s\n' "$1" "$(cell 34 "$2")" "$(cell 1 "$3")"; }

mkdir "$work/before" "$work/after" "$work/build"
origin='real .deb packages, downloaded with apt-get'
if [ -n "$offline" ]; then
  origin='packages built on the spot with dpkg-deb, because of --offline'
  build_packages
elif ! download_packages && ! { [ "$(id -u)" = 0 ] && apt update && download_packages; }; then
  origin='packages built on the spot with dpkg-deb, because apt-get could not download real ones'
  build_packages
fi
make_repository "$work/old" "$work/before"
make_repository "$work/new" "$work/after"
# Plain rsync compares files of equal size by whole seconds, and both states may have been made in the same second.
find "$work/old/dists" -exec touch -d '1 hour ago' {} +
old=$(sum_of "$work/old") new=$(sum_of "$work/new")

printf '%s\n\n' "${bold}An apt repository is mirrored, and updated while readers are inside.$plain"
list_packages "$work/before" >"$work/before.list"
list_packages "$work/after" >"$work/after.list"
printf '  %-9s %s\n' upstream "$origin" \
  stays "$(LC_ALL=C comm -12 "$work/before.list" "$work/after.list" | cut -d ' ' -f 1 | in_one_line)" \
  goes "$(LC_ALL=C comm -23 "$work/before.list" "$work/after.list" | in_one_line)" \
  comes "$(LC_ALL=C comm -13 "$work/before.list" "$work/after.list" | in_one_line)" \
  reader 'verifies Packages against Release, then each .deb against Packages (sha256), as apt does'

cp -a "$work/old" "$work/upstream"
rsync -a --delete "$work/upstream/" "$work/in-place/"
mirrorlatch sync "$work/upstream" "$work/mirror" >"$work/first.log" 2>&1 || stop 'the first sync failed' "$(cat "$work/first.log")"
first=$(readlink "$work/mirror/current")

rm -rf "$work/upstream"
cp -a "$work/new" "$work/upstream"
# Limits the rate so that the transfer takes about two seconds, as over a network.
rate=--bwlimit=$(($(rsync -a -n --stats "$work/new/" "$work/old/" | sed -n 's/^Total transferred file size: \([0-9,]*\).*/\1/p' | tr -d ,) / 2048))
watched_update in-place "$work/in-place" rsync -a --delete "$rate" "$work/upstream/" "$work/in-place/"
watched_update mirror "$work/mirror/current" mirrorlatch sync "$work/upstream" "$work/mirror" -- "$rate"

printf '\n  %s%-32s %-34s %s%s\n' "$bold" 'the same update' 'rsync -a --delete, in place' 'mirrorlatch sync' "$plain"
row 'a reader that was inside before' "$(in_words "$(cat "$work/in-place.slow")")" "$(in_words "$(cat "$work/mirror.slow")")"
row 'readers that came during it' "$(came_whole in-place) of $(came in-place) whole" "$(came_whole mirror) of $(came mirror) whole"
row 'the next reader' "$(in_words "$(cat "$work/in-place.next")")" "$(in_words "$(cat "$work/mirror.next")")"

current=$(readlink "$work/mirror/current") previous=$(readlink "$work/mirror/previous" || :)
changes=$(rsync -n -a -i -c --delete "$work/old/" "$work/mirror/$first/" 2>&1) || changes="it is gone: $changes"
kept='the old state, not a byte changed: its readers finish in it, and rollback is one rename'
[ -z "$changes" ] || kept="${bad}changed$plain"
printf '\n  %s\n' "${bold}on disk$plain"
printf '  mirror/%-8s -> %s   %s\n' current "$current" 'where the next reader enters' previous "$previous" "$kept"

configure_apt
flip_all_the_time &
flipper=$!
children=$flipper
updates "$work/bare" env
before_guarded=$(wc -c <"$work/flips")
updates "$work/guarded" mirrorlatch run "$work/mirror" --chdir no --
flips=$(($(wc -c <"$work/flips") - before_guarded))
: >"$work/enough"
wait "$flipper"
children=

printf '\n  %s%-32s %-34s %s%s\n' "$bold" 'while the mirror flips' 'bare' 'mirrorlatch run' "$plain"
row 'a real apt-get update' "$(counted "$work/bare")" "$(counted "$work/guarded")"
printf '  %s\n' "(the mirror flipped $flips times during the 10 guarded updates)"

must 'The reader inside the in-place mirror saw a whole tree, so the contrast did not show.' \
  [ "$(sed 's/ .*//' "$work/in-place.slow")" != whole ]
must 'Every reader that came to the in-place mirror saw a whole tree, so the contrast did not show.' \
  [ "$(came_whole in-place)" != "$(came in-place)" ]
must "The reader inside the mirror did not finish in the tree in which it started: $(cat "$work/mirror.slow")" \
  [ "$(cat "$work/mirror.slow")" = "whole $old" ]
must 'No reader came to the mirror during the sync.' [ "$(came mirror)" != 0 ]
must "Readers that came to the mirror saw a broken tree: $(grep -v -x -e "whole $old" -e "whole $new" "$work/mirror.came" | sort | uniq -c)" \
  [ "$(came_whole mirror)" = "$(came mirror)" ]
must 'Every bare apt-get update saw a whole tree, so the contrast did not show.' [ "$(grep -c whole "$work/bare")" != 10 ]
must "A guarded apt-get update did not see a whole tree: $(cat "$work/update.log" "$work/apt-update.log")" \
  [ "$(grep -c whole "$work/guarded")" = 10 ]
must "The mirror did not flip while the guarded updates ran." [ "$flips" -gt 10 ]
must "The next reader did not see the new state: $(cat "$work/mirror.next")" [ "$(cat "$work/mirror.next")" = "whole $new" ]
must "current still names the old snapshot, $first." [ "$current" != "$first" ]
must "previous names '$previous', not the old snapshot $first." [ "$previous" = "$first" ]
must "The old snapshot was changed: $(printf '%s\n' "$changes" | head -n 5)" [ -z "$changes" ]

[ -z "$wrong" ] || stop "the demonstration failed:$wrong"
printf '\n%s\n' 'All of this was measured in this run, and held.'
