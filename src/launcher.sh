#!/bin/sh
# Starts mirrorlatch. For `run`, Node prints the command line of the guard, and that replaces this shell by exec. So no
# process stays between the guarded command and its caller, and the command's arguments never pass through Node, which
# would replace bytes that are not valid UTF-8. With --http, Node stays, as the proxy of the command. As in the reader,
# all variables begin with ml_, because assigning to others could change the environment.

# bash takes functions from the environment, also as sh. Commands get them back.
unset -f [ command env node printf read readlink

# mirrorlatch's own programs come from the absolute elements of PATH: inside a mirror, the others would bring the
# mirror's. The command of the caller gets PATH as it was: for `lock`, `watch` and `run --http`, Node takes that from
# ml_path.
ml_path=${PATH-} ml_rest=$ml_path: ml_absolute=''
while [ -n "$ml_rest" ]; do
  case $ml_rest in /*) ml_absolute=$ml_absolute:${ml_rest%%:*} ;; esac
  ml_rest=${ml_rest#*:}
done
PATH=${ml_absolute#:}
[ -n "$PATH" ] || PATH=/usr/local/bin:/usr/bin:/bin

# Node resets the signals that it was started to ignore, as nohup does it, and ignores again those of ml_ignored.
ml_ignored=''
while read -r ml_name ml_value; do
  [ "$ml_name" != SigIgn: ] || ml_ignored=$ml_value
done 2>/dev/null </proc/self/status

ml_self=$0
[ ! -L "$0" ] || ml_self=$(readlink -f -- "$0")
case $ml_self in */*) ml_home=${ml_self%/*} ;; *) ml_home=. ;; esac
# A package may carry its own Node beside dist.
ml_node=$ml_home/../node/bin/node
[ -x "$ml_node" ] || ml_node=node
case ${1-} in
--config) ml_verb=${3-} ;;
--config=*) ml_verb=${2-} ;;
*) ml_verb=${1-} ;;
esac
if [ "$ml_verb" = run ]; then
  for ml_word; do
    case $ml_word in --http | --http=*) ml_verb=run-http ;; --) break ;; esac
  done
fi
case $ml_verb in
run)
  ml_words=$(ml_ignored=$ml_ignored "$ml_node" "$ml_home/bin/run.cjs" "$@")
  ml_status=$?
  case $ml_words in
  'set -- '*) ;;
  *)
    [ -z "$ml_words" ] || printf '%s\n' "$ml_words" || [ "$ml_status" != 0 ] || ml_status=74
    exit "$ml_status"
    ;;
  esac
  while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
  [ $# = 0 ] || shift
  eval "$ml_words"
  ;;
lock | watch | run-http)
  [ -z "$ml_path" ] || export ml_path
  export ml_ignored
  ml_bundle=main
  [ "$ml_verb" != run-http ] || ml_bundle=run-by-url
  set -- "$ml_node" "$ml_home/bin/$ml_bundle.cjs" "$@"
  ;;
*)
  export ml_ignored
  exec "$ml_node" "$ml_home/bin/main.cjs" "$@"
  ;;
esac

# What a shell does not pass on, such as a variable a.b.
ml_lost=$(/bin/sh "$ml_home/reader/reader.sh" --print-lost $$) || exit
[ -z "$ml_lost" ] || eval "set -- \"\$(command -v env)\" --$ml_lost \"\$@\""
[ "$ml_verb" != run ] || PATH=$ml_path
exec "$@"
