import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { inPlaceMirror } from '../support/in-place-mirror.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import { runForJson, startProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { holdRsync } from '../support/slow-sync.ts';
import { smallMirror } from '../support/small-mirror.ts';

const why = runsAsRoot ? '' : ' (skipped: only root can become another user)';

/** In KiB per second, so that a sync takes some seconds. */
const SLOWLY = '--bwlimit=200';
const NAMES = ['1', '2', '3', '4', '5', '6'];
const UNREADABLE = '------';

/**
 * The same change of the same tree, the same rsync, and the same other user who reads all the files
 * over and over: only the gates differ.
 */
describe.skipIf(!runsAsRoot)(`While rsync writes,${why}`, () => {
  test('closing the tree itself lets another user read a mix, because rsync opens it', async () => {
    const { home, source, change } = makeSource();
    const target = join(home, 'target');
    mkdirSync(target);
    await execa('rsync', ['-a', `${source}/`, `${target}/`]);
    change();

    chmodSync(target, 0o700);
    const before = await startReader(target);
    expect(await before.leave(), 'it is closed before rsync begins').toEqual([UNREADABLE]);
    const reader = await startReader(target);
    await execa('rsync', ['-a', SLOWLY, `${source}/`, `${target}/`]);
    const read = await reader.leave();

    expect(statSync(target).mode & 0o777, 'rsync gave it the mode of the source').toBe(0o755);
    expect(read.filter((letters) => /a/.test(letters) && /b/.test(letters))).not.toEqual([]);
  });

  test('a gate above the tree holds, although rsync opens the tree in the same way', async () => {
    const { home, source, change } = makeSource();
    const mirror = inPlaceMirror(smallMirror({ home: join(home, 'mirror') }));
    await runForJson(['init', mirror.root, '--in-place']);
    await runForJson(['sync', source, mirror.root]);
    change();
    chmodSync(mirror.tree(), 0o700);

    const sync = startProgram(['sync', source, mirror.root, '--', SLOWLY]);
    await eventually(() => expect(existsSync(mirror.tree('.~tmp~', '3'))).toBe(true));
    const goOn = holdRsync(mirror.root);
    expect(mirror.record().state).toBe('closed');
    expect(mirror.mode()).toBe(0o700);
    expect(statSync(mirror.tree()).mode & 0o777, 'rsync opened the tree itself').toBe(0o755);
    const reader = await startReader(mirror.tree());
    expect(await reader.leave()).toEqual([UNREADABLE]);
    goOn();

    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    const after = await startReader(mirror.tree());
    expect(await after.leave()).toEqual(['bbbbbb']);
  });
});

function makeSource() {
  const home = scratchDirectory();
  const source = join(home, 'source');
  mkdirSync(source, { mode: 0o755 });
  const write = (content: string) => {
    for (const name of NAMES) writeFileSync(join(source, name), content);
  };
  write('a'.repeat(100 * 1024));
  return { home, source, change: () => write('b'.repeat(200 * 1024)) };
}

/** Another user that reads the first letter of each file, or a dash if that is denied. */
async function startReader(tree: string) {
  const script = `
    cd /
    while :; do
      letters=
      for name in ${NAMES.join(' ')}; do
        letter=$(head -c 1 "$1/$name" 2>/dev/null)
        letters=$letters\${letter:--}
      done
      echo "$letters"
    done`;
  const reading = execa('sh', ['-c', script, 'sh', tree], {
    ...nobody,
    cwd: '/',
    stdin: 'ignore',
    reject: false,
  });
  let read = '';
  reading.stdout.on('data', (chunk: Buffer | string) => {
    read += chunk.toString();
  });
  await eventually(() => expect(read.split('\n').length).toBeGreaterThan(2));
  return {
    /** The different results, each once. */
    leave: async (): Promise<string[]> => {
      reading.kill('SIGKILL');
      await reading;
      return [...new Set(read.split('\n').slice(0, -1))];
    },
  };
}
