import type { AddHelpTextContext } from 'commander';
import { EXIT_CODES, GUARD_FAILED } from '../errors.ts';

const MEANINGS = {
  DIFFERENT: 'with --exit-code, there is a difference',
  USAGE: 'the command line is wrong',
  SHRUNKEN_SOURCE:
    'the source has shrunk too much (--allow-shrink), or what is excluded would be deleted',
  CHECK_FAILED: 'something is not what its repository says, or a check says no',
  DAMAGED: 'something is not as it was published',
  NO_MIRROR: 'the mirror or the source does not exist',
  UNAVAILABLE: 'the network, the source or a program is not available',
  HOOK_FAILED: 'a hook of the configuration failed, and nothing was done',
  UNHEALTHY: 'something needs attention, as printed',
  INTERNAL: 'a bug in mirrorlatch',
  IO: 'a disk or filesystem failed, or is full',
  BUSY: 'another process holds the lock, the gate is closed, or a person holds the mirror',
  PERMISSION: 'permission denied',
  CONFIGURATION: 'the mirror or its settings are broken',
} as const;

type Shown = keyof typeof MEANINGS;

/** A text in a command's `--help`, which is broken to the width of that. */
type HelpText = (shown: AddHelpTextContext) => string;

/**
 * The text after the options in a command's `--help`.
 *
 * @param codes the errors whose exit codes are listed.
 * @param more paragraphs that precede the examples.
 */
export function helpAfter(
  examples: readonly string[],
  codes: readonly Shown[],
  more = '',
): HelpText {
  const exits = codes
    .map((code) => ({ code: EXIT_CODES[code], meaning: MEANINGS[code] }))
    .sort((a, b) => a.code - b.code)
    .map(({ code, meaning }) => `  ${String(code).padEnd(4)}${meaning}`);
  return helpText(
    examples,
    ['  0   success', ...exits, '  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM'],
    more,
  );
}

/** The same for `run`, which replaces itself with COMMAND. The codes are those of env(1). */
export function helpOfGuard(examples: readonly string[]): HelpText {
  return helpText(examples, [
    '  those of COMMAND, and:',
    `  ${EXIT_CODES.BUSY}  there was nothing to read within --wait`,
    `  ${GUARD_FAILED} the guard failed, or the command line is wrong`,
    '  126 COMMAND cannot be executed',
    '  127 COMMAND was not found',
  ]);
}

/** The same for `lock`, which runs COMMAND as the mirror's writer. */
export function helpOfWriter(examples: readonly string[], more: string): HelpText {
  const exits = [
    '  those of COMMAND, even if a signal ended it, and:',
    `  ${EXIT_CODES.BUSY}  ${MEANINGS.BUSY}`,
    `  ${GUARD_FAILED} mirrorlatch failed and nothing was published, or the command line is wrong`,
    '  126 COMMAND cannot be executed',
    '  127 COMMAND was not found',
  ];
  return helpText(examples, exits, more);
}

/** @param exits an exit code and its meaning each, or a sentence that begins with two spaces. */
function helpText(examples: readonly string[], exits: readonly string[], more = ''): HelpText {
  return ({ command }) => {
    const help = command.createHelp();
    const width = command.configureOutput().getOutHelpWidth?.() || USUAL_WIDTH;
    return [
      '',
      ...(more === '' ? [] : [...paragraphsOf(more), '']).map((line) =>
        line.startsWith(' ') ? line : help.boxWrap(line, width),
      ),
      examples.length === 1 ? 'Example:' : 'Examples:',
      // They can be pasted.
      ...examples.map((example) => `  ${example}`),
      '',
      'Exit codes:',
      ...exits.map((exit) => {
        const [, code = '', meaning = ''] = /^( {2}\d+ +| {2})(.*)$/.exec(exit) ?? [];
        const lines = help.boxWrap(meaning, width - code.length);
        return code + lines.replaceAll('\n', `\n${' '.repeat(code.length)}`);
      }),
    ].join('\n');
  };
}

/** Where no terminal has one; columns. */
const USUAL_WIDTH = 80;

/** The lines of a text, of which those of a paragraph are one. Lines that begin with spaces can be pasted. */
function paragraphsOf(text: string): string[] {
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    const before = lines.at(-1);
    if (before === undefined || [before, line].some((one) => /^( |$)/.test(one))) lines.push(line);
    else lines[lines.length - 1] = `${before} ${line}`;
  }
  return lines;
}
