import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runScript, SHELLS } from '../../support/shells.ts';

/** Any text without NUL, which no argument can hold, and much of what shells take for their own. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }).map((some) => some.replaceAll('\0', '')),
  fc.string({
    unit: fc.constantFrom(
      ...`'"\\\`$!*?[]{}()<>|&;#~=%^-+,.:@/ \t\n\r\u001b\u007f aéß漢😀\u0085\u200b\ufeff\ufdd0\uf600\uf700`,
    ),
    maxLength: 30,
  }),
);

for (const shell of SHELLS) {
  test.for(['C', 'C.UTF-8'])(
    `${shell.name} reads any quoted word as it was, in locale %s`,
    async (locale) => {
      await fc.assert(
        fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 40 }), async (words) => {
          const script = `env printf '%s\\0' ${words.map((word) => shell.quote(word)).join(' ')}`;
          const { stdout, stderr } = await runScript(shell, script, { LC_ALL: locale });
          expect(stderr).toBe('');
          expect(stdout.toString().split('\0').slice(0, -1)).toEqual(words);
        }),
        { numRuns: 25 },
      );
    },
  );

  test(`${shell.name} reads each byte from 1 to 255 as it was`, async () => {
    const words = Array.from({ length: 0xff }, (_, index) => String.fromCodePoint(index + 1));
    const script = `env printf '%s\\0' ${words.map((word) => shell.quote(word)).join(' ')}`;
    const { stdout } = await runScript(shell, script);
    expect(stdout.toString().split('\0').slice(0, -1)).toEqual(words);
  });
}
