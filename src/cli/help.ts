import { EXIT_CODES, GUARD_FAILED } from '../errors.ts';

const MEANINGS = {
  USAGE: 'the command line is wrong',
  SHRUNKEN_SOURCE: 'the source has shrunk too much (--allow-shrink)',
  NO_MIRROR: 'there is no such mirror, or no such source',
  UNAVAILABLE: 'the network, the source or a program is not available',
  INTERNAL: 'a fault of mirrorlatch itself',
  IO: 'a disk or a filesystem failed, or is full',
  BUSY: 'somebody else holds the lock',
  PERMISSION: 'permission denied',
  CONFIGURATION: 'the mirror or its settings are broken',
} as const;

type Shown = keyof typeof MEANINGS;

/** What follows a command's options in its `--help`. */
export function helpAfter(examples: readonly string[], codes: readonly Shown[], more = ''): string {
  const exits = codes
    .map((code) => ({ code: EXIT_CODES[code], meaning: MEANINGS[code] }))
    .sort((a, b) => a.code - b.code)
    .map(({ code, meaning }) => `  ${String(code).padEnd(4)}${meaning}`);
  return helpText(
    examples,
    ['  0   all went well', ...exits, '  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM'],
    more,
  );
}

/** The same for a command that becomes another, as env(1) and timeout(1) have it. */
export function helpOfGuard(examples: readonly string[]): string {
  return helpText(examples, [
    '  those of the command, and:',
    `  ${EXIT_CODES.BUSY}  nothing to read, for as long as --wait says`,
    `  ${GUARD_FAILED} the guard failed, or the command line is wrong`,
    '  126 the command cannot be executed',
    '  127 the command was not found',
  ]);
}

/** The same for one that runs another as the mirror's writer. */
export function helpOfWriter(examples: readonly string[], more: string): string {
  const exits = [
    '  those of the command, also where a signal ended it, and:',
    `  ${EXIT_CODES.BUSY}  ${MEANINGS.BUSY}`,
    `  ${GUARD_FAILED} the guard failed, nothing was published; or the command line is wrong`,
    '  126 the command cannot be executed',
    '  127 the command was not found',
  ];
  return helpText(examples, exits, more);
}

function helpText(examples: readonly string[], exits: readonly string[], more = ''): string {
  return [
    '',
    ...(more === '' ? [] : [more, '']),
    examples.length === 1 ? 'Example:' : 'Examples:',
    ...examples.map((example) => `  ${example}`),
    '',
    'Exit codes:',
    ...exits,
  ].join('\n');
}
