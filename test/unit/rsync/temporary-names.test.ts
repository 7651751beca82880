import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isTemporary, isUpdateMark, mayBeMadeFor } from '../../../src/rsync/temporary-names.ts';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

test('a file is not taken for one of rsync because its name is similar', () => {
  const content = [
    ...['.name.backup', '.config.x86_64', '.a.b', 'name.AbCdEf', '.name', '.bashrc', '.x.abcdefg'],
    ...['.x.ABCDE', '.AbCdEf', '.file.2026-11', '.index.sha256', '.sums.SHA512', '.README.Static'],
  ];
  for (const name of content) expect(isTemporary({ name, type: 'file' }), name).toBe(false);
});

test('nine of ten temporary files are recognized, as rsync names them', () => {
  const suffix = fc.array(fc.constantFrom(...LETTERS), { minLength: 6, maxLength: 6 });
  const names = fc.sample(suffix, 1000).map((letters) => `below/.na\nme.deb.${letters.join('')}`);
  const recognized = names.filter((name) => isTemporary({ name, type: 'file' }));
  expect(recognized.length).toBeGreaterThan(850);
});

test('all in a directory of delayed updates is temporary, but a file of that name is not', () => {
  expect(isTemporary({ name: 'below/.~tmp~', type: 'directory' })).toBe(true);
  expect(isTemporary({ name: 'below/.~tmp~/file', type: 'file' })).toBe(true);
  expect(isTemporary({ name: 'below/.~tmp~', type: 'file' })).toBe(false);
});

test('a temporary file may have been made for a file beside it, whatever its suffix', () => {
  const found = {
    '.slow.aBcDef': ['slow', '.slow'],
    'be.low/.na\nme.deb.ABCDEF': ['be.low/na\nme.deb', 'be.low/.na\nme.deb'],
    'below/.~tmp~/.file': ['below/.file'],
    '.~tmp~/file': ['file'],
  };
  for (const [name, files] of Object.entries(found))
    expect(mayBeMadeFor(name), name).toEqual(files);
  for (const name of ['name.aBcDef', '.x.aBcDefg', '.aBcDef', '.d.aBcDef/file', 'd/.~tmp~/e/file'])
    expect(mayBeMadeFor(name), name).toEqual([]);
});

test('a directory with the name of a temporary file is content', () => {
  expect(isTemporary({ name: '.d.aBcDef', type: 'directory' })).toBe(false);
  expect(isTemporary({ name: '.d.aBcDef/file', type: 'file' })).toBe(false);
});

test('a mark of an update lies at the top', () => {
  const name = 'Archive-Update-in-Progress-mirror.example.org';
  expect(isUpdateMark({ name, type: 'file' })).toBe(true);
  expect(isUpdateMark({ name: `below/${name}`, type: 'file' })).toBe(false);
  expect(isUpdateMark({ name: `${name}/file`, type: 'file' })).toBe(false);
  expect(isUpdateMark({ name, type: 'directory' })).toBe(false);
});
