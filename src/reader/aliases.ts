import { isPlainWord, quoteForFish, quoteForSh } from '../system/quote.ts';
import { checkedAliasName } from './alias-names.ts';
import type { Guard } from './guard.ts';

export const SHELLS = ['bash', 'zsh', 'fish', 'sh'] as const;
export type Shell = (typeof SHELLS)[number];

export interface AliasOptions {
  readonly commands: readonly string[];
  /** Also guard `sudo COMMAND`. */
  readonly sudo: boolean;
}

/**
 * Shell code that guards commands typed at a prompt, by aliases; in fish, whose aliases are
 * functions, by functions. Pure.
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

/** Shell code that undoes `aliasesFor` for these commands. Pure. */
export function withoutAliases(shell: Shell, options: AliasOptions): string {
  const names = [...checkedNames(options.commands), ...(options.sudo ? ['sudo'] : [])];
  const code =
    shell === 'fish'
      ? names.map((name) => `if functions --query ${name}; functions --erase ${name}; end`)
      : names.map((name) => `unalias ${name} 2>/dev/null || :`);
  return [...code, ...(shell === 'zsh' ? [WITHOUT_COMPLETION_OF_ZSH] : [])].join('\n');
}

/** A trailing blank lets the shell look for an alias in the next word too (XCU 2.3.1). */
const ALIAS_OF_SUDO = `alias sudo='sudo '`;

function aliasOf(name: string, words: readonly string[]): string {
  return `alias ${name}=${quoteForSh(words.map(quoteForSh).join(' '))}`;
}

/**
 * zsh expands an alias before it completes, and would complete the arguments of the guard. It looks
 * a command up in `_comps` by its path, too (zshcompsys(1), compdef). This takes effect only if
 * ~/.zshrc has called compinit before.
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

/** A function of the same name keeps fish's completions, which are found by the typed name. */
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
  return [...new Set(names.map(checkedAliasName))];
}
