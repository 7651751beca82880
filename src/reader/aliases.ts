import { MirrorlatchError } from '../errors.ts';
import type { Guard } from './guard.ts';
import { isPlainWord, quoteForFish, quoteForSh } from './quote.ts';

export const SHELLS = ['bash', 'zsh', 'fish', 'sh'] as const;
export type Shell = (typeof SHELLS)[number];

export interface AliasOptions {
  readonly commands: readonly string[];
  /** `sudo COMMAND` is guarded too. */
  readonly sudo: boolean;
}

/**
 * Shell code after which the commands are guarded where a person types them: aliases, and for fish,
 * which makes functions of them, functions. Pure.
 *
 * @throws MirrorlatchError USAGE for a command that cannot have an alias.
 */
export function aliasesFor(shell: Shell, guard: Guard, options: AliasOptions): string {
  const commands = checkedNames(options.commands);
  const code =
    shell === 'fish'
      ? functionsOfFish(guard, commands, options.sudo)
      : [
          ...commands.map((name) => aliasOf(name, [...guard.words, name])),
          ...(options.sudo ? [ALIAS_OF_SUDO] : []),
          ...(shell === 'zsh' ? completionOfZsh(guard) : []),
        ];
  return code.join('\n');
}

/** Shell code that takes back what `aliasesFor` did to these commands. Pure. */
export function withoutAliases(shell: Shell, options: AliasOptions): string {
  const names = [...checkedNames(options.commands), ...(options.sudo ? ['sudo'] : [])];
  const code =
    shell === 'fish'
      ? names.map((name) => `if functions --query ${name}; functions --erase ${name}; end`)
      : names.map((name) => `unalias ${name} 2>/dev/null || :`);
  return [...code, ...(shell === 'zsh' ? [WITHOUT_COMPLETION_OF_ZSH] : [])].join('\n');
}

/** A blank at its end lets the shell look for an alias in the next word too (XCU 2.3.1). */
const ALIAS_OF_SUDO = `alias sudo='sudo '`;

function aliasOf(name: string, words: readonly string[]): string {
  return `alias ${name}=${quoteForSh(words.map(quoteForSh).join(' '))}`;
}

/**
 * zsh completes what an alias stands for: without this, the arguments of the guard. A file that it
 * has no completion for is looked up in `_comps` by its path (zshcompsys(1), compdef). Only after
 * compinit, which is where a ~/.zshrc has it before such code.
 */
function completionOfZsh({ front, start }: Guard): string[] {
  if (start !== 'executed' || !front.startsWith('/') || !isPlainWord(front)) return [];
  return [
    `if (( $+functions[compdef] )); then
  _mirrorlatch_guarded() {
    local at=\${words[(i)--]}
    (( CURRENT > at )) || return 1
    shift at words
    (( CURRENT -= at ))
    _normal
  }
  compdef _mirrorlatch_guarded ${front}
fi`,
  ];
}

const WITHOUT_COMPLETION_OF_ZSH = `if (( $+functions[_mirrorlatch_guarded] )); then
  compdef -d \${(k)_comps[(R)_mirrorlatch_guarded]}
  unfunction _mirrorlatch_guarded
fi`;

/** A function of the same name keeps fish's completions, which go by the name that is typed. */
function functionsOfFish(guard: Guard, commands: readonly string[], sudo: boolean): string[] {
  const words = guard.words.map(quoteForFish).join(' ');
  return [
    ...commands.flatMap((name) => [
      `function ${name} --description '${name}, guarded by mirrorlatch'`,
      `    ${words} ${name} $argv`,
      'end',
    ]),
    ...(sudo ? sudoOfFish(words, commands) : []),
  ];
}

function sudoOfFish(words: string, commands: readonly string[]): string[] {
  return [
    "function sudo --description 'sudo, with the commands guarded by mirrorlatch'",
    `    if contains -- "$argv[1]" ${commands.join(' ')}`,
    `        command sudo ${words} $argv`,
    '    else',
    '        command sudo $argv',
    '    end',
    'end',
  ];
}

/** @throws MirrorlatchError USAGE */
function checkedNames(names: readonly string[]): readonly string[] {
  for (const name of names) {
    // Letters, digits and what the names of programs are made of otherwise: XBD 3.10 and more.
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/.test(name)) {
      throw new MirrorlatchError(
        'USAGE',
        `${JSON.stringify(name)} cannot have an alias: letters, digits and _ . + - can`,
        { hint: 'Name commands as you type them, such as: apt-get apt' },
      );
    }
    if (OF_THE_SHELLS.has(name)) {
      throw new MirrorlatchError('USAGE', `${name} is a word of the shells themselves`, {
        hint: 'Name programs, such as: apt-get apt',
      });
    }
    if (OF_THE_GUARD.has(name)) {
      throw new MirrorlatchError('USAGE', `${name} is no command to be guarded`, {
        hint: 'Name what it runs, and for sudo give --sudo too.',
      });
    }
  }
  return [...new Set(names)];
}

const OF_THE_GUARD = new Set(['mirrorlatch', 'sudo']);

/** Reserved words and special built-in commands of the four, which an alias would break. */
const OF_THE_SHELLS = new Set(
  `alias and argparse begin bg break builtin case cd command continue coproc declare do done echo elif
   else end esac eval exec exit export false fg fi for foreach function functions if in jobs kill let
   local nocorrect noglob not or printf pwd read readonly repeat return select set shift source status
   string switch test then time times trap true type typeset ulimit umask unalias unset until wait while
   _`.split(/\s+/),
);
