import { MirrorlatchError } from '../errors.ts';

/**
 * The name of a command that can have an alias in each of the four shells.
 *
 * @throws MirrorlatchError USAGE for any other.
 */
export function checkedAliasName(name: string): string {
  // Letters and digits (XBD 3.10, Alias Name), and the other characters of program names.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/.test(name)) {
    throw new MirrorlatchError(
      'USAGE',
      `${JSON.stringify(name)} cannot have an alias: only letters, digits and _ . + - are allowed`,
      { hint: 'Name commands as you type them, for example: apt-get apt' },
    );
  }
  if (OF_THE_SHELLS.has(name)) {
    throw new MirrorlatchError('USAGE', `${name} is a word of the shells themselves`, {
      hint: 'Name programs, for example: apt-get apt',
    });
  }
  if (OF_THE_GUARD.has(name)) {
    throw new MirrorlatchError('USAGE', `${name} itself cannot be guarded`, {
      hint: 'Name the commands that it runs; for sudo, also give --sudo.',
    });
  }
  return name;
}

const OF_THE_GUARD = new Set(['mirrorlatch', 'sudo']);

/** Reserved words and builtins of the four shells; an alias would break them. */
const OF_THE_SHELLS = new Set(
  `alias and argparse begin bg break builtin case cd command continue coproc declare do done echo elif
   else end esac eval exec exit export false fg fi for foreach function functions if in jobs kill let
   local nocorrect noglob not or printf pwd read readonly repeat return select set shift source status
   string switch test then time times trap true type typeset ulimit umask unalias unset until wait while
   _`.split(/\s+/),
);
