#!/bin/sh
# Builds a .deb, a .rpm or both of mirrorlatch for the architecture of this machine, and prints their paths.
#
#   sh scripts/package.sh [deb|rpm|all] [--bundle-node] [--revision N] [OUTDIR]
#
# The packages have the program, without the library. They depend on the system's Node; with --bundle-node they carry the
# last one of scripts/node-versions, for systems whose Node is older than 20.19. --revision is that of the package, by
# default 1. OUTDIR is the current directory by default.
#
# The same sources make the same bytes. The time in all files is $SOURCE_DATE_EPOCH, by default that of the last commit;
# $DEBFULLNAME and $DEBEMAIL are the maintainer (debchange(1)).
set -eu
umask 022
called_from=$PWD
CDPATH='' cd -- "$(dirname -- "$0")/.."
. ./scripts/setup.sh

usage='usage: sh scripts/package.sh [deb|rpm|all] [--bundle-node] [--revision N] [OUTDIR]'
kinds='' bundled='' revision=1 out=''
while [ $# -gt 0 ]; do
  case $1 in
  deb | rpm) kinds=$1 ;;
  all) kinds='deb rpm' ;;
  --bundle-node) bundled=yes ;;
  --revision)
    shift
    revision=${1-}
    ;;
  -*) stop "there is no option $1" "$usage" ;;
  *)
    [ -z "$out" ] || stop "$1 is one argument too many" "$usage"
    out=$1
    ;;
  esac
  shift
done
case $revision in '' | *[!0-9]*) stop '--revision is a number' "$usage" ;; esac
: "${kinds:=deb rpm}" "${out:=.}"
case $out in /*) ;; *) out=$called_from/$out ;; esac

case $(uname -m) in
x86_64) node_arch=x64 deb_arch=amd64 rpm_arch=x86_64 ;;
aarch64) node_arch=arm64 deb_arch=arm64 rpm_arch=aarch64 ;;
*) stop "there is no Node for $(uname -m) to test with" 'Install mirrorlatch with npm instead.' ;;
esac

for kind in $kinds; do
  case $kind in deb) need_programs dpkg-deb:dpkg ;; rpm) need_programs rpmbuild:rpm ;; esac
done
need_build >&2
[ -e node_modules/fs-native-extensions ] || stop 'the optional package fs-native-extensions is missing' 'Run: npm ci'

version=$(node -p 'require("./package.json").version')
summary=$(node -p 'require("./package.json").description.replace(/\.$/, "")')
node_version=$(tail -n 1 scripts/node-versions)
[ -z "$bundled" ] || revision=$revision+node$node_version
if [ -z "${SOURCE_DATE_EPOCH-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=$(stat -c %Y CHANGELOG.md)
fi
LC_ALL=C.UTF-8 TZ=UTC
export SOURCE_DATE_EPOCH LC_ALL TZ

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 1' HUP INT TERM

# stage TREE: the files that all kinds of packages have.
stage() {
  tree=$1
  home=$tree/usr/lib/mirrorlatch
  mkdir -p -- "$home/dist" "$tree/usr/bin" "$tree/etc/mirrorlatch/conf.d"
  cp package.json "$home"
  # The bundles and the files beside them are whole. What V8 compiled is of the Node that built them.
  (cd dist && find . \( -path ./man -o -path './bin/*.cache' \) -prune -o -type f \
    ! -name '*.js' ! -name '*.d.ts' ! -name THIRD-PARTY-LICENSES -exec cp --parents -t "$home/dist" -- {} +)
  ln -s ../lib/mirrorlatch/dist/mirrorlatch "$tree/usr/bin/mirrorlatch"
  packages_of fs-native-extensions | sort -u >"$work/native"
  while read -r name; do copy_native "$name" "$home/node_modules/$name"; done <"$work/native"
  if [ -n "$bundled" ]; then
    fetch_node "$node_version" "$home/node" || stop "npm could not fetch Node $node_version."
    mv -- "$home/node/LICENSE" "$work/node-licence"
  fi

  put scripts/package/sysusers.conf usr/lib/sysusers.d/mirrorlatch.conf
  put scripts/package/tmpfiles.conf usr/lib/tmpfiles.d/mirrorlatch.conf
  for unit in sync@.service sync@.timer notify@.service serve.service; do
    put "scripts/package/mirrorlatch-$unit" "usr/lib/systemd/system/mirrorlatch-$unit"
  done
  put scripts/package/logrotate etc/logrotate.d/mirrorlatch
  put scripts/package/serve.env etc/mirrorlatch/serve.env
  put scripts/package/config.toml usr/share/doc/mirrorlatch/examples/config.toml
  put README.md usr/share/doc/mirrorlatch/README.md
  put CHANGELOG.md usr/share/doc/mirrorlatch/changelog
  licences >"$tree/usr/share/doc/mirrorlatch/copyright"

  node scripts/man.mjs "$work/man"
  for page in "$work"/man/*; do put "$page" "usr/share/man/man${page##*.}/${page##*/}"; done
  put dist/completion/bash usr/share/bash-completion/completions/mirrorlatch
  put dist/completion/zsh usr/share/zsh/vendor-completions/_mirrorlatch
  put dist/completion/fish usr/share/fish/vendor_completions.d/mirrorlatch.fish
  find "$tree/usr/share/man" "$tree/usr/share/doc/mirrorlatch/changelog" -type f -exec gzip -n9 -- {} +
}

# put FILE PATH: copy FILE to PATH in the tree.
put() { install -D -m 644 -- "$1" "$tree/$2"; }

# packages_of NAME: print the npm package and what it depends on.
packages_of() {
  printf '%s\n' "$1"
  node -p 'Object.keys(require(`./node_modules/${process.argv[1]}/package.json`).dependencies ?? {}).join("\n")' "$1" |
    while read -r dependency; do [ -z "$dependency" ] || packages_of "$dependency"; done
}

# copy_native NAME DIRECTORY: what of a npm package runs here.
copy_native() {
  mkdir -p -- "$2"
  (cd "node_modules/$1" && find . \( -name '*.js' -o -name package.json -o -path "./prebuilds/linux-$node_arch/*.node" \) \
    -type f -exec cp --parents -t "$2" -- {} +)
}

# licences: print that of mirrorlatch and those of all that the package has besides.
licences() {
  rule=$(printf '%080d' 0 | tr 0 -)
  printf 'mirrorlatch %s\n\n' "$version"
  cat LICENSE
  printf '\n%s\n\nWhat is bundled with it:\n\n' "$rule"
  cat dist/THIRD-PARTY-LICENSES
  while read -r name; do
    printf '\n%s\n\n%s\n\n' "$rule" "$name"
    cat "node_modules/$name/LICENSE"
  done <"$work/native"
  [ -z "$bundled" ] || {
    printf '\n%s\n\nNode.js %s\n\n' "$rule" "$node_version"
    cat "$work/node-licence"
  }
}

# settle TREE: the same modes and times everywhere.
settle() {
  find "$1" -type d -exec chmod 755 {} +
  find "$1" -type f -perm -100 -exec chmod 755 {} +
  find "$1" -type f ! -perm -100 -exec chmod 644 {} +
  find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" -- {} +
}

. ./scripts/package/deb.sh
. ./scripts/package/rpm.sh

mkdir -p -- "$out"
stage "$work/tree"
for kind in $kinds; do "build_$kind"; done
