import { MirrorlatchError } from '../errors.ts';
import { SHIM_MARK, SHIM_SHELL } from '../system/own-program.ts';
import { quoteForSh } from '../system/quote.ts';
import type { Guard } from './guard.ts';

/** What a shim does if its mirror is unavailable: fail, or run the command unguarded. */
export const IF_UNAVAILABLE = ['fail', 'run'] as const;
export type IfUnavailable = (typeof IF_UNAVAILABLE)[number];

/**
 * The text of a shim: a POSIX sh script that finds the command of this name in PATH and runs it
 * under the guard. It works in subshells and positional parameters only, because assigning to a
 * variable could change the environment of the command. Pure.
 *
 * @param reader a reader, which reads from /proc what sh does not pass on of the environment.
 *
 * The search starts after the shim's own directory in PATH and wraps around. Otherwise a wrapper
 * earlier in PATH that calls the shim would be called back by it.
 */
export function shimText(
  name: string,
  guard: Guard,
  ifUnavailable: IfUnavailable,
  reader: string,
): string {
  const command = quoteForSh(name);
  return `${SHIM_SHELL}
${SHIM_MARK}

# bash takes functions from the environment, also as sh. The command gets them back.
unset -f [ command printf read

# start COMMAND...: become COMMAND, with what sh does not pass on, such as a variable a.b. For env(1), a path with = in it
# is a variable.
start() {
  case $1 in *=*) exec "$@" ;; esac
  eval "exec /usr/bin/env --$(/bin/sh ${quoteForSh(reader)} --print-lost $$ 2>/dev/null) \\"\\$@\\""
}

is_shim() {
  { IFS= read -r line && [ "$line" = ${quoteForSh(SHIM_SHELL)} ] && IFS= read -r line && [ "$line" = ${quoteForSh(SHIM_MARK)} ]; } <"$1"
} 2>/dev/null

# find_command OWN-DIRECTORY: print the path of the command that PATH leads to, ignoring shims.
find_command() {
  LC_ALL=C rest=$PATH: before= found= passed=
  while [ -n "$rest" ]; do
    directory=\${rest%%:*} rest=\${rest#*:}
    case $directory in /*) ;; *) directory=$PWD/$directory ;; esac
    file=$directory/${command}
    if [ "$directory" -ef "$1" ]; then
      [ -n "$passed" ] || before=$found found=
      passed=yes
    elif [ -z "$found" ] && [ -f "$file" ] && [ -x "$file" ] && ! is_shim "$file"; then
      found=$file
    fi
  done
  printf '%s\\n' "\${found:-$before}"
}

# unavailable WHAT WAY-OUT COMMAND...
unavailable() {
${ifUnavailable === 'run' ? RUN_UNGUARDED : failUnguarded(command)}
}

set -- "$(find_command "\${0%/*}")" "$@"
if [ -z "$1" ]; then
  printf 'mirrorlatch: %s: command not found, ignoring shims\\n' ${command} >&2
  exit 127
fi
${[
  frontIsThere(guard),
  ...guard.roots.map(mirrorIsThere),
  ...(ifUnavailable === 'run' ? guard.urls.map((url) => urlIsThere(guard.front, url)) : []),
].join('\n')}
start ${guard.words.map(quoteForSh).join(' ')} "$@"
`;
}

const RUN_UNGUARDED = `  printf 'mirrorlatch: %s: %s runs unguarded\\n' "$1" "$3" >&2
  shift 2
  start "$@"`;

const failUnguarded = (command: string) => `  printf 'mirrorlatch: %s: %s\\n' ${command} "$1" >&2
  printf '  %s, or run the command unguarded: %s\\n' "$2" "$3" >&2
  exit 125`;

function frontIsThere({ front, start }: Guard): string {
  const file = quoteForSh(front);
  if (!front.includes('/')) {
    const way = `Add the directory of ${front} to PATH`;
    return `command -v ${file} >/dev/null 2>&1 || ${unavailable(`${front} is not in PATH`, way)}`;
  }
  const [test, used] = start === 'by sh' ? ['-r', 'read'] : ['-x', 'executed'];
  return `[ ${test} ${file} ] || ${unavailable(`${front} cannot be ${used}`, IS_MOUNTED)}`;
}

/** A mirror of mirrorlatch has its state directory; another tool's tree has the symlink. */
function mirrorIsThere(root: string): string {
  const [state, current] = [quoteForSh(`${root}/.mirrorlatch`), quoteForSh(`${root}/current`)];
  return `[ -e ${state} ] || [ -L ${current} ] || ${unavailable(`there is no mirror in ${root}`, IS_MOUNTED)}`;
}

/** Otherwise, the guard itself fails when the mirror cannot be reached. */
function urlIsThere(front: string, url: string): string {
  const pin = [front, 'run', '--http', url, '--no-wait', '--allow-unseen', '--', '/bin/true'];
  const way = 'Check that its server runs';
  return `${pin.map(quoteForSh).join(' ')} </dev/null >/dev/null 2>&1 || ${unavailable(`${url} cannot be pinned`, way)}`;
}

const IS_MOUNTED = 'Check that the mirror is mounted';

function unavailable(what: string, wayOut: string): string {
  return `unavailable ${quoteForSh(what)} ${quoteForSh(wayOut)} "$@"`;
}

/** @throws MirrorlatchError USAGE if `name` cannot be the name of a shim. */
export function checkShimName(name: string): void {
  // Node decodes names as UTF-8 and replaces invalid bytes with U+FFFD.
  if (!/^[^-/\p{Cc}\uFFFD][^/\p{Cc}\uFFFD]*$/u.test(name) || name === '.' || name === '..') {
    throw new MirrorlatchError('USAGE', `${JSON.stringify(name)} cannot be the name of a shim`, {
      hint: 'Name commands without their directories, for example: apt-get apt',
    });
  }
  if (Buffer.byteLength(name) > 200) {
    throw new MirrorlatchError('USAGE', `the name ${name.slice(0, 40)}… is too long for a shim`);
  }
}

/**
 * @throws MirrorlatchError USAGE if the guard itself runs the program `name`, or the rsync of a sync does. That starts
 *   ssh by PATH: a shim of it would wait for the gate that this sync has closed.
 */
export function refuseNeeded(name: string): void {
  const runner = NEEDED_BY_THE_GUARD.has(name)
    ? 'the guard'
    : name === 'ssh'
      ? 'a sync'
      : undefined;
  if (runner === undefined) return;
  throw new MirrorlatchError('USAGE', `${name} cannot be guarded: ${runner} itself runs it`, {
    hint: 'Name the commands that read the mirror, for example: apt-get apt',
  });
}

/**
 * The programs that the shell scripts of a guard run, of those that their `unset -f` names, and sudo, by
 * which its hints become root. A shim of one would call itself for ever.
 */
const NEEDED_BY_THE_GUARD = new Set(
  `awk cat cp env find flock grep ln ls mirrorlatch mount mv node nsenter readlink realpath rm rmdir sed
   setpriv sh sleep sudo tr true unshare`.split(/\s+/),
);
