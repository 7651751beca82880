#!/bin/sh
# Starts mirrorlatch. For `run`, Node says what is to be run, and that then takes the place of this shell: nothing is
# left between the guarded command and its caller, and its arguments never pass through Node, which would change bytes
# that are no UTF-8. As in the reader, all names begin with ml_: others could be variables of the environment.
ml_self=$0
[ ! -L "$0" ] || ml_self=$(readlink -f -- "$0")
case $ml_self in */*) ml_home=${ml_self%/*} ;; *) ml_home=. ;; esac
[ "${1-}" = run ] || exec node "$ml_home/bin.js" "$@"

ml_words=$(node "$ml_home/bin/run.cjs" "$@")
ml_status=$?
case $ml_words in
'set -- '*)
  while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
  [ $# = 0 ] || shift
  eval "$ml_words"
  exec "$@"
  ;;
?*) printf '%s\n' "$ml_words" ;;
esac
exit "$ml_status"
