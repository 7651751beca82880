#!/bin/sh
# Reads the index of the tree DIRECTORY, pauses for SECONDS, and compares all files of its pool with it. Prints
# `whole GENERATION`, or what does not fit.
#
#   sh read.sh DIRECTORY SECONDS
index=$(cat -- "$1/zz/index") || exit 1
sleep "$2"
wrong=$(printf '%s\n' "$index" | sed "1d; s|  |  $1/|" | sha256sum --check --quiet --strict 2>&1) ||
  wrong="the pool does not fit: $wrong"
[ "$(cat -- "$1/zz/index")" = "$index" ] || wrong="$wrong; the index is another now"
[ -z "$wrong" ] || {
  printf '%s\n' "$wrong"
  exit 1
}
printf 'whole %s\n' "$index" | head -n 1
