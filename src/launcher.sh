#!/bin/sh
# Starts mirrorlatch. For `run`, Node prints the command line of the guard, and that replaces this shell by exec. So no
# process stays between the guarded command and its caller, and the command's arguments never pass through Node, which
# would replace bytes that are not valid UTF-8. As in the reader, all variables begin with ml_, because assigning to
# others could change the environment.
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
  # What a shell does not pass on, such as a variable a.b, it has not passed on to Node either.
  ml_lost=$(sh "$ml_home/reader/reader.sh" --print-lost $$)
  [ -z "$ml_lost" ] || eval "set -- env --$ml_lost \"\$@\""
  exec "$@"
  ;;
?*) printf '%s\n' "$ml_words" || [ "$ml_status" != 0 ] || ml_status=74 ;;
esac
exit "$ml_status"
