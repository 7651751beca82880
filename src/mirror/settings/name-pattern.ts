/** What is wrong with each kind of pattern that excepts nothing, or not what it seems to; the first that fits counts. */
const FAULTS: readonly [(pattern: string) => boolean, string][] = [
  [
    (pattern) => /^\/*$|\0/.test(pattern),
    'Give a pattern on names in the tree, such as pool/old/**.',
  ],
  [
    (pattern) => pattern.startsWith('!'),
    'An exception cannot be negated. For a name that begins with !, write \\!.',
  ],
  [
    (pattern) => pattern.startsWith('#'),
    'A pattern that begins with # is a comment. For a name that does, write \\#.',
  ],
  [
    (pattern) => /[\n\r]$|(?<!\\)(?:\\\\)* $/.test(pattern),
    'White space at the end does not count. Put a backslash before a space that does, and ? for a line break.',
  ],
  [
    (pattern) => withoutEscapes(pattern).endsWith('\\'),
    'Nothing follows the backslash at the end. For one in a name, write \\\\.',
  ],
  [
    (pattern) => partsOf(pattern).some((part) => ['', '.', '..'].includes(part)),
    'Names begin at the top of the tree, without . and .. and with single slashes.',
  ],
  [
    (pattern) => withoutEscapes(pattern).replaceAll(CLASS, '').includes('['),
    'The [ is not closed. For one in a name, write \\[.',
  ],
];

/** Whatever is between the brackets, also a bracket at once, and `[:alpha:]`. */
const CLASS = /\[(?:[!^]|(?![!^]))(?:\]|(?!\]))(?:\[:\w*:\]|(?!\[:\w*:\])[^\]])*\]/g;

function withoutEscapes(pattern: string): string {
  return pattern.replaceAll(/\\./gs, 'x');
}

/** @returns the names in it, without those slashes that begin and end a pattern. */
function partsOf(pattern: string): string[] {
  return pattern.replace(/^\//, '').replace(/\/$/, '').split('/');
}

/** Why a text cannot be a pattern on names in a tree, see `Exceptions`; undefined if it can. */
export function faultOfNamePattern(text: string): string | undefined {
  return FAULTS.find(([hasFault]) => hasFault(text))?.[1];
}

/** Whether a value can be a pattern on names in a tree. */
export function isNamePattern(value: unknown): value is string {
  return typeof value === 'string' && faultOfNamePattern(value) === undefined;
}
