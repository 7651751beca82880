import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { writeWhole } from '../../../src/system/files.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('a file is replaced whole, with the mode that it shall have whatever the umask says', () => {
  const path = join(scratchDirectory(), 'file');
  const before = process.umask(0o077);
  try {
    writeWhole(path, 'one');
    writeWhole(path, 'x'.repeat(100_000), 0o640);
  } finally {
    process.umask(before);
  }
  expect(readFileSync(path, 'utf8')).toHaveLength(100_000);
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

test('a write that the kernel cuts short fails, and leaves the file as it was', async () => {
  const scratch = scratchDirectory();
  const program = join(scratch, 'write.mjs');
  await build({
    stdin: {
      contents: `import { writeWhole } from './files.ts'; writeWhole(process.argv[2], 'x'.repeat(9000));`,
      resolveDir: fileURLToPath(new URL('../../../src/system', import.meta.url)),
    },
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
  });
  const path = join(scratch, 'file');
  writeFileSync(path, 'as it was');
  // A limit of the file size (setrlimit(2)) cuts a write short, as a disk that fills up does.
  const limited = `trap '' XFSZ; ulimit -f 8; exec "$@"`;
  const { exitCode } = await execa('sh', ['-c', limited, 'sh', process.execPath, program, path], {
    reject: false,
  });
  expect(exitCode).not.toBe(0);
  expect(readFileSync(path, 'utf8')).toBe('as it was');
});
