import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkKeyring } from '../../../src/mirror/settings/keyring.ts';
import { makeKey } from '../../support/repositories/signed-archive.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('a keyring of GnuPG has keys, in binary form, in ASCII armor and as a keybox', async () => {
  const home = join(scratchDirectory(), 'key');
  const { armored, binary } = await makeKey(home, 'somebody');
  for (const path of [armored, binary, join(home, 'pubring.kbx')]) checkKeyring(path);
});

test.each([
  ['a text', 'root:x:0:0:root:/root:/bin/bash\n'],
  ['an empty file', ''],
  ['a signature', '-----BEGIN PGP SIGNATURE-----\n'],
  ['a secret key', '\x94\x04'],
])('%s has no public key', (_, content) => {
  const path = join(scratchDirectory(), 'keyring');
  writeFileSync(path, content, 'latin1');
  expect(() => checkKeyring(path)).toThrow(/has no public key/);
});

test('a directory, and what is not there, cannot be read', () => {
  const path = join(scratchDirectory(), 'keyring');
  expect(() => checkKeyring(path)).toThrow(/cannot be read/);
  mkdirSync(path);
  expect(() => checkKeyring(path)).toThrow(/cannot be read/);
});
