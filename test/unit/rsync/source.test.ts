import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSource } from '../../../src/rsync/source.ts';

describe('a source is read as rsync reads it', () => {
  test.each([
    ['rsync://host/module', 'daemon', 'rsync://host/module/', 'host'],
    [
      'rsync://user@host:873/module/path/',
      'daemon',
      'rsync://user@host:873/module/path/',
      'user@host:873',
    ],
    ['RSYNC://[::1]:873/module', 'daemon', 'RSYNC://[::1]:873/module/', '[::1]:873'],
    ['host::module', 'daemon', 'host::module/', 'host'],
    ['host:path', 'ssh', 'host:path/', 'host'],
    ['user@host:/srv/x', 'ssh', 'user@host:/srv/x/', 'user@host'],
    ['[::1]:/srv', 'ssh', '[::1]:/srv/', '[::1]'],
  ])('%s is of the kind %s', (text, kind, argument, host) => {
    expect(parseSource(text)).toMatchObject({ kind, argument, host });
  });

  test('a host with nothing behind its colon is the home there, not the root', () => {
    expect(parseSource('host:').argument).toBe('host:./');
    expect(parseSource('user@host:').argument).toBe('user@host:./');
    expect(parseSource('host:/').argument).toBe('host:/');
  });

  test.each(['rsync://host', 'rsync://host/', 'rsync://host//', 'host::', 'host::/'])(
    '%s names no module, and rsync would end with 0 after listing them',
    (text) => expect(() => parseSource(text)).toThrow(/names no module/),
  );

  test.each([
    '',
    'a\0b',
    ':path',
    '-oProxyCommand=x:path',
    'user@-x:path',
    '-x::module',
    'rsync:///m',
  ])('%j is refused', (text) =>
    expect(() => parseSource(text)).toThrow(expect.objectContaining({ code: 'USAGE' })),
  );

  test.each(['./a:b', '/x/a:b', '-evil', 'dir/host::x'])('%s is a local path', (text) => {
    expect(parseSource(text)).toEqual({
      kind: 'local',
      path: resolve(text),
      argument: `${resolve(text)}/`,
    });
  });

  test('whatever is accepted ends in a slash, is read again as the same, and is no option', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), (text) => {
        let source: ReturnType<typeof parseSource>;
        try {
          source = parseSource(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'USAGE' });
          return;
        }
        expect(source.argument).toMatch(/\/$/);
        expect(source.argument).not.toMatch(/^-/);
        expect(parseSource(source.argument)).toMatchObject({
          kind: source.kind,
          argument: source.argument,
        });
      }),
    );
  });
});
