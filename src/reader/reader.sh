#!/bin/sh
# Runs a command that sees exactly one snapshot of a mirror, whatever is published meanwhile.
#
#   reader [--root ROOT]... [--channel NAME] [--snapshot ID|previous] [--or-current] [--pin auto|namespace|cwd] [--chdir yes|no]
#          [--wait DURATION] [--allow-dirty] [--remember FILE] [--release-on-exit] [--verbose] [--] COMMAND [ARGUMENT]...
#
# A client that mounts the mirror needs only this file, a POSIX system, and flock, unshare and mount of util-linux:
#
#   /srv/mirror/debian/.mirrorlatch/reader apt-get update
#
# `current`, or the channel, is resolved once. A shared flock on the snapshot's lease keeps the snapshot from being pruned. The command
# inherits the descriptor, so the lock lasts until the command and its children have ended. The command then replaces
# this shell by exec: standard streams, terminal, signals and exit code are its own.
# Exit codes before that: 75 nothing to read within --wait, 125 the guard failed, 126 cannot execute, 127 not found.
#
# All variables here begin with ml_, because assigning to others would change the environment of the command.

ml_usage() {
  cat <<'USAGE'
Usage: reader [OPTION]... [--] COMMAND [ARGUMENT]...
Run COMMAND so that it sees exactly one snapshot of a mirror.

  --root ROOT          the mirror (default: the one that contains this file); may be repeated
  --channel NAME       pin the snapshot that this channel names, instead of the current one
  --snapshot ID        pin this snapshot, by its id or path, instead of the current one; `previous` is the one before
  --or-current         pin the current snapshot if that one is gone
  --pin namespace      the mirror's own paths lead to this snapshot alone, in a private mount namespace
  --pin cwd            the working directory is the snapshot; {snapshot} in an argument becomes its path
  --pin auto           a namespace (default); where there is none, fail, unless {snapshot} is in an argument or
                       the environment has MIRRORLATCH_FALLBACK=cwd: then the working directory
  --chdir no           keep the working directory
  --wait DURATION      how long to wait while there is nothing to read, such as 90s or 10m (default: without limit)
  --allow-dirty        read an in-place mirror even if its last sync did not finish cleanly
  --remember FILE      write the id of the snapshot to FILE
  --release-on-exit    release the snapshot when COMMAND ends, even if it leaves a daemon behind
  --verbose            report what is pinned, and how

COMMAND gets MIRRORLATCH_SNAPSHOT (the path), MIRRORLATCH_ID, MIRRORLATCH_ROOT and MIRRORLATCH_PIN; for a second
mirror these names end with _2, and so on.
Exit codes: those of COMMAND; 75 nothing to read within --wait; 125 the guard failed; 126 COMMAND cannot be executed;
127 COMMAND was not found.
USAGE
}

# ml_say MESSAGE [HINT]...
ml_say() {
  ml_print "mirrorlatch: $1"
  shift
  for ml_hint; do
    [ -z "$ml_hint" ] || ml_print "  $ml_hint"
  done
}

# ml_print LINE: a control character, which could drive a terminal, becomes a question mark.
ml_print() {
  case $1 in
  *[[:cntrl:]]*) ml_line=$(printf %s "$1" | LC_ALL=C tr '[:cntrl:]' '?') ;;
  *) ml_line=$1 ;;
  esac
  printf '%s\n' "$ml_line" >&2
}

# ml_fail MESSAGE [HINT]...: exit with the code that env(1) and timeout(1) use for their own failures.
ml_fail() {
  ml_say "$@"
  exit 125
}

# ml_quote WORD...: set ml_quoted to the words as one would type them.
ml_quote() {
  ml_quoted=''
  for ml_word; do
    case $ml_word in
    '' | *[!A-Za-z0-9_/.:@+-]*)
      ml_rest=$ml_word ml_word=''
      while :; do
        case $ml_rest in
        *\'*) ml_word=$ml_word${ml_rest%%\'*}"'\\''" ml_rest=${ml_rest#*\'} ;;
        *) break ;;
        esac
      done
      ml_word="'$ml_word$ml_rest'"
      ;;
    esac
    ml_quoted=$ml_quoted${ml_quoted:+ }$ml_word
  done
}

# ml_enter DIRECTORY: make it the working directory and set PWD to its real path.
ml_enter() {
  # To cd, a dash means the directory before.
  case $1 in -) set -- ./- ;; esac
  CDPATH='' cd -P -- "$1" 2>/dev/null
}

# ml_free_descriptor: set ml_fd to an unused descriptor; a POSIX sh supports single digits only.
ml_free_descriptor() {
  for ml_fd in 9 8 7 6 5 4 3; do
    [ -e "/proc/self/fd/$ml_fd" ] || return 0
  done
  ml_fail 'no descriptor from 3 to 9 is free: a guard needs one for itself, and one for the lease of each mirror' \
    'Guard fewer mirrors at once, or close what the command does not need: 3>&- 4>&-'
}

# ml_open_at DESCRIPTOR FILE: open FILE for reading.
ml_open_at() {
  # Without `command` a failure would end the shell.
  eval "command exec $1<\"\$2\"" 2>/dev/null
}

# ml_close DESCRIPTOR
ml_close() {
  eval "exec $1<&-"
}

# ml_mount ARGUMENT...: mount(8) on paths that are resolved already. To load a locale takes a fifth of its time.
ml_mount() {
  LC_ALL=C mount --no-canonicalize "$@"
}

# ml_is_channel LINK: true if LINK is a channel, a symlink to a snapshot whose name is no other of the mirror's own. Set
# ml_link to what it leads to.
ml_is_channel() {
  case ${1##*/} in current | previous | [!a-z0-9]* | *[!a-z0-9._-]* | *.json) return 1 ;; esac
  [ -L "$1" ] && ml_link=$(readlink -- "$1") || return 1
  case $ml_link in snapshots/*/*) return 1 ;; snapshots/?*) return 0 ;; esac
  return 1
}

# ml_mount_alone ROOT SNAPSHOT: let ROOT show this snapshot alone, at its usual path, as `current` and as ml_channel, and
# so every other path that leads to ROOT. The other entries of ROOT are mounted back, except the directory of SNAPSHOT, which
# has the other snapshots, and the channels that name those. Whoever owns a directory above ROOT may exchange its entries meanwhile. So the view is mounted on ROOT
# itself, not on its path, and what ROOT was stays open as ml_old.
ml_mount_alone() {
  ml_enter "$1" || return 1
  ml_free_descriptor
  ml_old=/proc/self/fd/$ml_fd ml_tops=$ml_fd ml_inner='' ml_view_options=remount,bind,ro,nosuid,nodev
  ml_open_at "$ml_fd" . || return 1
  case $2 in
  "$1"/*) ml_inner=${2#"$1"/} ;;
  *)
    ml_free_descriptor
    ml_tops="$ml_tops $ml_fd"
    ml_open_at "$ml_fd" "$2" || return 1
    ;;
  esac
  ml_tries=0
  while :; do
    ml_mount -t tmpfs -o mode=5755,size=1m,nosuid,nodev mirrorlatch . && ml_enter "$1" && ml_is_new_view || return 1
    # An entry may vanish or be replaced meanwhile. Then another view is put over the one that failed.
    ml_tries=$((ml_tries + 1))
    if [ "$ml_tries" -lt 20 ]; then ml_fill_view "$2" 2>/dev/null; else ml_fill_view "$2"; fi && break
    [ "$ml_tries" -lt 20 ] || return 1
  done
  for ml_fd in $ml_tops; do ml_close "$ml_fd"; done
}

# ml_fill_view SNAPSHOT: mount everything in the view, whose top is the working directory. mount(8) binds it all at once,
# because to start a program for each entry would take longer than all else.
ml_fill_view() {
  if [ -n "$ml_inner" ]; then
    ml_current=$ml_inner
    set -- "$ml_old/$ml_inner" "./$ml_inner"
  else
    ml_current=$1
    set -- "$1" "$1"
  fi
  for ml_entry in "$ml_old"/* "$ml_old"/.[!.]* "$ml_old"/..?*; do
    ml_name=${ml_entry##*/}
    case $ml_name in
    current | previous | "${ml_channel:-current}" | "${ml_inner%%/*}") continue ;;
    # It names what is current, or was when this view was made.
    current.json) [ ! -d "$ml_old/.mirrorlatch" ] || continue ;;
    # The same of a channel.
    *.json) [ ! -d "$ml_old/.mirrorlatch" ] || ! ml_is_channel "${ml_entry%.json}" || continue ;;
    # Other snapshots, as of atomic-rsync.
    current-[0-9]*) [ -d "$ml_old/.mirrorlatch" ] || continue ;;
    esac
    if [ -d "$ml_old/.mirrorlatch" ] && ml_is_channel "$ml_entry"; then
      [ "${ml_link##*/}" != "${ml_current##*/}" ] || LC_ALL=C ln -s -- "$ml_current" "./$ml_name" || return 1
    elif [ -L "$ml_entry" ]; then
      cp -P -- "$ml_entry" "./$ml_name" || [ ! -L "$ml_entry" ] || return 1
    elif [ -d "$ml_entry" ]; then
      set -- "$@" "$ml_entry" "./$ml_name"
    elif [ -e "$ml_entry" ]; then
      true >"./$ml_name" && set -- "$@" "$ml_entry" "./$ml_name" || return 1
    fi
  done
  [ -z "$ml_channel" ] || LC_ALL=C ln -s -- "$ml_current" "./$ml_channel" || return 1
  # The table is where the symlink `current` comes, so that no program has to remove it, and stays open for mount(8).
  ml_list_mounts "$@" >current && ml_mount_list <current
}

# ml_mount_list: mount what ml_list_mounts has printed, which is standard input. Its last line makes the view read-only.
ml_mount_list() {
  LC_ALL=C ln -sfn -- "$ml_current" current || return 1
  # Other users, such as apt's sandbox, must be able to traverse the directories that X-mount.mkdir makes, whatever the
  # umask.
  (umask 022 && export LC_ALL=C && exec mount --no-canonicalize --all --fstab /proc/self/fd/0) || return 1
  # Whether mount(8) heeds `remount` in a table is not documented.
  [ ! -w . ] || ml_mount -o "$ml_view_options" mirrorlatch . || return 1
  ml_finish_mounts
}

# ml_is_new_view: true if the working directory is the top of a view just made. No other directory has these bits.
ml_is_new_view() {
  [ -u . ] && [ -k . ] && [ -O . ]
}

# ml_list_mounts [SOURCE TARGET]...: print what is to be mounted in the view whose top is the working directory, as
# fstab(5) has it, each with the options that its mount has now: a mount(8) that does not name them drops them, which is not
# allowed in a user namespace. The last line makes the view itself read-only. Comments follow on what is to be done then, by
# mountinfo (proc(5)). Their paths have \ooo for some characters, as printf(1) takes them.
#   # own PATH OPTIONS     what is mounted below a SOURCE, and writable there
#   # root PATH            another path of ROOT
#   # part PATH DIRECTORY  another path of a DIRECTORY below ROOT
#   # end                  the list is whole
ml_list_mounts() {
  LC_ALL=C awk -v tops="$ml_tops" -v view_options="$ml_view_options" '
    function mount_of(descriptor, file, line, words) {
      file = "/proc/self/fdinfo/" descriptor
      while ((getline line < file) > 0) {
        split(line, words)
        if (words[1] == "mnt_id:") return words[2]
      }
    }
    function bare(path) { return path == "/" ? "" : path }
    function is_within(path, top) { return path == top || index(path, top "/") == 1 }
    function escaped(path) {
      gsub(/\\/, "\\134", path)
      gsub(/ /, "\\040", path)
      gsub(/\t/, "\\011", path)
      gsub(/\n/, "\\012", path)
      return path
    }
    function put(kind, path, more) {
      gsub(/%/, "%%", path)
      gsub(/%/, "%%", more)
      print "#", kind, path, more
    }
    function bind(source, target, path, over, n, id, flags) {
      path = target
      if (substr(target, 1, 2) == "./") path = place[view] substr(target, 2)
      over = target == path ? descriptor_mount[2] : old
      for (n = 1; n <= count; n++) {
        id = ids[n]
        if (id in below && is_within(path, place[id]) && length(place[id]) >= length(place[over])) over = id
      }
      flags = ""
      for (n = 1; n <= 4; n++) {
        if (("," options[over] ",") ~ ("," kept[n] ",")) flags = flags "," kept[n]
      }
      print source, target, "none", "rbind,ro,X-mount.mkdir" flags, "0 0"
      for (n = 1; n <= count; n++) {
        id = ids[n]
        if (!(id in below) || place[id] == path || !is_within(place[id], path)) continue
        if (("," options[id] ",") !~ /,ro,/) put("own", target substr(place[id], length(path) + 1), options[id])
      }
    }
    BEGIN {
      split("nosuid nodev noexec nosymfollow", kept)
      split(tops, descriptors)
      for (n in descriptors) descriptor_mount[n] = mount_of(descriptors[n])
      old = descriptor_mount[1]
      view = mount_of(0)
      while ((getline line < "/proc/self/mountinfo") > 0) {
        split(line, words)
        id = words[1]
        ids[++count] = id
        parent[id] = words[2]
        device[id] = words[3]
        root[id] = bare(words[4])
        place[id] = bare(words[5])
        options[id] = words[6]
      }
      for (n = 1; n <= count; n++) {
        id = ids[n]
        is_top = id == old || id == descriptor_mount[2]
        # Views that failed are mounted there, too.
        if (is_top || (parent[id] in below && place[id] != place[view])) below[id] = 1
      }
      for (n = 1; n < ARGC; n += 2) bind(escaped(ARGV[n]), escaped(ARGV[n + 1]))
      print "mirrorlatch", ".", "none", view_options, "0 0"
      top = root[old] substr(place[view], length(place[old]) + 1)
      for (n = 1; n <= count; n++) {
        id = ids[n]
        if (device[id] != device[old]) continue
        if (is_within(top, root[id])) {
          path = place[id] substr(top, length(root[id]) + 1)
          if (path != place[view]) put("root", path)
        } else if (is_within(root[id], top)) {
          put("part", place[id], "." substr(root[id], length(top) + 1))
        }
      }
      print "# end"
    }' "$@" <.
}

# ml_read_octal WORD: set ml_text to the path that WORD is in the list. To start no process for most is worth a line.
ml_read_octal() {
  ml_text=$1
  case $1 in
  *[\\%]*)
    # The dot keeps the newlines at the end of a name.
    ml_text=$(printf "$1.") ml_text=${ml_text%.}
    ;;
  esac
}

# ml_finish_mounts: make what is listed read-only, or show the view there too.
ml_finish_mounts() {
  while read -r ml_mark ml_kind ml_place ml_more; do
    [ "$ml_mark" = '#' ] || continue
    ml_read_octal "$ml_place"
    ml_place=$ml_text
    case $ml_kind in
    end) return ;;
    own)
      # Where the user may not go, as in staging, nothing can be mounted, nor written.
      [ -e "$ml_place" ] || continue
      # A remount drops the options that it does not name. In a user namespace that is not allowed.
      ml_flags=''
      for ml_key in nosuid nodev noexec nosymfollow; do
        case ",$ml_more," in *",$ml_key,"*) ml_flags=$ml_flags,$ml_key ;; esac
      done
      ml_mount -o "remount,bind,ro$ml_flags" mirrorlatch "$ml_place" || return 1
      ;;
    root) ml_show_at "$ml_place" "$ml_old" . || return 1 ;;
    part)
      ml_read_octal "$ml_more"
      ml_more=$ml_text
      case ./$ml_inner in
      "$ml_more"/*)
        ml_show_at "$ml_place" "$ml_old/$ml_more" "$ml_more" || return 1
        ;;
      esac
      ;;
    esac
  done
  return 1
}

# ml_show_at PLACE DIRECTORY PART: bind PART of the view at PLACE if that is DIRECTORY. What is compared is what is
# mounted on, so whoever owns a directory above PLACE cannot lead the mount elsewhere.
ml_show_at() {
  (! ml_enter "$1" || [ ! . -ef "$2" ] || ml_mount -o rbind /proc/self/fd/0 .) <"$3"
}

# ml_inside OWNER CHDIR PWD COUNT [ROOT SNAPSHOT CHANNEL FILE]... COMMAND...: mount the snapshots in the new mount namespace, and
# run COMMAND. OWNER is UID:GID in a user namespace of an ordinary user, `all` in one of root, and else empty.
ml_inside() {
  ml_owner=$1 ml_chdir=$2 ml_pwd=$3 ml_count=$4 ml_start=$6
  shift 4
  ml_n=1
  while [ "$ml_n" -le "$ml_count" ]; do
    eval "ml_root_$ml_n=\$1 ml_id_$ml_n=\${2##*/} ml_remember_$ml_n=\$4"
    ml_channel=$3
    ml_mount_alone "$1" "$2" ||
      ml_fail "$1 cannot be pinned in a mount namespace" 'Pin the working directory alone with: --pin cwd'
    shift 4
    ml_n=$((ml_n + 1))
  done
  # The working directory of this shell is still below the new mounts.
  ml_start_in "$ml_start"
  ml_find "$1"
  ml_remember_ids
  # The command must not be able to take the mounts away.
  case $ml_owner in
  '') ml_quoted='' ;;
  all) ml_quote "$(command -v setpriv)" --bounding-set=-sys_admin -- ;;
  *) ml_quote "$(command -v unshare)" --user --map-user="${ml_owner%:*}" --map-group="${ml_owner#*:}" -- ;;
  esac
  ml_limits=$ml_quoted
  ml_exec "$@"
}

# ml_start_in SNAPSHOT: enter the directory in which the command starts.
ml_start_in() {
  if [ "$ml_chdir" = yes ]; then
    # The gate may have been closed by hand since this shell entered.
    [ "$PWD" = "$1" ] || ml_enter "$1" || ml_fail "the snapshot $1 does not exist any more"
    export PWD
  else
    CDPATH='' cd -- "$ml_pwd" 2>/dev/null || ml_fail_for_directory
  fi
}

# ml_fail_for_directory: the command cannot start in ml_pwd, which may be in another snapshot, as it is after a publication.
ml_fail_for_directory() {
  ml_why="the working directory $ml_pwd does not exist in the pin"
  ml_i=1
  while [ "$ml_i" -le "$ml_count" ]; do
    eval "ml_root=\$ml_root_$ml_i ml_id=\$ml_id_$ml_i"
    ml_name=${ml_pwd#"$ml_root/snapshots/"} ml_name=${ml_name%%/*}
    if [ "${ml_pwd#"$ml_root/snapshots/$ml_name"}" != "$ml_pwd" ] && [ "$ml_name" != "$ml_id" ]; then
      ml_quote "$ml_root" --snapshot "$ml_name"
      ml_snapshot_option=$ml_quoted
      ml_quote "$ml_root/current"
      ml_fail "$ml_why, which shows $ml_id: it is in the snapshot $ml_name" "Go to what is current: cd $ml_quoted" \
        "Or open a shell in that snapshot: mirrorlatch run $ml_snapshot_option" "$ml_where"
    fi
    ml_i=$((ml_i + 1))
  done
  ml_fail "$ml_why" "Go to another directory. $ml_where"
}

# ml_look_up COMMAND PATH: set ml_file to the file that COMMAND means, or else to one of that name that cannot be
# executed, or to nothing. Elements of PATH that are no absolute paths count from the working directory.
ml_look_up() {
  ml_file=''
  case $1 in
  */*)
    [ ! -e "$1" ] || ml_file=$1
    return
    ;;
  esac
  ml_rest=$2:
  while [ -n "$ml_rest" ]; do
    ml_element=${ml_rest%%:*} ml_rest=${ml_rest#*:}
    case $ml_element in /*) ;; *) ml_element=$PWD/$ml_element ;; esac
    if [ -f "$ml_element/$1" ]; then
      [ -n "$ml_file" ] || ml_file=$ml_element/$1
      if [ -x "$ml_element/$1" ]; then
        ml_file=$ml_element/$1
        return
      fi
    fi
  done
}

# ml_find COMMAND: exit with 127 if there is no such command, and with 126 if it cannot be executed.
ml_find() {
  ml_look_up "$1" "$PATH"
  if [ -z "$ml_file" ]; then
    ml_say "$1: command not found"
    exit 127
  elif [ -d "$ml_file" ]; then
    ml_say "$1 cannot be executed: it is a directory"
    exit 126
  elif [ ! -x "$ml_file" ]; then
    ml_say "$1 cannot be executed: permission denied"
    exit 126
  fi
}

# ml_exec COMMAND...: replace this shell with COMMAND, behind the words of ml_limits.
ml_exec() {
  ml_find "$1"
  case $ml_lost$1 in
  # Not every sh supports `exec --`.
  -* | " '"*)
    case $1 in
    # env(1) would take it for a variable.
    *=*)
      ml_look_up sh "$PATH"
      set -- "$ml_file" -c 'exec "$@"' sh "$@"
      ;;
    esac
    ml_look_up env "$PATH"
    eval "set -- \"\$ml_file\" --$ml_lost \"\$@\""
    ;;
  esac
  eval "set -- $ml_limits \"\$@\""
  if [ -n "$ml_oldpwd" ]; then OLDPWD=$ml_oldpwd; else unset OLDPWD; fi
  PATH=$ml_path
  exec "$@"
}

# ml_read_lost PID: set ml_lost to the variables of a shell's process that a shell does not pass on as it got them, as
# words for env(1): those whose names are none in sh, such as a.b and the functions that bash exports, those that it sets
# itself, and those that this file unsets. What has no `=` is no variable.
ml_read_lost() {
  ml_lost='' ml_environ=/proc/$1/environ
  ml_names='[^=]*[^A-Za-z0-9_=][^=]*|[0-9][^=]*|IFS|OPTIND|PPID|LD_LIBRARY_PATH|LD_PRELOAD|LD_AUDIT|NODE_OPTIONS'
  LC_ALL=C grep -zqE "^($ml_names)=" "$ml_environ" 2>/dev/null || return 0
  # A line each. Not every sed can have NUL in a line, so a byte that occurs nowhere stands for a newline.
  for ml_byte in 1 2 3 4 5 6 7; do
    [ -n "$(LC_ALL=C tr -dc "\\$ml_byte" <"$ml_environ")" ] || break
  done
  ml_lost=$(LC_ALL=C grep -zE "^($ml_names)=" "$ml_environ" | LC_ALL=C tr '\0\n' "\\n\\$ml_byte" |
    LC_ALL=C sed "s/'/'\\\\''/g; s/.*/ '&'/" | LC_ALL=C tr -d '\n' | LC_ALL=C tr "\\$ml_byte" '\n')
}

# ml_remember_ids: replace each file of --remember in one step, so that nobody reads half an id, and through no symlink.
# The user of this process can read it, whatever the umask.
ml_remember_ids() {
  ml_n=1
  while [ "$ml_n" -le "$ml_count" ]; do
    eval "ml_id=\$ml_id_$ml_n ml_remember=\$ml_remember_$ml_n"
    [ -z "$ml_remember" ] || {
      rm -f -- "$ml_remember.$$" && (umask u=rwx && set -C && printf '%s\n' "$ml_id" >"$ml_remember.$$") &&
        mv -fT -- "$ml_remember.$$" "$ml_remember"
    } 2>/dev/null || ml_fail "the snapshot cannot be remembered in $ml_remember"
    ml_n=$((ml_n + 1))
  done
}

# bash takes functions from the environment, also as sh. The command gets them back. With this variable, which is not
# exported, it prefers its special builtins, such as unset, to functions.
POSIXLY_CORRECT=${POSIXLY_CORRECT-}
unset -f [ awk cat cd command cp env false find flock grep kill ln ls mirrorlatch mount mv nsenter printf read readlink \
  realpath rm rmdir sed setpriv sh sleep test tr true umask unshare wait

# The guard's own programs come from the absolute elements of PATH: it works inside the mirror, which must not bring
# programs of its own. The command gets PATH as it was.
ml_path=${PATH-} ml_rest=$ml_path: ml_absolute='' ml_is_relative=no
while [ -n "$ml_rest" ]; do
  case $ml_rest in /*) ml_absolute=$ml_absolute:${ml_rest%%:*} ;; *) ml_is_relative=yes ;; esac
  ml_rest=${ml_rest#*:}
done
PATH=${ml_absolute#:}
[ -n "$PATH" ] || PATH=/usr/bin:/bin
# Nor may it bring libraries, as by an empty element of LD_LIBRARY_PATH. The command gets these variables back.
unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT NODE_OPTIONS

if [ "${1-}" = --print-lost ]; then
  # For the shell that starts the guard, `lock` or `watch`. In another PID namespace than that of /proc, the pid is that of
  # some other process there.
  ml_lost=''
  [ ! /proc/self -ef "/proc/$$" ] || ml_read_lost "$2"
  printf %s "$ml_lost"
  exit
fi

[ /proc/self -ef "/proc/$$" ] ||
  ml_fail '/proc is not mounted, or is that of another PID namespace' 'Mount it with: mount -t proc proc /proc'

ml_oldpwd=${OLDPWD-} ml_limits='' ml_newline='
'
ml_where='An alias, a shim and --chdir no start the command where you are.'
if [ "${1-}" = --inside ]; then
  ml_lost=$2
  [ -z "$2" ] || ml_read_lost $$
  ml_close "$3"
  [ -z "$4" ] || ml_close "$4"
  shift 4
  ml_inside "$@"
  exit
fi

# What follows is needed outside only. sh reads a script while it runs it, so the shell inside does not read this.

# ml_quote_guard OPTIONS COMMAND...: set ml_quoted to the command line of this guard as it was given, with OPTIONS in
# place of its --pin.
ml_quote_guard() {
  ml_options=$1
  # With --pin cwd, it would leave nothing pinned.
  [ "$ml_chdir" = yes ] || [ "$1" = '--pin cwd' ] || ml_options="--chdir no${1:+ }$1"
  shift
  # Nobody pastes a thousand arguments.
  [ $# -le 40 ] || set -- "$1" ...
  ml_quote "$@"
  ml_words=$ml_quoted
  ml_i=1 ml_guard=''
  while [ "$ml_i" -le "$ml_given_count" ]; do
    eval "ml_quote \"\$ml_root_$ml_i\""
    if [ -z "$ml_waiter" ] && [ "$ml_is_watch" = no ]; then
      ml_guard="$ml_guard --root $ml_quoted"
      for ml_name in channel wanted remember; do
        eval "ml_value=\$ml_${ml_name}_$ml_i"
        [ -n "$ml_value" ] || continue
        ml_quote "$ml_value"
        case $ml_name in wanted) ml_name=snapshot ;; esac
        ml_guard="$ml_guard --$ml_name $ml_quoted"
      done
    elif [ "$ml_i" = 1 ]; then
      ml_guard=" $ml_quoted"
    else
      ml_guard="$ml_guard -m $ml_quoted"
    fi
    ml_i=$((ml_i + 1))
  done
  ml_quoted='mirrorlatch run'
  if [ "$ml_is_watch" = yes ]; then
    ml_quoted='mirrorlatch watch'
  elif [ -z "$ml_waiter" ]; then
    ml_quote sh "$0"
  fi
  ml_quoted="$ml_quoted$ml_guard${ml_flags:+ }$ml_flags${ml_options:+ }$ml_options"
  [ "$ml_is_shell" = yes ] || ml_quoted="$ml_quoted -- $ml_words"
}

# ml_pause: sleep briefly; POSIX sleep(1) takes whole seconds only.
ml_pause() {
  sleep 0.1 2>/dev/null || sleep 1
}

# ml_end_wait WHY HINT: there is nothing to read.
ml_end_wait() {
  ml_say "$@"
  exit 75
}

# ml_give_back: close the leases that this guard has taken; those that a pin around it has passed on stay.
ml_give_back() {
  for ml_fd in $ml_taken; do ml_close "$ml_fd"; done
  ml_taken=''
}

# ml_wait WHY: wait about a second, or exit with 75 when --wait is used up. A mirror that is replaced as a whole is
# missing for a moment only: after ten seconds, fail. The writer of another mirror may be waiting for this guard, so it
# gives back all leases before, and sets ml_start_over.
ml_wait() {
  ! ml_is_inside_lock ||
    ml_fail "$1: this guard runs inside \`lock\` of that mirror, and would wait for itself" \
      'In a lock, use $MIRRORLATCH_STAGING, and the program itself without the guard, such as /usr/bin/rsync.' \
      'Or run this once `lock` has ended.'
  if [ -n "$ml_patience" ] && [ "$ml_waited" -ge "$ml_patience" ]; then
    ml_quote "$ml_root"
    ml_end_wait "$1" "Wait longer with --wait, or look at the mirror with: mirrorlatch status $ml_quoted"
  fi
  if [ -d "$ml_root/.mirrorlatch" ]; then ml_gone=0; else ml_gone=$((ml_gone + 1)); fi
  [ "$ml_gone" -le 10 ] || ml_fail "there is no longer a mirror in $ml_root" 'Check the path, and that its disk is mounted.'
  [ "$ml_waited" != 0 ] || ml_say "waiting: $1"
  [ -z "$ml_taken" ] || ml_start_over=yes
  ml_give_back
  if [ -z "$ml_waiter" ]; then sleep 1; else ml_wait_for_events; fi
  ml_waited=$((ml_waited + 1))
}

# ml_wait_for_events: let `mirrorlatch wait` watch the mirror for a minute, or for what is left of --wait. It ends
# when this shell does. It knows nothing of --allow-dirty, so with that the gate is looked at more often.
ml_wait_for_events() {
  ml_slice=60
  [ "$ml_allow_dirty" = no ] || ml_slice=5
  [ -z "$ml_patience" ] || [ $((ml_patience - ml_waited)) -gt "$ml_slice" ] || ml_slice=$((ml_patience - ml_waited))
  setpriv --pdeathsig TERM -- "$ml_waiter" wait "$ml_root" --timeout "${ml_slice}s" >/dev/null 2>&1
  case $? in
  # The mirror may have changed again since `wait` looked at it.
  0) ml_pause ;;
  75) ml_waited=$((ml_waited + ml_slice - 1)) && sleep 1 ;;
  69) ml_abandoned=$ml_gate ;;
  *) sleep 1 ;;
  esac
}

# ml_is_inside_lock: true if the command of a `lock` of ml_root, which no other writer can follow before it ends, is around
# this guard: an ancestor holds the writer's lock. Only where the holder cannot be seen, the variable counts that its
# command gets: a daemon may keep that after its `lock`, and meet the next one.
ml_is_inside_lock() {
  for ml_file in "$ml_root/.mirrorlatch/sync.lock"/*/owner.json; do
    # A FIFO would block until somebody writes to it.
    [ -f "$ml_file" ] && IFS= read -r ml_record 2>/dev/null <"$ml_file" || continue
    case $ml_record in *'"command":"lock"'*) ;; *) continue ;; esac
    if ml_sees_holder; then
      ml_pid=$$
      while [ "$ml_pid" -gt 0 ] && [ "$ml_pid" != "$ml_writer" ]; do ml_read_parent; done
      [ "$ml_pid" = 0 ] || return 0
      continue
    fi
    case ${MIRRORLATCH_STAGING-} in
    */gate/live) ml_around=${MIRRORLATCH_STAGING%/gate/live} ;;
    *) ml_around=${MIRRORLATCH_STAGING%/.mirrorlatch/staging/*} ;;
    esac
    [ ! "$ml_around" -ef "$ml_root" ] || return 0
  done
  return 1
}

# ml_sees_holder: set ml_writer to the pid of the holder by ml_record; true if that process still runs and can be seen here.
# Elsewhere, or later, its pid is that of another process.
ml_sees_holder() {
  ml_writer=${ml_record##*'"pid":'} ml_writer=${ml_writer%%,*}
  case $ml_writer in '' | *[!0-9]*) return 1 ;; esac
  read -r ml_boot </proc/sys/kernel/random/boot_id
  # Behind the name, which may contain anything, the start is the twentieth field, see proc_pid_stat(5).
  ml_start=$(cat "/proc/$ml_writer/stat" 2>/dev/null)
  set -- ${ml_start##*')'}
  case $ml_record in
  *"\"bootId\":\"$ml_boot\",\"pidNamespace\":\"$(readlink /proc/self/ns/pid)\""*"\"startTicks\":\"${20-}\""*) return 0 ;;
  esac
  return 1
}

# ml_read_parent: set ml_pid to its parent, and to 0 at the top.
ml_read_parent() {
  ml_parent=0
  while read -r ml_key ml_value; do
    if [ "$ml_key" = PPid: ]; then
      ml_parent=$ml_value
      break
    fi
  done 2>/dev/null <"/proc/$ml_pid/status"
  ml_pid=$ml_parent
}

# ml_read_credentials: set ml_uid, ml_gid and ml_is_admin (CAP_SYS_ADMIN) from /proc/self/status, see proc(5).
ml_read_credentials() {
  ml_is_admin=no
  while read -r ml_key ml_real ml_effective ml_rest; do
    case $ml_key in
    Uid:) ml_uid=$ml_effective ;;
    Gid:) ml_gid=$ml_effective ;;
    CapEff:)
      # CAP_SYS_ADMIN is bit 21: the second bit of the sixth hexadecimal digit from the right.
      case ${ml_real%?????} in *[2367abefABEF]) ml_is_admin=yes ;; esac
      # This is the last line needed, and sh reads byte by byte.
      break
      ;;
    esac
  done </proc/self/status
}

# ml_read_outer N: set ml_outer_root, ml_outer_id and ml_outer_snapshot to what the environment tells of the Nth mirror
# that a pin around this command holds; false if there is none.
ml_read_outer() {
  ml_suffix=_$1
  [ "$1" != 1 ] || ml_suffix=''
  eval "ml_outer_root=\${MIRRORLATCH_ROOT$ml_suffix-} ml_outer_id=\${MIRRORLATCH_ID$ml_suffix-}"
  eval "ml_outer_snapshot=\${MIRRORLATCH_SNAPSHOT$ml_suffix-}"
  [ -n "$ml_outer_root" ] && [ -n "$ml_outer_id" ]
}

# ml_find_outer ROOT: set ml_outer_pin to the pin around this command that holds the mirror ROOT: namespace, none, or cwd,
# which holds ml_outer_id. The environment may be cleaned, outlive its pin, as in an at(1) job, or be made up. So it tells
# only of a tree that mirrorlatch did not make, which has no leases, and of what a holder holds that is another user's.
ml_find_outer() {
  ml_outer_pin=namespace
  ! ml_is_view "$1" || return 0
  ml_outer_pin=cwd
  if [ -d "$1/.mirrorlatch" ]; then
    ! ml_find_lease "$1" || return 0
  elif ml_is_told "$1" && ml_is_in_force; then
    return 0
  fi
  ml_outer_pin=none
}

# ml_is_told ROOT: ml_read_outer for the mirror ROOT; false if the environment tells nothing of it.
ml_is_told() {
  ml_m=1
  while ml_read_outer "$ml_m"; do
    [ "$ml_outer_root" != "$1" ] || return 0
    ml_m=$((ml_m + 1))
  done
  return 1
}

# ml_find_lease ROOT: set ml_outer_id to the snapshot of ROOT whose lease this process or an ancestor has open, as the
# command of a pin has, or else the process that holds it under --release-on-exit.
ml_find_lease() {
  ml_pid=$$
  while [ "$ml_pid" -gt 0 ]; do
    ! ml_has_lease "$1" || return 0
    ml_read_parent
  done
  ml_pid=${MIRRORLATCH_HOLDER-}
  case $ml_pid in '' | *[!0-9]*) return 1 ;; esac
  ! ml_has_lease "$1" || return 0
  # It has a standard input, for those who may look at its descriptors. Another user may see at most its arguments.
  if [ -e "/proc/$ml_pid/fd/0" ] || ! ml_is_told "$1"; then return 1; fi
  case $(LC_ALL=C kill -0 "$ml_pid" 2>&1) in '' | *'not permitted'*) ;; *) return 1 ;; esac
  grep -qe --release-on-exit "/proc/$ml_pid/cmdline" 2>/dev/null
  case $? in
  0) return 0 ;;
  1) return 1 ;; # Another process has its pid now.
  esac
  ml_fail "$1 may be pinned already: this user cannot see process $ml_pid, which MIRRORLATCH_HOLDER names" \
    'Run this guard as the user of the guard around it, or pin the mirror anew with: env -u MIRRORLATCH_HOLDER ...'
}

# ml_has_lease ROOT: the same for the process ml_pid. Leases are empty files.
ml_has_lease() {
  for ml_descriptor in "/proc/$ml_pid/fd"/*; do
    # Before the leases, of which a mirror may have hundreds: most descriptors can be none.
    if [ ! -f "$ml_descriptor" ] || [ -s "$ml_descriptor" ] || ! ml_is_passed_on; then continue; fi
    for ml_lease in "$1/.mirrorlatch/gate.flock" "$1/.mirrorlatch/leases"/*; do
      if [ "$ml_descriptor" -ef "$ml_lease" ]; then
        ml_outer_id=${ml_lease##*/}
        [ "$ml_outer_id" != gate.flock ] || ml_outer_id=live
        return 0
      fi
    done
  done
  return 1
}

# ml_is_passed_on: true if ml_descriptor is one that programs inherit and can only read, as a guard opens leases. With
# others, mirrorlatch and its library hold leases for themselves. In fdinfo, O_CLOEXEC is 02000000, and the last digit is 0
# for O_RDONLY, see proc(5).
ml_is_passed_on() {
  while read -r ml_key ml_value; do
    case $ml_key$ml_value in
    flags:*[2367]??????) return 1 ;;
    flags:*0) return 0 ;;
    flags:*) return 1 ;;
    esac
  done 2>/dev/null <"/proc/$ml_pid/fdinfo/${ml_descriptor##*/}"
  return 1
}

# ml_is_view DIRECTORY: true if DIRECTORY is the top of the view of a namespace pin. Anybody can set the bits of
# ml_is_new_view, so the mount tells.
ml_is_view() {
  [ -u "$1" ] && [ -k "$1" ] && {
    while read -r ml_key ml_value; do
      case $ml_key in mnt_id:) break ;; esac
    done </proc/self/fdinfo/0
    grep -q "^$ml_value .* - tmpfs mirrorlatch " /proc/self/mountinfo
  } 2>/dev/null <"$1"
}

# ml_is_in_force: true if the cwd pin of which ml_read_outer told still holds: this command or an ancestor stands in the
# snapshot, where the pin has started it.
ml_is_in_force() {
  [ -d "$ml_outer_snapshot" ] || return 1
  [ ! "$ml_pwd" -ef "$ml_outer_snapshot" ] || return 0
  ml_pid=$$
  while [ "$ml_pid" -gt 0 ]; do
    [ ! "/proc/$ml_pid/cwd" -ef "$ml_outer_snapshot" ] || return 0
    ml_read_parent
  done
  return 1
}

# ml_resolve: enter the snapshot that ml_root is to be pinned to, by ml_way, and set ml_snapshot and ml_id. A single
# chdir(2) resolves `current`, and a single readlink(2) a channel.
ml_resolve() {
  ml_name=$ml_wanted
  # The tree of an in-place mirror is called live; elsewhere that is a name like others.
  [ "$ml_name$ml_managed" != liveyes ] || [ ! -e "$ml_root/.mirrorlatch/gate.flock" ] || ml_name=''
  case $ml_name${ml_channel:+ }$ml_managed in
  ' yes')
    ml_way=$ml_root/$ml_channel
    ml_is_channel "$ml_way" || return 1
    ml_way=$ml_root/$ml_link
    ;;
  yes | no | previousyes | 'previous yes' | previousno) ml_way=$ml_root/${ml_name:-current} ;;
  *yes) ml_way=$ml_root/snapshots/$ml_name ;;
  *) ml_way=$ml_root/current/../$ml_name ;;
  esac
  ml_enter "$ml_way" || return 1
  ml_snapshot=$PWD
  ml_id=${ml_snapshot##*/}
}

# ml_refuse_other_than_snapshot: fail if the working directory cannot be a snapshot of ml_root.
ml_refuse_other_than_snapshot() {
  ml_quote "$ml_root/current"
  ml_top=${ml_snapshot%/}
  case $ml_root/ in
  "$ml_top"/*)
    ml_fail "$ml_root/current leads to $ml_snapshot, which contains the mirror itself: there is no snapshot to pin" \
      "Look at it with: ls -ld $ml_quoted"
    ;;
  esac
  [ "$ml_managed" = yes ] || return 0
  case $ml_id in
  [!A-Za-z0-9]* | *[!A-Za-z0-9._+-]*)
    ml_fail "$ml_root/current leads to $ml_snapshot, which has no name of a snapshot" "Look at it with: ls -ld $ml_quoted"
    ;;
  esac
}

# ml_take_lease: hold the snapshot by a shared flock on its lease. Pruning takes the lease exclusively, moves the
# snapshot away and unlinks the lease. So a snapshot that still has its name once this lock is held will stay.
ml_take_lease() {
  ml_lease=$ml_root/.mirrorlatch/leases/$ml_id
  [ "$ml_id" != live ] || ml_lease=$ml_root/.mirrorlatch/gate.flock
  ml_is_inherited=no
  # A pin around this command has passed its lease on.
  for ml_fd in 9 8 7 6 5 4 3; do
    if [ "/proc/self/fd/$ml_fd" -ef "$ml_lease" ] && [ . -ef "$ml_snapshot" ] && LC_ALL=C flock -s -n "$ml_fd"; then
      ml_is_inherited=yes
      return 0
    fi
  done
  ml_open_lease || return 1
  LC_ALL=C flock -s -n "$ml_fd"
  case $? in
  0)
    if ml_is_still_lease; then return 0; fi
    ;;
  1) ;; # The snapshot is being pruned, or the gate is being closed.
  127) ml_fail 'flock is not installed' 'Install util-linux.' ;;
  *) ml_fail "the filesystem of $ml_lease does not support locks" 'Mount it with locks (NFS: without nolock).' ;;
  esac
  ml_close "$ml_fd"
  return 1
}

# ml_open_lease: open ml_lease as descriptor ml_fd. The owner of a mirror must not lead others to files elsewhere.
ml_open_lease() {
  ml_free_descriptor
  [ -f "$ml_lease" ] && ! ml_is_led_elsewhere && ml_open_at "$ml_fd" "$ml_lease" || return 1
}

# ml_is_led_elsewhere: true if a symlink is where mirrorlatch made ml_lease or its directory.
ml_is_led_elsewhere() {
  [ -L "$ml_lease" ] || [ -L "${ml_lease%/*}" ]
}

# ml_is_still_lease: true if what ml_open_lease has opened is the lease of the working directory, and has its name still.
ml_is_still_lease() {
  [ "/proc/self/fd/$ml_fd" -ef "$ml_lease" ] && ! ml_is_led_elsewhere && [ . -ef "$ml_snapshot" ]
}

# ml_hold_open_lease: hold the snapshot although a process keeps its lease locked exclusively, as every user can. That is
# no removal: to remove a snapshot, mirrorlatch marks the lease with the sticky bit first, and then looks which processes
# have it open. So an open lease without the mark is enough if the owner of the mirror, who removes, sees this process.
ml_hold_open_lease() {
  ml_read_credentials
  ml_open_lease || return 1
  ml_name_holder
  if ls -ldn -- "$ml_root/.mirrorlatch" | ml_is_owned_by "$ml_uid" && [ ! -k "/proc/self/fd/$ml_fd" ] &&
    ml_is_still_lease; then
    ml_say "$ml_holder has locked the lease of $ml_snapshot: it is held by the open lease alone"
    return 0
  fi
  ml_close "$ml_fd"
  return 1
}

# ml_is_owned_by UID: true if the line of ls(1) on standard input names root or UID as the owner.
ml_is_owned_by() {
  IFS=' ' read -r ml_key ml_value ml_real ml_rest
  [ "$ml_real" = 0 ] || [ "$ml_real" = "$1" ]
}

# ml_name_holder: set ml_holder to the process that has ml_lease locked exclusively, by /proc/locks, see proc(5).
ml_name_holder() {
  ml_holder='a process'
  ml_key=$(ls -id -- "$ml_lease" 2>/dev/null | (read -r ml_key ml_rest && printf '%s\n' "$ml_key"))
  ml_key=$(sed -n "s/^.* WRITE \([0-9]*\) [^ ]*:$ml_key .*/\1/p" /proc/locks 2>/dev/null)
  ml_key=${ml_key%%[!0-9]*}
  # It may only have handed the lock on.
  [ -z "$ml_key" ] || [ ! -e "/proc/$ml_key" ] || ml_holder="process $ml_key"
}

# ml_is_open: true if the mirror may be read; otherwise ml_why is the reason. Only in-place mirrors have a gate.
ml_is_open() {
  [ -e "$ml_root/.mirrorlatch/gate.json" ] || [ -e "$ml_root/.mirrorlatch/gate.flock" ] || return 0
  # The writer that closes the gate waits for the pin around this command. Waiting for it would be a deadlock.
  [ "$ml_holds_gate" = no ] || return 0
  ml_gate=''
  # A FIFO would block until somebody writes to it.
  [ ! -f "$ml_root/.mirrorlatch/gate.json" ] || IFS= read -r ml_gate 2>/dev/null <"$ml_root/.mirrorlatch/gate.json" || ml_gate=''
  case $ml_gate in
  *'"state":"open"'*) ;;
  *'"state":"dirty"'*'"by":"init"'*)
    ml_why="$ml_root has not been synced yet"
    [ "$ml_allow_dirty" = yes ]
    ;;
  *'"state":"dirty"'*)
    ml_why="$ml_root is not whole: its last sync or lock did not finish cleanly"
    [ "$ml_allow_dirty" = yes ]
    ;;
  *'"by":"person"'*)
    ml_text=${ml_gate#*'"reason":"'}
    # A reason that `gate close` takes has at most 1,000 characters, in JSON of six bytes each. Whoever wrote a longer one
    # would keep ml_read_json busy.
    [ "${#ml_text}" -le 6000 ] || ml_text=$(printf %.6000s "$ml_text")
    ml_read_json "$ml_text"
    ml_why="$ml_root is closed by hand: $ml_text"
    return 1
    ;;
  *'"state":"clos'*)
    # Whether that still lives is found out during the wait.
    ml_why="$ml_root is closed by its writer"
    ml_is_abandoned || return 1
    ml_why="$ml_root is not whole: what was writing it is dead, and left the gate closed"
    ml_quote "$ml_root"
    [ "$ml_allow_dirty" = yes ] && [ -x "$ml_root/gate" ] ||
      ml_end_wait "$ml_why" "Its owner repairs it with: mirrorlatch unlock $ml_quoted --wait 1m"
    ;;
  *)
    ml_why="$ml_root cannot be read yet: the state of its gate is not known"
    return 1
    ;;
  esac
}

# ml_read_json TEXT: set ml_text to the JSON string that TEXT begins with, after the quotation mark.
ml_read_json() {
  ml_rest=$1 ml_text=''
  while :; do
    ml_part=${ml_rest%%[\"\\]*}
    ml_text=$ml_text$ml_part ml_rest=${ml_rest#"$ml_part"}
    ml_part=${ml_rest#??}
    case $ml_rest in
    \\\"*) ml_text=$ml_text\" ;;
    \\\\*) ml_text=$ml_text\\ ;;
    \\/*) ml_text=$ml_text/ ;;
    \\[bfnrt]*) ml_append "${ml_rest%"$ml_part"}" ;;
    \\u00[01][0-9a-f]*)
      ml_part=${ml_part#????}
      ml_rest=${ml_rest%"$ml_part"}
      ml_append "\\$(printf '%03o' "0x${ml_rest#??}")"
      ;;
    \\?*) ml_text=$ml_text'?' ;;
    *) break ;;
    esac
    ml_rest=$ml_part
  done
}

# ml_append ESCAPE: append the character of an escape of printf(1) to ml_text. The dot keeps a newline.
ml_append() {
  ml_text=$ml_text$(printf "$1.") ml_text=${ml_text%.}
}

# ml_is_abandoned: true if the writer that closed the gate is dead. Either `mirrorlatch wait` has found that, or the
# heartbeat of its lock is older than a writer elsewhere would accept. A writer opens the gate before it removes its
# lock, so the gate must still be as it was.
ml_is_abandoned() {
  [ "$ml_abandoned" = "$ml_gate" ] || [ ! -e "$ml_root/.mirrorlatch/sync.lock" ] ||
    [ -n "$(find "$ml_root/.mirrorlatch/sync.lock" -prune -mmin +10 2>/dev/null)" ] || return 1
  IFS= read -r ml_now 2>/dev/null <"$ml_root/.mirrorlatch/gate.json" && [ "$ml_now" = "$ml_gate" ]
}

# ml_hold: resolve the snapshot of ml_root and take its lease, waiting as long as there is nothing to read.
ml_hold() {
  ml_managed=no ml_tries=0 ml_holds_gate=no ml_abandoned=no
  [ ! -d "$ml_root/.mirrorlatch" ] || ml_managed=yes
  [ -z "$ml_channel" ] || { [ "$ml_managed" = yes ] && ml_is_channel "$ml_root/$ml_channel"; } || ml_fail_without_channel
  case $ml_outer_pin$ml_outer_id in namespace* | cwdlive) ml_holds_gate=yes ;; esac
  while :; do
    if ! ml_is_open; then
      ml_wait "$ml_why"
      continue
    fi
    if [ ! -L "$ml_root/current" ] && [ -e "$ml_root/current" ]; then
      ml_fail "$ml_root/current is not a symlink, so there is no snapshot to pin" \
        'Name a mirror, or a directory whose `current` is a symlink that is replaced.'
    fi
    if ml_resolve; then
      ml_refuse_other_than_snapshot
      [ "$ml_managed" = yes ] || return 0
      # A removal takes less than twenty tries.
      if ml_take_lease || { [ "$ml_tries" -ge 20 ] && ml_hold_open_lease; }; then
        # The writer announces that the gate closes before it waits for the holders of this lock: look once more.
        ml_is_open && return 0
        [ "$ml_is_inherited" = yes ] || ml_close "$ml_fd"
      fi
      # The writer of an in-place mirror waits for whoever stands in the tree.
      CDPATH='' cd /
    elif [ -d "$ml_way/" ] && [ ! -x "$ml_way/" ]; then
      ml_fail_for_mode
    elif [ -n "$ml_wanted" ]; then
      ml_why="$ml_root has no snapshot $ml_wanted"
      [ "$ml_wanted" != previous ] || ml_why="$ml_root has no previous snapshot"
      if [ "$ml_or_current" = no ]; then
        ml_quote "$ml_root"
        ml_fail "$ml_why" "${ml_if_gone:-Pin the current one with --or-current.}" \
          "List the snapshots with: mirrorlatch list $ml_quoted"
      fi
      ml_name='the current one'
      [ -z "$ml_channel" ] || ml_name="the one that $ml_channel names"
      ml_say "$ml_why: using $ml_name"
      ml_wanted=''
      continue
    elif [ -n "$ml_channel" ]; then
      ml_is_channel "$ml_root/$ml_channel" || ml_fail_without_channel
    elif [ "$ml_managed" = yes ] && [ ! -L "$ml_root/current" ]; then
      ml_why="$ml_root has no snapshot yet"
      for ml_entry in "$ml_root/snapshots"/*; do
        [ ! -d "$ml_entry" ] ||
          ml_why="$ml_root has snapshots, but its symlink current is missing: the next sync makes it"
      done
      [ -e "$ml_root/.mirrorlatch/mirror.json" ] ||
        ml_why="$ml_root is no mirror yet: what was to make it has not finished"
      ml_wait "$ml_why"
      continue
    fi
    # The snapshot was pruned after it was resolved, or another tool replaces `current` in two steps: look again.
    ml_tries=$((ml_tries + 1))
    [ "$ml_tries" -lt 50 ] || break
    if [ "$ml_managed" = no ] && [ "$ml_tries" -gt 5 ]; then break; fi
    ml_pause
  done
  [ -d "$ml_root/current/" ] || [ -L "$ml_root/current" ] || ml_fail_without_mirror
  ml_name=${ml_channel:-current}
  [ "$ml_managed" = no ] || [ ! -d "$ml_root/$ml_name/" ] ||
    ml_fail_for_lease
  ml_quote "$ml_root/$ml_name"
  ml_fail "$ml_root/$ml_name leads nowhere, or you may not enter its target" "Look at it with: ls -ld $ml_quoted"
}

# ml_fail_without_channel: ml_root has no channel ml_channel. Name those that it has.
ml_fail_without_channel() {
  ml_names='' ml_wanted_channel=$ml_channel
  for ml_entry in "$ml_root"/*; do
    ! ml_is_channel "$ml_entry" || ml_names="$ml_names${ml_names:+, }${ml_entry##*/}"
  done
  ml_quote "$ml_root"
  ml_fail "$ml_root has no channel $ml_wanted_channel" \
    "${ml_names:+It has $ml_names.}" "Its owner makes one with: mirrorlatch promote $ml_quoted --to $ml_wanted_channel"
}

# ml_fail_for_mode: the snapshot is there, but this user may not enter it.
ml_fail_for_mode() {
  ml_snapshot=$(readlink -f -- "$ml_way")
  ml_quote "$ml_root"
  ml_hint="Its owner opens the next one with: mirrorlatch init $ml_quoted -- '--chmod=Da+rx'"
  ml_quote "$ml_snapshot"
  [ "$ml_managed" = yes ] || ml_hint="Look at it with: ls -ld $ml_quoted"
  ml_key=$(ls -ldn -- "$ml_snapshot" | (read -r ml_key ml_rest && echo "$ml_key"))
  ml_fail "this user may not enter $ml_snapshot: it has mode $ml_key, as its source had" "$ml_hint"
}

# ml_fail_without_mirror: ml_root, which was named as ml_given, is no mirror. It may be a part of one, such as its
# current, or a directory that it serves.
ml_fail_without_mirror() {
  ml_around=$ml_root
  while [ -n "$ml_around" ] && [ ! -e "$ml_around/.mirrorlatch/mirror.json" ]; do
    ml_served=${ml_around%/*}/.${ml_around##*/}.mirrorlatch-serves
    if [ -L "$ml_served" ]; then ml_around=$(readlink "$ml_served"); else ml_around=${ml_around%/*}; fi
  done
  if [ -n "$ml_around" ] && [ -z "$ml_no_root" ]; then
    ml_option=''
    case $ml_root in
    "$ml_around/snapshots"/*)
      ml_name=${ml_root#"$ml_around/snapshots/"} ml_name=${ml_name%%/*}
      ml_quote "$ml_name"
      [ "$ml_around/snapshots/$ml_name" -ef "$ml_around/current" ] || ml_option=" --snapshot $ml_quoted"
      ;;
    esac
    ml_quote "$ml_around"
    ml_fail "there is no mirror in $ml_given" "It is a part of a mirror. Name the mirror itself: $ml_quoted$ml_option"
  fi
  ml_hint=''
  for ml_below in "$ml_root"/*/.mirrorlatch/mirror.json; do
    [ -e "$ml_below" ] || continue
    ml_quote "${ml_below%/.mirrorlatch/mirror.json}"
    ml_hint="${ml_hint:-It contains mirrors. Name one:} $ml_quoted"
  done
  ml_fail "there is no mirror in $ml_given: it has neither .mirrorlatch nor a symlink named current" \
    "${ml_no_root:-${ml_hint:-Check the path.}}"
}

# ml_fail_for_lease: the snapshot is there, but its lease cannot be taken. What is no snapshot has none.
ml_fail_for_lease() {
  if [ -L "$ml_way" ]; then
    ml_quote "$ml_way"
    case $(readlink -- "$ml_way") in
    snapshots/* | gate/live) ;;
    *) ml_fail "$ml_way is not a symlink to a snapshot of this mirror" "Look at it with: ls -ld $ml_quoted" ;;
    esac
  fi
  ! ml_is_led_elsewhere ||
    ml_fail "the lease of $ml_snapshot cannot be taken: $ml_lease is a symlink, or in one" \
      'mirrorlatch makes no symlink there. Its owner removes that, and the next sync restores the lease.'
  ml_name_holder
  [ "$ml_holder" = 'a process' ] || ml_fail "$ml_holder has kept the lease of $ml_snapshot locked for 5 seconds" \
    "End it, or read as the owner of the mirror or root. See it with: ps -fp ${ml_holder#process }"
  ml_fail "the lease of $ml_snapshot cannot be taken" \
    'You need permission to read it, and no process may hold it exclusively. If it is missing, the next sync restores it.'
}

# ml_release_on_exit: hand the leases over to a process that ends soon after this one, after its exec too. It is a child
# of nobody here, because a command may wait for all its children.
ml_release_on_exit() {
  # Nothing outlives the first process of a PID namespace, whose child it would become.
  [ $$ != 1 ] || return 0
  MIRRORLATCH_HOLDER=$(
    # Wherever a directory of a process is held, it never becomes that of another process with the same pid.
    ml_enter "/proc/$$" || exit 1
    # Ignore signals that are sent to the process group.
    trap '' HUP INT QUIT TERM USR1 USR2 ALRM TSTP TTIN TTOU
    for ml_fd in 9 8 7 6 5 4 3; do
      case " $ml_leases " in *" $ml_fd "*) ;; *) ml_close "$ml_fd" ;; esac
    done
    # A reader of a pipe must not wait for it.
    while ml_is_running; do (exec sleep 1 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-); done </dev/null >/dev/null 2>&1 &
    echo $!
  ) || ml_fail 'no process can be started that releases the snapshot' 'Omit --release-on-exit.'
  export MIRRORLATCH_HOLDER
  for ml_fd in $ml_leases; do ml_close "$ml_fd"; done
}

# ml_is_running: true until the process whose directory in /proc is the working directory has ended. Its first thread,
# whose state it has there, may end before the others.
ml_is_running() {
  ml_state=''
  while read -r ml_key ml_value ml_rest; do
    case $ml_key in
    State:) ml_state=$ml_value ;;
    Threads:)
      [ "$ml_state$ml_value" != Z1 ]
      return
      ;;
    esac
  done <status
  return 1
}

# ml_choose_pin COMMAND...: set ml_pin to namespace, with ml_owner as for ml_inside, or to cwd. Fail if there is no
# namespace, unless the caller has said that the working directory will do.
ml_choose_pin() {
  ml_owner='' ml_obstacle=''
  [ "$ml_pin" = cwd ] || ml_look_for_namespace "$@"
  if [ "$ml_pin" != cwd ] && [ -z "$ml_obstacle" ]; then
    ml_pin=namespace
    return
  fi
  # An argument can name the snapshot of the first mirror only.
  ml_is_named=$ml_snapshot_used
  if [ "$ml_pin" = auto ] && [ "$ml_count" -gt 1 ]; then ml_is_named=no; fi
  case $ml_pin$ml_is_named${MIRRORLATCH_FALLBACK-} in namespace* | autono) ml_fail_without_namespace "$@" ;; esac
  # With {snapshot} the arguments are pinned, wherever the command starts.
  if [ "$ml_chdir$ml_is_named" = nono ]; then
    ml_say "$1 starts in $ml_snapshot_1, not in $ml_pwd: $ml_obstacle"
    ml_chdir=yes
  fi
  ml_pin=cwd
}

# ml_look_for_namespace COMMAND...: set ml_owner; if there is no namespace for COMMAND, ml_obstacle is the reason.
ml_look_for_namespace() {
  ml_read_credentials
  if [ "$ml_is_admin" = no ]; then
    ml_owner=$ml_uid:$ml_gid
    [ "$ml_uid" != 0 ] || ml_owner=all
  fi
  for ml_tool in unshare mount awk; do
    ml_look_up "$ml_tool" "$PATH"
    if [ -z "$ml_file" ]; then
      ml_obstacle="$ml_tool is not installed"
      return
    fi
  done
  ml_look_for_program "$@"
  if [ "$ml_pin" = auto ] && [ -f "$ml_file" ] && { [ -u "$ml_file" ] || [ -g "$ml_file" ]; }; then
    case $ml_owner in
    *:*)
      ml_obstacle="$ml_program is setuid or setgid, which has no effect in the namespace of an ordinary user"
      return
      ;;
    esac
  fi
  # A namespace in which one may not mount is of no use, as on Ubuntu with AppArmor.
  { [ "$ml_owner" != all ] || ml_make_user_namespace; } &&
    ml_try_namespace 2>/dev/null || ml_obstacle='this user may not make a mount namespace here'
}

# ml_look_for_program COMMAND...: set ml_program to what a command runs behind words such as `nice -n 5`, and ml_file to
# its file.
ml_look_for_program() {
  for ml_program; do
    case ${ml_program##*/} in
    -* | [0-9]* | *=* | env | nice | ionice | nohup | setsid | stdbuf | time | timeout | chronic | unbuffer) ;;
    *) break ;;
    esac
  done
  case $ml_program in
  /*) ml_look_up "$ml_program" "$PATH" ;;
  */*) ml_look_up "$ml_base/$ml_program" "$PATH" ;;
  *) ml_look_up "$ml_program" "$PATH" ;;
  esac
}

# ml_try_namespace: true if the namespaces of ml_inside can be made, the one of an ordinary user within another too.
ml_try_namespace() {
  ml_look_up unshare "$PATH"
  set -- "$ml_file"
  case $ml_owner in *:*) set -- "$@" --user --map-user="${ml_owner%:*}" --map-group="${ml_owner#*:}" ;; esac
  # AppArmor may let unshare(1) mount, but not the program that it starts. A second unshare(1) is one that mounts, too.
  set -- "$@" --mount --propagation slave --
  # To execute a directory fails with 126, and takes no time. Not every unshare(1) has a code of its own for that.
  ml_in_namespace command "$@" /
  [ $? = 126 ] || ml_in_namespace command "$@" true
}

# ml_in_namespace HOW COMMAND...: run COMMAND, given by its path, in a new mount namespace. HOW is `command`, or
# `ml_exec` to replace this shell.
ml_in_namespace() {
  ml_how=$1
  shift
  ml_look_up unshare "$PATH"
  case $ml_owner in *:*) set -- --user --map-root-user -- "$@" ;; esac
  set -- "$ml_file" --mount --propagation slave "$@"
  if [ "$ml_owner" = all ]; then
    ml_look_up nsenter "$PATH"
    set -- "$ml_file" "--user=/proc/self/fd/$ml_ns" --preserve-credentials "$@"
  fi
  "$ml_how" "$@"
}

# ml_make_user_namespace: make a user namespace in which every id means what it means here, and open it as descriptor
# ml_ns. Root without CAP_SYS_ADMIN needs one, and its commands change to other users. Needs nsenter and setpriv.
ml_make_user_namespace() {
  command -v nsenter >/dev/null && command -v setpriv >/dev/null || return 1
  # Before the process below, which would hold the leases if this failed.
  ml_free_descriptor
  ml_ns=$ml_fd
  unshare --user sleep 60 >/dev/null 2>&1 &
  ml_child=$!
  while [ "/proc/$ml_child/ns/user" -ef /proc/self/ns/user ]; do ml_pause; done
  { ml_map_ids uid && ml_map_ids gid; } 2>/dev/null && ml_open_at "$ml_ns" "/proc/$ml_child/ns/user"
  ml_status=$?
  {
    kill -KILL "$ml_child"
    wait "$ml_child"
  } 2>/dev/null
  return "$ml_status"
}

# ml_map_ids uid|gid: map every id of this user namespace to itself in that of ml_child. The kernel takes the whole map
# in one write, see user_namespaces(7).
ml_map_ids() {
  ml_map=''
  while read -r ml_first ml_parent ml_length; do
    ml_map="$ml_map$ml_first $ml_first $ml_length
"
  done <"/proc/self/$1_map"
  printf %s "$ml_map" >"/proc/$ml_child/$1_map"
}

# ml_fail_without_namespace COMMAND...: fail, with the ways out.
ml_fail_without_namespace() {
  ml_as_root='' ml_without_bits=''
  case $ml_obstacle in
  *setgid*)
    ml_quote_guard '--pin namespace' "$@"
    ml_without_bits="Run it without those privileges: $ml_quoted"
    ;;
  esac
  ml_quote_guard '--pin cwd' "$@"
  ml_relative="Pin the working directory, if it reads relative paths or {snapshot}: $ml_quoted"
  if [ "$ml_uid" != 0 ] && command -v sudo >/dev/null; then
    ml_quote_guard '' "$@"
    case ${1##*/}/${2--} in
    sudo/-* | sudo/[!/]*=*) ml_as_root='Let root make the namespace: put the guard behind sudo and its options' ;;
    sudo/*)
      shift
      ml_quote_guard '' "$@"
      ml_as_root="Let root make the namespace: sudo $ml_quoted"
      ;;
    *) ml_as_root="Let root make the namespace: sudo $ml_quoted" ;;
    esac
  fi
  ml_fallback=
  if [ "$ml_pin" = auto ]; then
    ml_fallback='If the working directory will do for all commands here: export MIRRORLATCH_FALLBACK=cwd'
  fi
  ml_quote "$ml_root_1"
  ml_fail "$ml_root_1 cannot be pinned: $ml_obstacle" "$ml_as_root" "$ml_without_bits" "$ml_relative" \
    "In a container, mount one snapshot, not the mirror; outside, this prints its path: mirrorlatch current $ml_quoted" \
    "$ml_fallback" \
    'See: mirrorlatch help containers'
}

# ml_warn_of_paths COMMAND...: warn of arguments that lead through `current`, which a pinned working directory does
# not protect.
ml_warn_of_paths() {
  for ml_argument; do
    ml_i=1
    while [ "$ml_i" -le "$ml_count" ]; do
      eval "ml_root=\$ml_root_$ml_i ml_channel=\$ml_channel_$ml_i"
      case $ml_argument in
      *"$ml_root/current"* | *"$ml_root/${ml_channel:-current}"*)
        ml_say "$ml_argument leads through $ml_root/${ml_channel:-current}, which may change: only the working directory is pinned" \
          'Write {snapshot} instead, or use --pin namespace if that is permitted.'
        ;;
      esac
      ml_i=$((ml_i + 1))
    done
  done
}

# ml_warn_of_sudo: tell somebody at a terminal what will not work in the shell.
ml_warn_of_sudo() {
  case $ml_pin$ml_owner in namespace*:*) ;; *) return 0 ;; esac
  [ -t 2 ] || return 0
  ml_quote "$ml_root_1"
  ml_say 'in this shell, sudo and other setuid programs have no effect' \
    "For a shell of root, leave it and type: sudo mirrorlatch run $ml_quoted"
}

# ml_refuse_served COMMAND...: fail if the command would read the directory that `init --serve-at` named, which no pin
# holds: a mount on it would move away with the old directory when a publication exchanges the two.
ml_refuse_served() {
  ml_i=1
  while [ "$ml_i" -le "$ml_count" ]; do
    eval "ml_root=\$ml_root_$ml_i"
    ml_read_served "$ml_root/.mirrorlatch/mirror.json"
    ml_quote "$ml_root/current"
    if [ -n "$ml_served" ] && ml_leads_to_served "$ml_base" "$@"; then
      ! ml_leads_to_served "$ml_base" ||
        ml_fail "the working directory is in $ml_served, which cannot be pinned: each publication replaces it" \
          "Start in another directory, such as: $ml_quoted"
      for ml_argument; do
        ! ml_leads_to_served "$ml_argument" ||
          ml_fail "$ml_argument leads through $ml_served, which cannot be pinned: each publication replaces it" \
            "Write instead of $ml_served: $ml_quoted"
      done
    fi
    ml_i=$((ml_i + 1))
  done
}

# ml_leads_to_served WORD...: true if a word is a path, from ml_base on, into the directory ml_served, or contains one as
# text.
ml_leads_to_served() {
  for ml_word; do
    case $ml_word in
    *//*"${ml_served##*/}"* | */./*"${ml_served##*/}"*)
      ml_word=$(printf %s "$ml_word" | sed 's,/\(\./\|/\)*,/,g')
      ;;
    esac
    # An option of one letter may precede it.
    case " $ml_word " in
    *[!A-Za-z0-9._+@%~/-]"$ml_served"[!A-Za-z0-9._+@%~-]*) return 0 ;;
    *[!A-Za-z0-9._+@%~/-]-[A-Za-z]"$ml_served"[!A-Za-z0-9._+@%~-]*) return 0 ;;
    esac
  done
  # It may be behind a symlink. What this process cannot reach, the command cannot either.
  ml_served_path=$(realpath -- "$ml_served" 2>/dev/null) || return 1
  ml_paths=$(CDPATH='' cd -- "$ml_base" 2>/dev/null && realpath -- "$@" 2>/dev/null)
  case $ml_newline$ml_paths$ml_newline in *"$ml_newline$ml_served_path"["$ml_newline"/]*) return 0 ;; esac
  return 1
}

# ml_read_served FILE: set ml_served to the served directory by the settings in FILE, or to nothing.
ml_read_served() {
  ml_served=''
  [ -f "$1" ] && [ -r "$1" ] || return 0
  while read -r ml_line; do
    case $ml_line in
    '"serveAt": "'*)
      ml_read_json "${ml_line#'"serveAt": "'}"
      ml_served=$ml_text
      return
      ;;
    esac
  done <"$1"
}

# ml_pin_mirrors: resolve and hold a snapshot of each of the ml_count mirrors.
ml_pin_mirrors() {
  ml_n=1 ml_leases='' ml_all_inside=yes
  while [ "$ml_n" -le "$ml_count" ]; do
    eval "ml_given=\$ml_root_$ml_n"
    case $ml_given in
    /*) ;;
    *)
      { [ -n "$ml_pwd" ] && CDPATH='' cd -- "$ml_pwd" 2>/dev/null; } ||
        ml_fail "there is no mirror in $ml_given: the working directory is gone" 'Name the mirror by its absolute path.'
      ;;
    esac
    ml_enter "$ml_given" ||
      ml_fail "there is no mirror in $ml_given, or you may not enter it" \
        'Check the path. A mirror has .mirrorlatch or a symlink named current.'
    if ml_pin_mirror "$ml_n"; then ml_n=$((ml_n + 1)); else ml_n=1 ml_leases='' ml_all_inside=yes; fi
  done
}

# ml_pin_mirror N: resolve and hold a snapshot of the Nth mirror, whose ROOT is the working directory. False if that had
# to wait: then no mirror is held, and all have to be pinned anew.
ml_pin_mirror() {
  ml_root=$PWD ml_fd=''
  ! ml_is_pinned "$ml_root" $(($1 - 1)) || ml_fail "the mirror $ml_root is named twice" 'Name each mirror once.'
  eval "ml_wanted=\$ml_wanted_$1 ml_channel=\$ml_channel_$1 ml_remember=\$ml_remember_$1"
  case $ml_wanted in
  */*)
    ml_name_snapshot
    eval "ml_wanted_$1=\$ml_wanted"
    ;;
  esac
  ml_find_outer "$ml_root"
  ml_asked=$ml_wanted ml_asked_channel=$ml_channel
  case $ml_outer_pin in
  namespace) ml_wanted='' ml_channel='' ;;
  cwd) ml_wanted=$ml_outer_id ml_channel='' ml_all_inside=no ;;
  none) ml_asked='' ml_asked_channel='' ml_all_inside=no ;;
  esac
  ml_hold
  [ -z "$ml_asked_channel" ] || { ml_is_channel "$ml_root/$ml_asked_channel" && [ "${ml_link##*/}" = "$ml_id" ]; } ||
    ml_say "$ml_root stays pinned to $ml_id by the pin around this command: the channel $ml_asked_channel is ignored"
  [ -z "$ml_asked" ] || [ "$ml_asked" = "$ml_id" ] ||
    ml_say "$ml_root stays pinned to $ml_id by the pin around this command: $ml_asked is ignored"
  if [ -n "$ml_fd" ]; then
    ml_leases="$ml_leases $ml_fd"
    [ "$ml_is_inherited" = yes ] || ml_taken="$ml_taken $ml_fd"
  fi
  eval "ml_root_$1=\$ml_root ml_snapshot_$1=\$ml_snapshot ml_id_$1=\$ml_id"
  if [ "$ml_start_over" = yes ]; then
    ml_start_over=no
    ml_give_back
    return 1
  fi
  [ -z "$ml_remember" ] || ml_refuse_strange_directory "$ml_remember"
}

# ml_name_snapshot: set ml_wanted to the id at the end of the path that it is, as a shell completes it, from ml_pwd or from
# ROOT, which is the working directory. Fail if it is no path of a snapshot of ROOT.
ml_name_snapshot() {
  ml_typed=$ml_wanted
  while :; do case $ml_wanted in */) ml_wanted=${ml_wanted%/} ;; *) break ;; esac; done
  case $ml_wanted in
  */*)
    ml_way=${ml_wanted%/*}/ ml_wanted=${ml_wanted##*/}
    case $ml_wanted in current | previous) ml_place=. ;; *) ml_place=./current/.. ;; esac
    case $ml_way in
    /*) [ "$ml_way" -ef "$ml_place" ] ;;
    *) [ "./$ml_way" -ef "$ml_place" ] || [ "$ml_pwd/$ml_way" -ef "$ml_place" ] ;;
    esac || ml_wanted=''
    ;;
  esac
  ml_quote "$ml_root"
  [ -n "$ml_wanted" ] ||
    ml_fail "'$ml_typed' is not a snapshot of $ml_root" "List the snapshots with: mirrorlatch list $ml_quoted"
  [ "$ml_wanted" != current ] || ml_wanted=''
}

# ml_refuse_strange_directory FILE: fail if another user owns the directory of FILE and so could lead it elsewhere, or,
# for root, a directory above that or a symlink on the way.
ml_refuse_strange_directory() {
  ml_read_credentials
  ml_file=$1 ml_entry=${1%/*}
  set -- "$ml_entry/"
  while [ "$ml_uid" = 0 ] && [ -n "$ml_entry" ]; do
    set -- "$ml_entry" "$@"
    ml_entry=${ml_entry%/*}
  done
  ml_entries=$(ls -ldn -- "$@" 2>/dev/null) ||
    ml_fail "the snapshot cannot be remembered in $ml_file: its directory is missing"
  while [ -n "$ml_entries" ]; do
    printf '%s\n' "${ml_entries%%"$ml_newline"*}" | ml_is_owned_by "$ml_uid" ||
      ml_fail "the snapshot cannot be remembered in $ml_file: its directory, or one above, belongs to another user"
    case $ml_entries in *"$ml_newline"*) ml_entries=${ml_entries#*"$ml_newline"} ;; *) break ;; esac
  done
}

# ml_is_pinned ROOT COUNT: true if the mirror ROOT is among the first COUNT of this run.
ml_is_pinned() {
  ml_i=1
  while [ "$ml_i" -le "$2" ]; do
    eval "[ \"\$ml_root_$ml_i\" != \"\$1\" ]" || return 0
    ml_i=$((ml_i + 1))
  done
  return 1
}

# ml_fill ARGUMENT: set ml_filled to it, with the path of the first mirror's snapshot for each {snapshot}.
ml_fill() {
  ml_rest=$1 ml_filled=''
  while :; do
    case $ml_rest in
    *'{snapshot}'*)
      ml_filled=$ml_filled${ml_rest%%'{snapshot}'*}$ml_snapshot_1
      ml_rest=${ml_rest#*'{snapshot}'}
      ;;
    *) break ;;
    esac
  done
  ml_filled=$ml_filled$ml_rest
}

# ml_announce_pins: export to the command what is pinned and how, and report it with --verbose.
ml_announce_pins() {
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
  unset MIRRORLATCH_HOLDER
  # What a pin that has ended left of further mirrors.
  while ml_read_outer "$ml_i"; do
    for ml_name in ROOT SNAPSHOT ID PIN; do unset "MIRRORLATCH_$ml_name$ml_suffix"; done
    ml_i=$((ml_i + 1))
  done
}

ml_read_lost $$

ml_no_root='' ml_count=1 ml_root_1='' ml_channel_1='' ml_wanted_1='' ml_remember_1=''
ml_waiter='' ml_if_gone='' ml_is_shell=no ml_is_watch=no ml_or_current=no ml_allow_dirty=no ml_release=no ml_verbose=no
ml_pin=auto ml_chdir=yes ml_patience='' ml_waited=0 ml_gone=0 ml_flags=''
while [ $# -gt 0 ]; do
  case $1 in
  --waiter=* | --if-gone=* | --root=* | --channel=* | --snapshot=* | --pin=* | --chdir=* | --wait=* | --remember=* | --typed=*)
    ml_option=${1%%=*} ml_value=${1#*=}
    shift
    set -- "$ml_option" "$ml_value" "$@"
    ;;
  --waiter | --if-gone | --root | --channel | --snapshot | --pin | --chdir | --wait | --remember | --typed)
    [ $# -gt 1 ] || ml_fail "$1 needs a value" 'See: reader --help'
    ;;
  esac
  case $1 in
  --root)
    [ -n "$2" ] || ml_fail '--root needs a directory'
    [ -z "$ml_root_1" ] || ml_count=$((ml_count + 1))
    eval "ml_root_$ml_count=\$2"
    [ "$ml_count" = 1 ] || eval "ml_channel_$ml_count='' ml_wanted_$ml_count='' ml_remember_$ml_count=''"
    shift
    ;;
  --channel)
    case $2 in
    [!a-z0-9]* | *[!a-z0-9._-]* | '') ml_fail "'$2' is not the name of a channel" 'mirrorlatch status names the channels of a mirror.' ;;
    esac
    [ "$2" = current ] || eval "ml_channel_$ml_count=\$2"
    shift
    ;;
  --snapshot)
    case $2 in
    '' | . | .. | */. | */..) ml_fail "'$2' is not a snapshot id" 'mirrorlatch list prints the ids of a mirror.' ;;
    esac
    [ "$2" = current ] || eval "ml_wanted_$ml_count=\$2"
    shift
    ;;
  --pin)
    case $2 in auto | namespace | cwd) ml_pin=$2 ;; *) ml_fail "--pin takes auto, namespace or cwd, not '$2'" ;; esac
    shift
    ;;
  --chdir)
    case $2 in yes | no) ml_chdir=$2 ;; *) ml_fail "--chdir takes yes or no, not '$2'" ;; esac
    shift
    ;;
  --wait)
    case $2 in *m) ml_unit=60 ;; *h) ml_unit=3600 ;; *d) ml_unit=86400 ;; *) ml_unit=1 ;; esac
    ml_patience=${2%[smhd]}
    # A leading zero would make the number octal.
    case $ml_patience in
    '' | 0?* | *[!0-9]* | ?????????*) ml_fail "--wait takes a duration such as 90s or 10m, not '$2'" ;;
    esac
    ml_patience=$((ml_patience * ml_unit)) ml_flags="$ml_flags${ml_flags:+ }--wait $2"
    shift
    ;;
  --remember)
    case $2 in
    /*) eval "ml_remember_$ml_count=\$2" ;;
    *) eval "ml_remember_$ml_count=\$PWD/\$2" ;;
    esac
    shift
    ;;
  --waiter)
    # The path of mirrorlatch, given by `mirrorlatch run`: it notices a change at once instead of polling.
    ml_waiter=$2
    shift
    ;;
  --if-gone)
    # The advice of `mirrorlatch run` for the case that the snapshot is gone.
    ml_if_gone=$2
    shift
    ;;
  --typed)
    # The options that `mirrorlatch run` or `watch` was given, as a shell reads them: hints repeat them, not those here.
    ml_flags=$2
    shift
    ;;
  --shell)
    # The command is the shell that `mirrorlatch run` opens.
    ml_is_shell=yes
    ;;
  --watch)
    # The command is one that `mirrorlatch watch` runs.
    ml_is_watch=yes
    ;;
  --or-current) ml_or_current=yes ml_flags="$ml_flags${ml_flags:+ }$1" ;;
  --allow-dirty) ml_allow_dirty=yes ml_flags="$ml_flags${ml_flags:+ }$1" ;;
  --release-on-exit) ml_release=yes ml_flags="$ml_flags${ml_flags:+ }$1" ;;
  --verbose) ml_verbose=yes ml_flags="$ml_flags${ml_flags:+ }$1" ;;
  --help)
    ml_usage
    exit 0
    ;;
  --)
    shift
    break
    ;;
  -*) ml_fail "unknown option $1" 'See: reader --help' ;;
  *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || ml_fail 'no command was given' 'Put one after the options, for example: reader -- apt-get update'
ml_snapshot_used=no
for ml_argument; do
  case $ml_argument in
  *'{snapshot}'*)
    ml_snapshot_used=yes
    break
    ;;
  esac
done
[ "$ml_pin$ml_chdir$ml_snapshot_used" != cwdnono ] ||
  ml_fail 'with --pin cwd and --chdir no nothing would be pinned' \
    'Leave one of them out, or write {snapshot} for the path of the snapshot.'
case ${MIRRORLATCH_FALLBACK-} in
'' | cwd) ;;
*) ml_fail "MIRRORLATCH_FALLBACK is '$MIRRORLATCH_FALLBACK', and can only be cwd" 'Set it to cwd, or unset it.' ;;
esac
# A relative element of PATH counts from the caller's working directory, which the command will not start in.
if [ "$ml_is_relative" = yes ]; then
  ml_look_up "$1" "$ml_path"
  if [ -n "$ml_file" ]; then
    shift
    set -- "$ml_file" "$@"
  fi
fi

# Keeps the script reachable from any directory and mount namespace, even if it is replaced meanwhile.
ml_free_descriptor
ml_script=$ml_fd
ml_open_at "$ml_script" "$0" || ml_fail "$0 cannot be read"
ml_pwd=$PWD
# A directory that was deleted, or over which something was mounted, has no path.
[ "$ml_pwd" -ef . ] || ml_pwd=''
[ "$ml_chdir$ml_pwd" != no ] ||
  ml_fail 'the working directory was deleted, or something was mounted over it' \
    "Go to another directory. $ml_where"
if [ -z "$ml_root_1" ]; then
  ml_self=$0
  # The dot keeps the newlines at the end of a name.
  while [ -L "$ml_self" ]; do ml_self=$(readlink -f -- "$ml_self" && printf .) && ml_self=${ml_self%??}; done
  case $ml_self in */*) ml_root_1=${ml_self%/*}/.. ;; *) ml_root_1=.. ;; esac
  ml_no_root='This is a copy of a mirror'\''s reader, which cannot know the mirror: name it with --root ROOT.'
fi

ml_taken='' ml_start_over=no ml_ns='' ml_given_count=$ml_count
ml_pin_mirrors
# Also hold the other mirrors of the pin around this one, or a third pin inside would not know of them.
ml_n=1
while ml_read_outer "$ml_n"; do
  ml_other=$ml_outer_root
  if ! ml_is_pinned "$ml_other" "$ml_count" && ml_find_outer "$ml_other" && [ "$ml_outer_pin" != none ] && ml_enter "$ml_other"; then
    ml_count=$((ml_count + 1))
    eval "ml_root_$ml_count=\$ml_other ml_channel_$ml_count='' ml_wanted_$ml_count='' ml_remember_$ml_count=''"
    ml_outer_n=$ml_n
    ml_pin_mirror "$ml_count" || ml_pin_mirrors
    ml_n=$ml_outer_n
  fi
  ml_n=$((ml_n + 1))
done

ml_base=$ml_snapshot_1
[ "$ml_chdir" = yes ] || ml_base=$ml_pwd
if [ "$ml_all_inside" = yes ]; then ml_pin=namespace ml_owner=''; else ml_choose_pin "$@"; fi

if [ "$ml_snapshot_used" = yes ]; then
  # One `set` with all arguments: to rotate them would copy all of them for each.
  ml_i=0 ml_words='' ml_part=''
  for ml_argument; do
    ml_i=$((ml_i + 1))
    case $ml_argument in
    *'{snapshot}'*)
      ml_fill "$ml_argument"
      eval "ml_argument_$ml_i=\$ml_filled"
      ml_part="$ml_part \"\$ml_argument_$ml_i\""
      ;;
    *) ml_part="$ml_part \"\${$ml_i}\"" ;;
    esac
    # A long text is slow to append to.
    case $ml_i in *00) ml_words=$ml_words$ml_part ml_part='' ;; esac
  done
  eval "set -- $ml_words$ml_part"
fi

ml_announce_pins
ml_refuse_served "$@"
[ "$ml_is_shell" = no ] || ml_warn_of_sudo
[ "$ml_pin" = namespace ] || ml_warn_of_paths "$@"
[ "$ml_release" = no ] || ml_release_on_exit

if [ "$ml_pin" = cwd ] || [ "$ml_all_inside" = yes ]; then
  ml_close "$ml_script"
  ml_start_in "$ml_snapshot_1"
  ml_find "$1"
  ml_remember_ids
  ml_exec "$@"
fi
ml_i=$ml_count
while [ "$ml_i" -gt 0 ]; do
  eval "set -- \"\$ml_root_$ml_i\" \"\$ml_snapshot_$ml_i\" \"\$ml_channel_$ml_i\" \"\$ml_remember_$ml_i\" \"\$@\""
  ml_i=$((ml_i - 1))
done
# The next shell starts with the libraries that the caller's variables name, so not in the mirror.
CDPATH='' cd /
ml_look_up sh "$PATH"
ml_in_namespace ml_exec "$ml_file" "/proc/self/fd/$ml_script" --inside "${ml_lost:+lost}" "$ml_script" "$ml_ns" "$ml_owner" "$ml_chdir" "$ml_pwd" \
  "$ml_count" "$@"
