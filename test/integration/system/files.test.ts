import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { scratchDirectory } from '../../support/scratch.ts';

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
