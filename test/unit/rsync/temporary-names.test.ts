import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  isTemporary,
  isUpdateMark,
  mayBeRemains,
  UPDATE_MARK,
} from '../../../src/rsync/temporary-names.ts';

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

test('what a killed rsync may have left in a tree of its own is judged more broadly', () => {
  for (const name of [
    '.index.sha256',
    'below/.na\nme.ABCDEF',
    'below/.~tmp~/file',
    `${UPDATE_MARK}x`,
  ])
    expect(mayBeRemains(name), name).toBe(true);
  for (const name of ['name.aBcDef', '.x.aBcDefg', '.d.aBcDef/file', `below/${UPDATE_MARK}x`])
    expect(mayBeRemains(name), name).toBe(false);
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
