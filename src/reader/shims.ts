import { MirrorlatchError } from '../errors.ts';
import type { Guard } from './guard.ts';
import { quoteForSh } from './quote.ts';

/** What a shim does where its mirror is not there: fail, or run the command unguarded. */
export const IF_UNAVAILABLE = ['fail', 'run'] as const;
export type IfUnavailable = (typeof IF_UNAVAILABLE)[number];

const FIRST_LINE = '#!/bin/sh';
/** The second line of every shim, by which we and the shims know them. */
const MARKER = '# A shim of mirrorlatch: `mirrorlatch shims` writes and removes it.';

/** True for what `shimText` made, of which the beginning will do. */
export function isShim(text: string): boolean {
  return text.startsWith(`${FIRST_LINE}\n${MARKER}\n`);
}

/** How much of a file `isShim` wants to see; bytes. */
export const SHIM_HEAD = Buffer.byteLength(`${FIRST_LINE}\n${MARKER}\n`);

/**
 * An executable that runs the command of this name under the guard: a POSIX sh script that looks for
 * the command when it runs. It changes no variable of the environment, for that would be the
 * command's: everything is in a subshell or in the positional parameters. Pure.
 *
 * The search begins behind the shim's own directory in PATH and goes on at its beginning, so that a
 * wrapper in front of the shim which calls it does not get itself back.
 */
export function shimText(name: string, guard: Guard, ifUnavailable: IfUnavailable): string {
  const command = quoteForSh(name);
  return `${FIRST_LINE}
${MARKER}

is_shim() {
  { IFS= read -r line && [ "$line" = ${quoteForSh(FIRST_LINE)} ] && IFS= read -r line && [ "$line" = ${quoteForSh(MARKER)} ]; } <"$1"
} 2>/dev/null

# find_command OWN-DIRECTORY: print the path of the command that PATH leads to, apart from shims.
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

# unavailable WHAT COMMAND...
unavailable() {
${ifUnavailable === 'run' ? RUN_UNGUARDED : failUnguarded(command)}
}

set -- "$(find_command "\${0%/*}")" "$@"
if [ -z "$1" ]; then
  printf 'mirrorlatch: %s: command not found, apart from shims\\n' ${command} >&2
  exit 127
fi
${[frontIsThere(guard), ...guard.roots.map(mirrorIsThere)].join('\n')}
exec ${guard.words.map(quoteForSh).join(' ')} "$@"
`;
}

const RUN_UNGUARDED = `  printf 'mirrorlatch: %s: %s runs unguarded\\n' "$1" "$2" >&2
  shift
  exec "$@"`;

const failUnguarded = (command: string) => `  printf 'mirrorlatch: %s: %s\\n' ${command} "$1" >&2
  printf '  Is the mirror mounted? Unguarded it is: %s\\n' "$2" >&2
  exit 125`;

function frontIsThere({ front, start }: Guard): string {
  const file = quoteForSh(front);
  if (!front.includes('/')) {
    return `command -v ${file} >/dev/null 2>&1 || unavailable ${quoteForSh(`${front} is not in PATH`)} "$@"`;
  }
  const test = start === 'by sh' ? '-r' : '-x';
  return `[ ${test} ${file} ] || unavailable ${quoteForSh(`${front} is not there`)} "$@"`;
}

/** Of ours by its state, of others by the symlink: see `run` on foreign trees. */
function mirrorIsThere(root: string): string {
  const [state, current] = [quoteForSh(`${root}/.mirrorlatch`), quoteForSh(`${root}/current`)];
  return `[ -e ${state} ] || [ -L ${current} ] || unavailable ${quoteForSh(`there is no mirror in ${root}`)} "$@"`;
}

/** @throws MirrorlatchError USAGE for what cannot be the name of a shim. */
export function checkShimName(name: string): void {
  // U+FFFD is what Node makes of bytes that are no UTF-8.
  if (!/^[^-/\p{Cc}\uFFFD][^/\p{Cc}\uFFFD]*$/u.test(name) || name === '.' || name === '..') {
    throw new MirrorlatchError('USAGE', `${JSON.stringify(name)} cannot be the name of a shim`, {
      hint: 'Name commands without their directories, such as: apt-get apt',
    });
  }
  if (Buffer.byteLength(name) > 200) {
    throw new MirrorlatchError('USAGE', `the name ${name.slice(0, 40)}… is too long for a shim`);
  }
  if (NEEDED_BY_THE_GUARD.has(name)) {
    throw new MirrorlatchError('USAGE', `${name} cannot be guarded: the guard itself runs it`, {
      hint: 'Name the commands that read the mirror, such as: apt-get apt',
    });
  }
}

/** What the reader and `mirrorlatch run` start: a shim of one would call itself for ever. */
const NEEDED_BY_THE_GUARD = new Set(
  `cat cp env flock ln mirrorlatch mkdir mount mv node readlink setpriv sh sleep sudo umount
   unshare`.split(/\s+/),
);
