import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pageHead, pageRow } from '../../../src/http/files/listing-page.ts';

const modified = new Date('2026-11-27T01:02:03Z');
const row = (name: string) => pageRow({ name, kind: 'file', bytes: 2_500_000n, modified });
const hrefOf = (html: string): string => /href="([^"]*)"/.exec(html)?.[1] ?? '';

test('A row shows name, time and size, and the size to the byte', () => {
  expect(row('a.deb')).toBe(
    '<tr><td><a href="a.deb">a.deb</a></td><td>2026-11-27 01:02</td><td title="2500000 bytes">2.5 MB</td></tr>\n',
  );
  expect(pageRow({ name: 'pool', kind: 'directory', bytes: 4096n, modified })).toBe(
    '<tr><td><a href="pool/">pool/</a></td><td>2026-11-27 01:02</td><td></td></tr>\n',
  );
});

test('What cannot be fetched is no link', () => {
  expect(pageRow({ name: 'fifo', kind: 'other', bytes: 0n, modified: undefined })).toBe(
    '<tr><td>fifo</td><td></td><td></td></tr>\n',
  );
});

test('A link leads to its name from the directory, whatever the bytes of the name are', () => {
  const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 0x2f);
  const name = fc
    .array(byte, { minLength: 1, maxLength: 50 })
    .map((codes) => String.fromCharCode(...codes))
    .filter((text) => text !== '.' && text !== '..');
  fc.assert(
    fc.property(name, (bytes) => {
      const target = new URL(hrefOf(row(bytes)), 'http://mirror/debian/');
      expect(target.search + target.hash).toBe('');
      const below = target.pathname.replace('/debian/', '');
      expect(Buffer.from(unescape(below), 'latin1')).toEqual(Buffer.from(bytes, 'latin1'));
    }),
  );
});

test('A name cannot put markup into the page, nor hide what it is', () => {
  const html = row('<script>"&\' \u202e');
  expect(html).not.toMatch(/<script|"&'/);
  const bidirectional = Buffer.from('a\u202egpj.exe').toString('latin1');
  expect(row(bidirectional)).toContain('>a\u{fffd}gpj.exe<');
  expect(pageHead('/%3Cscript%3E/', false)).not.toContain('<script>');
});

test('Names are shown as UTF-8 where they are', () => {
  expect(row(Buffer.from('größe').toString('latin1'))).toContain('>größe<');
  expect(row('gr\xf6\xdfe')).toContain('>gr\u{fffd}\u{fffd}e<');
});

test('Only what lies below the top of a mirror has a link upwards', () => {
  expect(pageHead('/debian/current/', true)).not.toContain('href');
  expect(pageHead('/debian/current/pool/', false)).toContain('<a href="../">../</a>');
});

test('A time that no calendar has is left out', () => {
  const html = pageRow({ name: 'a', kind: 'file', bytes: 0n, modified: new Date(Number.NaN) });
  expect(html).toContain('<td></td><td title="0 bytes">');
});
