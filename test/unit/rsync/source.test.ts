import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDestination, parseSource } from '../../../src/rsync/source.ts';

describe('a source is read as rsync reads it', () => {
  test.each([
    ['rsync://host/module', 'daemon', 'rsync://host/module/', 'host'],
    [
      'rsync://user@host:873/module/path/',
      'daemon',
      'rsync://user@host:873/module/path/',
      'user@host:873',
    ],
    ['rsync://host:873/m/a@b', 'daemon', 'rsync://host:873/m/a@b/', 'host:873'],
    ['RSYNC://[::1]:873/module', 'daemon', 'RSYNC://[::1]:873/module/', '[::1]:873'],
    ['host::module', 'daemon', 'host::module/', 'host'],
    ['host:path', 'ssh', 'host:path/', 'host'],
    ['user@host:/srv/x', 'ssh', 'user@host:/srv/x/', 'user@host'],
    ['[::1]:/srv', 'ssh', '[::1]:/srv/', '[::1]'],
  ])('%s is of the kind %s', (text, kind, argument, host) => {
    expect(parseSource(text)).toMatchObject({ kind, argument, host });
  });

  test("a host with nothing after its colon is the user's home there, not the root directory", () => {
    expect(parseSource('host:').argument).toBe('host:./');
    expect(parseSource('user@host:').argument).toBe('user@host:./');
    expect(parseSource('host:/').argument).toBe('host:/');
  });

  test.each(['http://host/debian/', 'ssh://host/srv', 'file:///srv'])(
    '%s is refused: rsync would take the scheme for a host',
    (text) => expect(() => parseSource(text)).toThrow(/cannot read from/),
  );

  test.each(['rsync://host', 'rsync://host/', 'rsync://host//', 'host::', 'host::/'])(
    '%s is refused: it names no module, and rsync would list them and exit with 0',
    (text) => expect(() => parseSource(text)).toThrow(/names no module/),
  );

  test.each([
    'rsync://u:secret@host/m',
    'rsync://u:se/cret@host:873/m',
    'u:secret@host::m',
    'u:secret@host:/srv/m',
  ])(
    '%s is refused without its password in the message: rsync would take u or rsync for a host',
    (text) => {
      expect(() => parseSource(text)).toThrow(/^a password cannot be a part of the source$/);
    },
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

  test('whatever is accepted ends with a slash, parses to the same again, and is not an option', () => {
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

describe('a destination', () => {
  test.each([
    ['host:/srv/mirror', { host: 'host', root: '/srv/mirror' }],
    ['host:mirror/', { host: 'host', root: 'mirror' }],
    ['host:~/mirror', { host: 'host', root: 'mirror' }],
    ['host:/', { host: 'host', root: '/' }],
    ['me@host:-x', { user: 'me', host: 'host', root: '-x' }],
    ['me@[fe80::1]:/m', { user: 'me', host: 'fe80::1', root: '/m' }],
    ['ssh://host/srv/m', { host: 'host', root: '/srv/m' }],
    ['SSH://me@host:2222/m/', { user: 'me', host: 'host', port: 2222, root: '/m' }],
    ['ssh://[::1]:22/m', { host: '::1', port: 22, root: '/m' }],
    ['ssh://host/~/m', { host: 'host', root: '/~/m' }],
  ])('%s is on another host', (text, destination) => {
    expect(parseDestination(text)).toEqual({ user: undefined, port: undefined, ...destination });
  });

  test.each(['/srv/m', './a:b', 'dir/a:b', 'plain', ''])('%j is a local path', (text) => {
    expect(parseDestination(text)).toBeUndefined();
  });

  test.each([
    'host:',
    'host:~other/m',
    'ssh://host',
    'ssh:///m',
    'ssh://host:99999/m',
    'ssh://-oProxyCommand=x/m',
    'ssh://-x@host/m',
    '-oProxyCommand=x:m',
    '-x@host:m',
    'host::module',
    'rsync://host/module',
    'host:a\nb',
  ])('%j is refused', (text) => {
    expect(() => parseDestination(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test('whatever is accepted is not an option to ssh', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.boolean(), (text, isUrl) => {
        let destination: ReturnType<typeof parseDestination>;
        try {
          destination = parseDestination(isUrl ? `ssh://${text}` : text);
        } catch {
          return;
        }
        if (destination === undefined) return;
        expect(destination.host).not.toMatch(/^-|^$/);
        expect(destination.user ?? 'any').not.toMatch(/^-|^$/);
        expect(destination.root).not.toBe('');
      }),
    );
  });
});
