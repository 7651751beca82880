#!/bin/sh
# Runs a command that sees one snapshot of a mirror and no other, whatever is published meanwhile.
#
#   reader [--root ROOT]... [--snapshot ID|previous] [--or-current] [--pin auto|namespace|cwd] [--chdir yes|no]
#          [--wait SECONDS] [--allow-dirty] [--remember FILE] [--release-on-exit] [--verbose] [--] COMMAND [ARGUMENT]...
#
# A client that mounts the mirror needs this file, a POSIX sh, flock, unshare and mount (util-linux), and nothing else:
#
#   /srv/mirror/debian/.mirrorlatch/reader apt-get update
#
# `current` is resolved once. The snapshot is held by a shared flock on its lease, which whoever removes snapshots
# respects; the descriptor is inherited, so it lasts as long as the command and its children. Then the command is put
# in place of this shell by exec: its input and output, its terminal, its signals and its exit code are its own.
# Exit codes before that: 75 nothing to read within --wait, 125 the guard failed, 126 cannot execute, 127 not found.
#
# All names here begin with ml_, or they would change variables in the environment of the command. Some sh, as
# dash, hand on no variable whose name they could not use themselves: not a.b, nor the functions that bash exports.

ml_usage() {
  cat <<'USAGE'
Usage: reader [OPTION]... [--] COMMAND [ARGUMENT]...
Run COMMAND so that it sees one snapshot of a mirror and no other.

  --root ROOT          the mirror (default: the one that this file lies in); more than one may be given
  --snapshot ID        pin this snapshot instead of the current one; `previous` is the one before it
  --or-current         pin the current one where that snapshot is gone
  --pin auto           the strongest pin that works (default), or one of:
        namespace      the paths of the mirror itself show this snapshot alone, in a mount namespace
        cwd            the working directory is the snapshot; {snapshot} in an argument becomes its path
  --chdir no           keep the working directory (namespace)
  --wait SECONDS       how long to wait for a mirror with nothing to read (default: without limit)
  --allow-dirty        read a mirror in place although its last sync did not end well
  --remember FILE      write the id of the snapshot into FILE
  --release-on-exit    let go of the snapshot when COMMAND ends, also if it leaves a daemon behind
  --verbose            say what was pinned, and how

COMMAND gets MIRRORLATCH_SNAPSHOT (the path), MIRRORLATCH_ID, MIRRORLATCH_ROOT and MIRRORLATCH_PIN; a second mirror
has the same names with _2 behind them.
Exit codes: those of COMMAND; 75 nothing to read within --wait; 125 the guard failed; 126, 127 COMMAND cannot be run.
USAGE
}

# ml_say MESSAGE [HINT]
ml_say() {
  printf 'mirrorlatch: %s\n' "$1" >&2
  [ -z "${2-}" ] || printf '  %s\n' "$2" >&2
}

# ml_fail MESSAGE [HINT]: end as env(1) and timeout(1) do when it is they who failed.
ml_fail() {
  ml_say "$@"
  exit 125
}

# ml_enter DIRECTORY: make it the working directory, without symlinks, and PWD its real path.
ml_enter() {
  CDPATH='' cd -P -- "$1" 2>/dev/null
}

# ml_pause: a moment, as far as this sleep knows moments.
ml_pause() {
  sleep 0.1 2>/dev/null || sleep 1
}

# ml_wait WHY: a second of waiting, as long as there is one left.
ml_wait() {
  if [ -n "$ml_patience" ] && [ "$ml_waited" -ge "$ml_patience" ]; then
    ml_say "$1" 'Wait longer with --wait SECONDS, or look with: mirrorlatch status ROOT'
    exit 75
  fi
  [ "$ml_waited" != 0 ] || ml_say "waiting: $1"
  if [ -z "$ml_waiter" ] || [ "$ml_allow_dirty" = yes ]; then
    sleep 1
  else
    ml_wait_for_events
  fi
  ml_waited=$((ml_waited + 1))
}

# ml_wait_for_events: let `mirrorlatch wait` watch the mirror, for a minute or what is left of it. It ends with this shell.
ml_wait_for_events() {
  ml_slice=60
  [ -z "$ml_patience" ] || [ $((ml_patience - ml_waited)) -gt 60 ] || ml_slice=$((ml_patience - ml_waited))
  setpriv --pdeathsig TERM -- "$ml_waiter" wait "$ml_root" --timeout "$ml_slice" >/dev/null 2>&1
  case $? in
  # It may see another moment than this shell does.
  0) ml_pause ;;
  75) ml_waited=$((ml_waited + ml_slice - 1)) ;;
  *) sleep 1 ;;
  esac
}

# ml_free_descriptor: set ml_fd to a descriptor that is not in use; sh knows those of one digit.
ml_free_descriptor() {
  for ml_fd in 9 8 7 6 5 4 3; do
    [ -e "/proc/self/fd/$ml_fd" ] || return 0
  done
  ml_fail 'no descriptor from 3 to 9 is free for the lease' 'Close some of them before: COMMAND 3>&- 4>&-'
}

# ml_open_at DESCRIPTOR FILE: open for reading.
ml_open_at() {
  # By `command` a failure does not end the shell.
  eval "command exec $1<\"\$2\"" 2>/dev/null
}

# ml_close DESCRIPTOR
ml_close() {
  eval "exec $1<&-"
}

# ml_has_open FILE: whether a descriptor that leads to it was inherited.
ml_has_open() {
  for ml_descriptor in 9 8 7 6 5 4 3; do
    [ ! "/proc/self/fd/$ml_descriptor" -ef "$1" ] || return 0
  done
  return 1
}

# ml_read_credentials: set ml_uid, ml_gid and ml_is_admin by proc(5).
ml_read_credentials() {
  ml_is_admin=no
  while read -r ml_key ml_real ml_effective ml_rest; do
    case $ml_key in
    Uid:) ml_uid=$ml_effective ;;
    Gid:) ml_gid=$ml_effective ;;
    CapEff:)
      # CAP_SYS_ADMIN is bit 21: the second bit of the sixth hexadecimal digit from the right.
      case ${ml_real%?????} in *[2367abefABEF]) ml_is_admin=yes ;; esac
      # It comes last, and sh reads byte by byte.
      break
      ;;
    esac
  done </proc/self/status
}

# ml_read_outer N: set ml_outer_root, ml_outer_id and ml_outer_pin to what the Nth mirror of a pin around this command
# is pinned to; false where there is none. The environment alone may be old, as that of an at(1) job is.
ml_read_outer() {
  ml_suffix=_$1
  [ "$1" != 1 ] || ml_suffix=''
  eval "ml_outer_root=\${MIRRORLATCH_ROOT$ml_suffix-} ml_outer_id=\${MIRRORLATCH_ID$ml_suffix-}"
  eval "ml_outer_snapshot=\${MIRRORLATCH_SNAPSHOT$ml_suffix-} ml_outer_pin=\${MIRRORLATCH_PIN$ml_suffix-}"
  [ -n "$ml_outer_root" ] && [ -n "$ml_outer_id" ] || return 1
  # The top of a namespace pin has the sticky bit, which no mirror has.
  [ "$ml_outer_pin" != namespace ] || [ -k "$ml_outer_root" ] || ml_outer_pin=none
  [ -d "$ml_outer_snapshot" ] || ml_outer_pin=none
}

# ml_find_outer ROOT: the same for the mirror ROOT.
ml_find_outer() {
  ml_m=1
  while ml_read_outer "$ml_m"; do
    if [ "$ml_outer_root" = "$1" ] && [ "$ml_outer_pin" != none ]; then return 0; fi
    ml_m=$((ml_m + 1))
  done
  ml_outer_pin=none
}

# ml_resolve: enter what the mirror ml_root shall be pinned to, and set ml_snapshot and ml_id. The one look at
# `current` is the kernel's own walk of chdir(2).
ml_resolve() {
  case $ml_wanted in
  '' | live) ml_enter "$ml_root/current" || return 1 ;;
  previous) ml_enter "$ml_root/previous" || return 1 ;;
  *)
    if [ "$ml_managed" = yes ]; then
      ml_enter "$ml_root/snapshots/$ml_wanted" || return 1
    else
      ml_enter "$ml_root/current" && ml_enter "../$ml_wanted" || return 1
    fi
    ;;
  esac
  ml_snapshot=$PWD
  ml_id=${ml_snapshot##*/}
}

# ml_take_lease: hold the snapshot by a shared flock on its lease. Who removes a snapshot takes its lease exclusively,
# moves the snapshot away and unlinks the lease: what still has its name when the lock is ours stays.
ml_take_lease() {
  ml_lease=$ml_root/.mirrorlatch/leases/$ml_id
  [ "$ml_id" != live ] || ml_lease=$ml_root/.mirrorlatch/gate.flock
  ml_free_descriptor
  ml_open_at "$ml_fd" "$ml_lease" || return 1
  flock -s -n "$ml_fd"
  case $? in
  0)
    if [ "/proc/self/fd/$ml_fd" -ef "$ml_lease" ] && [ . -ef "$ml_snapshot" ]; then return 0; fi
    ;;
  1) ;; # being removed, or its gate is being closed
  127) ml_fail 'flock is not there' 'Install util-linux.' ;;
  *) ml_fail "the filesystem of $ml_lease has no locks" 'Mount it with locks (NFS: without nolock).' ;;
  esac
  ml_close "$ml_fd"
  return 1
}

# ml_is_open: whether the mirror may be read; ml_why says why not. Only one that is written in place has a gate.
ml_is_open() {
  [ -e "$ml_root/.mirrorlatch/gate.json" ] || [ -e "$ml_root/.mirrorlatch/gate.flock" ] || return 0
  # Who closes it waits for the pin around this command: to wait for who closes it would be for ever.
  [ "$ml_let_in" = no ] || return 0
  IFS= read -r ml_gate 2>/dev/null <"$ml_root/.mirrorlatch/gate.json" || ml_gate=''
  case $ml_gate in
  *'"state":"open"'*) ;;
  *'"state":"dirty"'*)
    ml_why="$ml_root is not whole, as its last sync did not end well"
    [ "$ml_allow_dirty" = yes ]
    ;;
  *'"by":"person"'*)
    ml_why="$ml_root is closed by hand"
    return 1
    ;;
  *'"state":"clos'*)
    ml_why="$ml_root is being written"
    return 1
    ;;
  *)
    ml_why="$ml_root does not tell whether it may be read"
    return 1
    ;;
  esac
}

# ml_hold: find out what ml_root is pinned to, and hold it.
ml_hold() {
  ml_managed=no ml_tries=0 ml_let_in=no
  [ ! -d "$ml_root/.mirrorlatch" ] || ml_managed=yes
  if [ "$ml_outer_pin" != none ] && ml_has_open "$ml_root/.mirrorlatch/gate.flock"; then ml_let_in=yes; fi
  while :; do
    if ! ml_is_open; then
      ml_wait "$ml_why"
      continue
    fi
    if ml_resolve; then
      [ "$ml_managed" = yes ] || return 0
      if ml_take_lease; then
        # Who closes the gate first says so, and then waits for all who hold this lock.
        ml_is_open && return 0
        ml_close "$ml_fd"
      fi
    elif [ -n "$ml_wanted" ]; then
      ml_why="$ml_root has no snapshot $ml_wanted"
      [ "$ml_wanted" != previous ] || ml_why="$ml_root has no previous snapshot"
      [ "$ml_or_current" = yes ] || ml_fail "$ml_why (any more)" 'Use the current one with --or-current, or see what there is with: mirrorlatch list ROOT'
      ml_say "$ml_why (any more): the current one is used"
      ml_wanted=''
      continue
    elif [ "$ml_managed" = yes ] && [ ! -L "$ml_root/current" ]; then
      ml_wait "$ml_root has no snapshot yet"
      continue
    fi
    # Removed since it was resolved, or a symlink that is replaced in two steps: look again.
    ml_tries=$((ml_tries + 1))
    [ "$ml_tries" -lt 50 ] || break
    if [ "$ml_managed" = no ] && [ "$ml_tries" -gt 5 ]; then break; fi
    ml_pause
  done
  [ -d "$ml_root/current/" ] || [ -L "$ml_root/current" ] ||
    ml_fail "there is no mirror in $ml_root: it holds neither .mirrorlatch nor a symlink current" 'Check the path.'
  [ "$ml_managed" = no ] || [ ! -d "$ml_root/current/" ] ||
    ml_fail "the lease of $ml_snapshot cannot be taken" 'The next sync mends it where it is missing. It must be readable for you, and nobody may hold it exclusively.'
  ml_fail "$ml_root/current leads nowhere, or not for you" 'Look with: ls -lL ROOT/current'
}

# ml_bind SOURCE TARGET [OPTION]: show SOURCE read-only at TARGET, with all that is mounted in it. With X-mount.mkdir
# mount(8) makes the directories, which other users, such as apt's sandbox, have to get through whatever the umask: to
# start a program costs more than all else here.
ml_bind() {
  ml_read_flags "$1"
  (umask 022 && exec mount --no-canonicalize -o "rbind,ro$ml_flags${3+,$3}" "$1" "$2")
}

# ml_read_flags FILE: set ml_flags to the options of its mount that a remount drops unless it names them: an ordinary
# user may not drop them, and nobody meant to.
ml_read_flags() {
  # To open a FIFO would take until somebody writes to it.
  [ -d "$1" ] || [ -f "$1" ] || return 0
  ml_free_descriptor
  ml_open_at "$ml_fd" "$1" || return 0
  while read -r ml_key ml_value; do
    [ "$ml_key" != mnt_id: ] || break
  done <"/proc/self/fdinfo/$ml_fd"
  ml_close "$ml_fd"
  [ "$ml_value" != "$ml_mount" ] || return 0
  ml_mount=$ml_value ml_flags=''
  ml_options=$(sed -n "s/^$ml_mount [^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .*/,\1,/p" /proc/self/mountinfo)
  for ml_key in nosuid nodev noexec; do
    case $ml_options in *",$ml_key,"*) ml_flags=$ml_flags,$ml_key ;; esac
  done
}

# ml_mount_alone ROOT SNAPSHOT: let ROOT show this snapshot alone, at its usual path and as `current`. What else lies
# there comes back: not what the snapshot lies among, for those are the other snapshots.
ml_mount_alone() {
  # What is mounted over ROOT hides it for paths that come from above, not for one who is inside.
  ml_enter "$1" && mount -t tmpfs -o mode=1755,size=1m,nosuid,nodev mirrorlatch "$1" || return 1
  case $2 in
  "$1"/*) ml_inner=${2#"$1"/} ;;
  *) ml_inner='' ;;
  esac
  if [ -n "$ml_inner" ]; then
    ln -s -- "$ml_inner" "$1/current" && ml_bind "./$ml_inner" "$1/$ml_inner" X-mount.mkdir || return 1
  else
    ln -s -- "$2" "$1/current" && ml_bind "$2" "$2" || return 1
  fi
  for ml_entry in ./* ./.[!.]* ./..?*; do
    case ${ml_entry#./} in
    current | current-[0-9]* | previous | "${ml_inner%%/*}") ;;
    *) ml_mount_back "$ml_entry" "$1/${ml_entry#./}" || return 1 ;;
    esac
  done
  mount --no-canonicalize -o remount,bind,ro,nosuid,nodev mirrorlatch "$1"
}

# ml_mount_back ENTRY TARGET: show what lies beside the snapshot. It may vanish at any moment, or be another thing.
ml_mount_back() {
  ml_tries=0
  while ! ml_show_entry "$1" "$2" 2>/dev/null; do
    rmdir -- "$2" 2>/dev/null || rm -f -- "$2" 2>/dev/null
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then return 0; fi
    ml_tries=$((ml_tries + 1))
    if [ "$ml_tries" -ge 5 ]; then
      ml_say "$2 cannot be shown in the pin"
      return 1
    fi
  done
}

# ml_show_entry ENTRY TARGET: false where it could not be done, or ENTRY was replaced meanwhile.
ml_show_entry() {
  if [ -L "$1" ]; then
    cp -P -- "$1" "$2" && [ -L "$2" ]
  elif [ -d "$1" ]; then
    ml_bind "$1" "$2" X-mount.mkdir
  elif [ -e "$1" ]; then
    true >"$2" && ml_bind "$1" "$2"
  fi
}

# ml_inside AUTO OWNER CHDIR PWD COUNT [ROOT SNAPSHOT]... COMMAND...: what is left to do in the new mount namespace.
# OWNER is UID:GID where a user namespace is around, and empty for root.
ml_inside() {
  ml_auto=$1 ml_owner=$2 ml_chdir=$3 ml_pwd=$4 ml_count=$5 ml_start=$7
  shift 5
  ml_mount='' ml_flags=''
  while [ "$ml_count" -gt 0 ]; do
    if ! ml_mount_alone "$1" "$2"; then
      [ "$ml_auto" = yes ] ||
        ml_fail "$1 cannot be pinned in a mount namespace" 'Pin the working directory alone with: --pin cwd'
      umount -R -- "$1" 2>/dev/null
      ml_say "$1 cannot be pinned in a mount namespace: only the working directory is pinned"
      ml_chdir=yes MIRRORLATCH_PIN=cwd
    fi
    shift 2
    ml_count=$((ml_count - 1))
  done
  # This shell still stands in what lies below the mounts.
  ml_start_in "$ml_start"
  ml_find "$1"
  [ -z "$ml_owner" ] || set -- unshare --user --map-user="${ml_owner%:*}" --map-group="${ml_owner#*:}" -- "$@"
  ml_exec "$@"
}

# ml_start_in SNAPSHOT: go where the command shall start.
ml_start_in() {
  if [ "$ml_chdir" = yes ]; then
    ml_enter "$1" || ml_fail "$1 is gone"
    export PWD
  else
    CDPATH='' cd -- "$ml_pwd" 2>/dev/null ||
      ml_fail "the working directory $ml_pwd is not there in the pin" 'Start in another directory, or leave --chdir no out.'
  fi
}

# ml_find COMMAND: end where it is not there.
ml_find() {
  case $1 in
  */*) [ -e "$1" ] ;;
  *) command -v -- "$1" >/dev/null 2>&1 ;;
  esac || {
    ml_say "$1: command not found"
    exit 127
  }
}

# ml_exec COMMAND...: put it in place of this shell.
ml_exec() {
  ml_find "$1"
  if [ -n "$ml_oldpwd" ]; then OLDPWD=$ml_oldpwd; else unset OLDPWD; fi
  case $1 in
  # Not every sh knows `exec --`.
  -*) exec env -- "$@" ;;
  *) exec "$@" ;;
  esac
}

# ml_release_on_exit: hand the leases to a process that ends when this one does, whatever it is by then.
ml_release_on_exit() {
  (
    # A signal to the process group is not for this one, and whoever waits for the end of a pipe does not wait for it.
    trap '' HUP INT QUIT TERM USR1 USR2 ALRM
    for ml_fd in 9 8 7 6 5 4 3; do
      case " $ml_leases " in *" $ml_fd "*) ;; *) ml_close "$ml_fd" ;; esac
    done
    # It may be too late to be told of the end.
    exec setpriv --pdeathsig KILL sh -c '[ "$PPID" = "$1" ] && exec sleep 2147483647' sh "$$"
  ) </dev/null >/dev/null 2>&1 &
  for ml_fd in $ml_leases; do ml_close "$ml_fd"; done
}

# ml_needs_setuid COMMAND: such programs do not work in a user namespace.
ml_needs_setuid() {
  [ -u "$(command -v -- "$1")" ]
}

# ml_choose_pin COMMAND: set ml_pin to the strongest that works, where that was left to us.
ml_choose_pin() {
  ml_auto=no ml_owner=''
  [ "$ml_pin" != cwd ] || return 0
  ml_read_credentials
  [ "$ml_is_admin" = yes ] || ml_owner=$ml_uid:$ml_gid
  [ "$ml_pin" = auto ] || return 0
  ml_auto=yes ml_pin=namespace
  [ -n "$ml_owner" ] || return 0
  if ml_needs_setuid "$1" ||
    ! unshare --user --map-root-user --mount --propagation slave mount -t tmpfs mirrorlatch "$ml_root_1" 2>/dev/null; then
    ml_pin=cwd
  fi
}

# ml_warn_of_paths COMMAND...: a pinned working directory does nothing for a path that leads through `current`.
ml_warn_of_paths() {
  for ml_argument; do
    ml_i=1
    while [ "$ml_i" -le "$ml_count" ]; do
      eval "ml_root=\$ml_root_$ml_i"
      case $ml_argument in
      *"$ml_root/current"*)
        ml_say "$ml_argument names $ml_root/current, which can change meanwhile: only the working directory is pinned" \
          'Write {snapshot} in its place, or use --pin namespace where that is allowed.'
        ;;
      esac
      ml_i=$((ml_i + 1))
    done
  done
}

# ml_pin_mirror N: hold the snapshot of the mirror that is the working directory.
ml_pin_mirror() {
  ml_root=$PWD ml_fd=''
  eval "ml_wanted=\$ml_wanted_$1 ml_remember=\$ml_remember_$1"
  ml_find_outer "$ml_root"
  if [ "$ml_outer_pin" != none ]; then
    [ -z "$ml_wanted" ] || [ "$ml_wanted" = "$ml_outer_id" ] ||
      ml_say "$ml_root stays pinned to $ml_outer_id, as around this command: not $ml_wanted"
    ml_wanted=$ml_outer_id
  fi
  [ "$ml_outer_pin" = namespace ] || ml_all_inside=no
  ml_hold
  [ -z "$ml_fd" ] || ml_leases="$ml_leases $ml_fd"
  eval "ml_root_$1=\$ml_root ml_snapshot_$1=\$ml_snapshot ml_id_$1=\$ml_id"
  [ -z "$ml_remember" ] || ml_write_down "$ml_id" "$ml_remember"
}

# ml_write_down ID FILE: in one step, so that nobody reads half of it.
ml_write_down() {
  { printf '%s\n' "$1" >"$2.$$" && mv -f -- "$2.$$" "$2"; } 2>/dev/null ||
    ml_fail "the snapshot cannot be remembered in $2"
}

# ml_is_pinned ROOT: whether this run has pinned that mirror.
ml_is_pinned() {
  ml_i=1
  while [ "$ml_i" -le "$ml_count" ]; do
    eval "[ \"\$ml_root_$ml_i\" != \"\$1\" ]" || return 0
    ml_i=$((ml_i + 1))
  done
  return 1
}

# ml_tell_command: put into its environment, and for people where they asked for it, what is pinned and how.
ml_tell_command() {
  ml_i=1
  while [ "$ml_i" -le "$ml_count" ]; do
    ml_suffix=_$ml_i
    [ "$ml_i" != 1 ] || ml_suffix=''
    eval "ml_root=\$ml_root_$ml_i ml_snapshot=\$ml_snapshot_$ml_i ml_id=\$ml_id_$ml_i"
    eval "export MIRRORLATCH_ROOT$ml_suffix=\"\$ml_root\" MIRRORLATCH_SNAPSHOT$ml_suffix=\"\$ml_snapshot\""
    eval "export MIRRORLATCH_ID$ml_suffix=\"\$ml_id\" MIRRORLATCH_PIN$ml_suffix=\"\$ml_pin\""
    if [ "$ml_verbose" = yes ]; then
      ml_how=''
      [ -d "$ml_root/.mirrorlatch" ] || ml_how=', without a lease: mirrorlatch did not make this tree'
      ml_say "$ml_root is pinned to $ml_id ($ml_pin$ml_how)"
    fi
    ml_i=$((ml_i + 1))
  done
}

ml_oldpwd=${OLDPWD-}
if [ "${1-}" = --inside ]; then
  shift
  ml_close "$1"
  shift
  ml_inside "$@"
fi

ml_count=1 ml_root_1='' ml_wanted_1='' ml_remember_1=''
ml_waiter='' ml_or_current=no ml_allow_dirty=no ml_pin=auto ml_chdir=yes ml_patience='' ml_waited=0 ml_release=no ml_verbose=no
while [ $# -gt 0 ]; do
  case $1 in
  --waiter=* | --root=* | --snapshot=* | --pin=* | --chdir=* | --wait=* | --remember=*)
    ml_option=${1%%=*} ml_value=${1#*=}
    shift
    set -- "$ml_option" "$ml_value" "$@"
    ;;
  --waiter | --root | --snapshot | --pin | --chdir | --wait | --remember)
    [ $# -gt 1 ] || ml_fail "$1 needs a value" 'See: reader --help'
    ;;
  esac
  case $1 in
  --root)
    [ -n "$2" ] || ml_fail '--root needs a directory'
    [ -z "$ml_root_1" ] || ml_count=$((ml_count + 1))
    eval "ml_root_$ml_count=\$2"
    [ "$ml_count" = 1 ] || eval "ml_wanted_$ml_count='' ml_remember_$ml_count=''"
    shift
    ;;
  --snapshot)
    case $2 in '' | . | .. | */*) ml_fail "$2 is no id of a snapshot" 'See them with: mirrorlatch list ROOT' ;; esac
    eval "ml_wanted_$ml_count=\$2"
    shift
    ;;
  --pin)
    case $2 in auto | namespace | cwd) ml_pin=$2 ;; *) ml_fail "--pin is auto, namespace or cwd, not $2" ;; esac
    shift
    ;;
  --chdir)
    case $2 in yes | no) ml_chdir=$2 ;; *) ml_fail "--chdir is yes or no, not $2" ;; esac
    shift
    ;;
  --wait)
    case $2 in '' | *[!0-9]*) ml_fail "--wait takes whole seconds, not $2" ;; esac
    ml_patience=$2
    shift
    ;;
  --remember)
    eval "ml_remember_$ml_count=\$2"
    shift
    ;;
  --waiter)
    # The program mirrorlatch, which `run` names: it hears of a change at once, and need not look each second.
    ml_waiter=$2
    shift
    ;;
  --or-current) ml_or_current=yes ;;
  --allow-dirty) ml_allow_dirty=yes ;;
  --release-on-exit) ml_release=yes ;;
  --verbose) ml_verbose=yes ;;
  --help)
    ml_usage
    exit 0
    ;;
  --)
    shift
    break
    ;;
  -*) ml_fail "there is no option $1" 'See: reader --help' ;;
  *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || ml_fail 'no command was given' 'Such as: reader -- apt-get update'
[ "$ml_pin$ml_chdir" != cwdno ] ||
  ml_fail 'with --pin cwd and --chdir no nothing would be pinned' 'Leave one of them out.'

# The script itself, whatever directory and mount namespace it is in by then, and also when it is replaced.
ml_free_descriptor
ml_script=$ml_fd
ml_open_at "$ml_script" "$0" || ml_fail "$0 cannot be read"
ml_pwd=$PWD
if [ -z "$ml_root_1" ]; then
  ml_self=$0
  # The last newline of a name would be lost without the dot.
  while [ -L "$ml_self" ]; do ml_self=$(readlink -f -- "$ml_self" && printf .) && ml_self=${ml_self%??}; done
  case $ml_self in */*) ml_root_1=${ml_self%/*}/.. ;; *) ml_root_1=.. ;; esac
fi

ml_n=1 ml_leases='' ml_all_inside=yes
while [ "$ml_n" -le "$ml_count" ]; do
  eval "ml_given=\$ml_root_$ml_n"
  [ "$ml_n" = 1 ] || CDPATH='' cd -- "$ml_pwd" 2>/dev/null
  ml_enter "$ml_given" ||
    ml_fail "there is no mirror in $ml_given, or none that you may enter" 'Check the path: a mirror holds .mirrorlatch, or a symlink current.'
  ml_pin_mirror "$ml_n"
  ml_n=$((ml_n + 1))
done
# What a pin around this one holds besides, stays held: a third one inside would not know of it.
ml_m=1
while ml_read_outer "$ml_m"; do
  if [ "$ml_outer_pin" != none ] && ! ml_is_pinned "$ml_outer_root" && ml_enter "$ml_outer_root"; then
    ml_count=$((ml_count + 1))
    eval "ml_wanted_$ml_count='' ml_remember_$ml_count=''"
    ml_pin_mirror "$ml_count"
  fi
  ml_m=$((ml_m + 1))
done

ml_i=$#
while [ "$ml_i" -gt 0 ]; do
  ml_rest=$1 ml_argument=''
  shift
  while :; do
    case $ml_rest in
    *'{snapshot}'*)
      ml_argument=$ml_argument${ml_rest%%'{snapshot}'*}$ml_snapshot_1
      ml_rest=${ml_rest#*'{snapshot}'}
      ;;
    *) break ;;
    esac
  done
  set -- "$@" "$ml_argument$ml_rest"
  ml_i=$((ml_i - 1))
done

if [ "$ml_all_inside" = yes ]; then ml_pin=namespace; else ml_choose_pin "$1"; fi
ml_tell_command
[ "$ml_pin" = namespace ] || ml_warn_of_paths "$@"
[ "$ml_release" = no ] || ml_release_on_exit

if [ "$ml_pin" = cwd ] || [ "$ml_all_inside" = yes ]; then
  [ "$ml_pin" = namespace ] || ml_chdir=yes
  ml_close "$ml_script"
  ml_start_in "$ml_snapshot_1"
  ml_exec "$@"
fi
ml_i=$ml_count
while [ "$ml_i" -gt 0 ]; do
  eval "set -- \"\$ml_root_$ml_i\" \"\$ml_snapshot_$ml_i\" \"\$@\""
  ml_i=$((ml_i - 1))
done
set -- sh "/proc/self/fd/$ml_script" --inside "$ml_script" "$ml_auto" "$ml_owner" "$ml_chdir" "$ml_pwd" "$ml_count" "$@"
[ -z "$ml_owner" ] || set -- --user --map-root-user "$@"
ml_exec unshare --mount --propagation slave "$@"
