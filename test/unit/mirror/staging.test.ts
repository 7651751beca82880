import {
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { layoutOf } from '../../../src/mirror/layout.ts';
import { findLeftovers, markForeign, sealStaging } from '../../../src/mirror/staging.ts';
import { below } from '../../support/byte-path.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('I2: the next rsync never continues in a tree that another host still has open', () => {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.state);
  sealStaging(layout);
  const name = 'half\n\xff';
  fileWork(layout.partial).write(name, 'half of it');
  const held = openSync(below(layout.partial, name), 'r+');
  markForeign(layout);
  writeSync(held, 'WRITTEN BY THE OTHER', 0);
  expect(readFileSync(below(layout.partial, name), 'utf8')).toBe('half of it');
  expect(statSync(layout.partial).mode & 0o777).toBe(0o700);
});

test('a tree that may still be written to is recognized, even if there is another one of its name', () => {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.state);
  sealStaging(layout);
  for (const round of ['first', 'second']) {
    mkdirSync(join(layout.staging, 'name'));
    writeFileSync(join(layout.staging, 'name', round), '');
    markForeign(layout);
  }
  const { trees, clones, foreign } = findLeftovers(layout);
  expect([trees, clones]).toEqual([[], []]);
  expect(foreign.flatMap((tree) => readdirSync(tree)).sort()).toEqual(['first', 'second']);
});

test('I6: a gate that others may enter is refused', () => {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.staging, { recursive: true, mode: 0o755 });
  expect(() => sealStaging(layout)).toThrow(/mode 0700/);
});
