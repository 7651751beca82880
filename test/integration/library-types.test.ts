import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** A program of a user of the library, as strict as TypeScript can be. */
const PROGRAM = `import { hasCode, lock, MirrorlatchError, pin, prune, sync, type SyncResult } from 'mirrorlatch';

const retention = { keepLast: 7 };
const result: SyncResult = await sync({ source: '/srv/up', root: '/srv/m', retention, lock: { waitMs: 1 } });
if (result.outcome === 'published') console.log(result.path, result.previous?.length);
const { path, release } = await pin({ root: '/srv/m' });
console.log(path, (await prune({ root: '/srv/m', retention })).removed);
release();
try {
  await lock({ root: '/srv/m', command: [Buffer.from('true')] });
} catch (error) {
  if (hasCode(error, 'SHRUNKEN_SOURCE')) console.log(error.details.shrinkage?.files);
  else if (error instanceof MirrorlatchError) console.log(error.code, error.hint);
}
// @ts-expect-error a group, not a single option
await sync({ root: '/srv/m', keepLast: 7 });
`;

test('the types compile in a strict program that checks its libraries, too', async () => {
  const place = scratchDirectory();
  mkdirSync(join(place, 'node_modules'));
  symlinkSync(project, join(place, 'node_modules/mirrorlatch'));
  writeFileSync(join(place, 'package.json'), '{"type":"module"}');
  writeFileSync(join(place, 'program.ts'), PROGRAM);
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
    target: 'es2023',
    module: 'nodenext',
    // What the package depends on is there for its users, too.
    typeRoots: [join(project, 'node_modules/@types')],
    types: ['node'],
  };
  writeFileSync(
    join(place, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['program.ts'] }),
  );
  const { exitCode, stdout } = await execa(
    join(project, 'node_modules/.bin/tsc'),
    ['--project', place],
    { reject: false },
  );
  expect(stdout).toBe('');
  expect(exitCode).toBe(0);
});
