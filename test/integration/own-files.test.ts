import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execaSync } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, transcript } from '../support/program.ts';
import { copiesOf, mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';

const twoSnapshots = mirrorsWith('a', 'b');
const inPlace = copiesOf(async (mirror) => {
  await runForJson(['init', mirror.root, '--in-place']);
  await mirror.sync();
});

/** What somebody may put in the place of a file. */
const PLANTS: Record<string, (path: string, elsewhere: string) => void> = {
  'a symlink': (path, elsewhere) => symlinkSync(elsewhere, path),
  'a second name of a file': (path, elsewhere) => linkSync(elsewhere, path),
  'a fifo': (path) => void execaSync('mkfifo', [path]),
  'a directory': (path) => mkdirSync(path),
};

/** Plants it under `name` of the mirror's state, and expects that a file elsewhere has not changed. */
function plant(mirror: SmallMirror, kind: string, name: string) {
  const elsewhere = join(mirror.home, 'elsewhere');
  writeFileSync(elsewhere, 'stays', { mode: 0o640 });
  utimesSync(elsewhere, 1e9, 1e9);
  const path = mirror.state(name);
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { recursive: true, force: true });
  PLANTS[kind]?.(path, elsewhere);
  return () => {
    expect(readFileSync(elsewhere, 'utf8')).toBe('stays');
    expect(statSync(elsewhere)).toMatchObject({ mtimeMs: 1e12 });
    expect(statSync(elsewhere).mode & 0o777).toBe(0o640);
  };
}

describe.each(Object.keys(PLANTS))('%s', (kind) => {
  test.each(['mirror.json.new', 'reader.new', 'time-probe', 'staging/.transfer', 'staging/.boot'])(
    'in the place of %s is not written through, and ends or survives nothing else',
    async (name) => {
      const mirror = await twoSnapshots();
      const expectUntouched = plant(mirror, kind, name);
      if (name === 'reader.new') rmSync(mirror.state('reader'));
      mirror.change({ file: 'c' });
      for (const words of [
        ['init', mirror.root, '--keep-last', '9'],
        ['sync', mirror.root],
      ]) {
        const result = await runProgram(words);
        expectUntouched();
        if (result.exitCode === 0) continue;
        expect([74, 78]).toContain(result.exitCode);
        expect(result.stderr).toMatch(name);
        expect(kind, transcript(result)).toBe('a directory');
      }
    },
  );

  test('in the place of history.jsonl is not written through; what is no file ends the sync before it publishes', async () => {
    const mirror = await twoSnapshots();
    const expectUntouched = plant(mirror, kind, 'history.jsonl');
    mirror.change({ file: 'c' });
    const result = await runProgram(['sync', mirror.root, '--id', 'c']);
    expectUntouched();
    if (kind === 'a second name of a file') {
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(mirror.linked('current')).toBe('c');
      return;
    }
    expectFailure(result, 78, /history\.jsonl is not a file/);
    expect(mirror.linked('current')).toBe('b');
    const command = /with: (.*)$/m.exec(result.stderr)?.[1] ?? '';
    expect(execaSync('sh', ['-c', command]).exitCode).toBe(0);
    await runForJson(['sync', mirror.root]);
    expectUntouched();
  });

  test('in the place of a log is refused', async () => {
    const mirror = await twoSnapshots();
    const expectUntouched = plant(mirror, kind, 'logs/c.log');
    mirror.change({ file: 'c' });
    const result = await runProgram(['sync', mirror.root, '--id', 'c']);
    expectFailure(result, 78, /logs\/c\.log (is not a file|has a second name)/);
    execaSync('sh', ['-c', /with: (.*)$/m.exec(result.stderr)?.[1] ?? 'false']);
    await runForJson(['sync', mirror.root, '--id', 'c']);
    expectUntouched();
  });

  test('in the place of gate.json.new is not written through', async () => {
    const mirror = await inPlace();
    const expectUntouched = plant(mirror, kind, 'gate.json.new');
    mirror.change({ file: 'c' });
    const result = await runProgram(['sync', mirror.root]);
    expect(result.exitCode === 0 || kind === 'a directory', transcript(result)).toBe(true);
    expectUntouched();
  });
});

describe('a symlink in the place of a directory', () => {
  test.each(['logs', 'leases', 'trash', 'changes', 'staging', 'staging/.partial', '../snapshots'])(
    '%s is refused, and what it leads to stays as it is',
    async (name) => {
      const mirror = await twoSnapshots();
      const elsewhere = join(mirror.home, 'elsewhere');
      mkdirSync(elsewhere, { mode: 0o700 });
      mkdirSync(join(elsewhere, 'precious'));
      if (name === '../snapshots') {
        execaSync('cp', ['-a', `${mirror.state(name)}/.`, elsewhere]);
      }
      const before = readdirSync(elsewhere);
      rmSync(mirror.state(name), { recursive: true, force: true });
      symlinkSync(elsewhere, mirror.state(name));
      mirror.change({ file: 'c' });
      const words = ['sync', mirror.root, '--id', 'c', '--keep-last', '1', '--grace', '0'];
      expectFailure(
        await runProgram(words),
        78,
        new RegExp(`${name.replace('../', '')} .*director`),
      );
      expect(readdirSync(elsewhere)).toEqual(before);
    },
  );

  test('.mirrorlatch is refused', async () => {
    const mirror = await twoSnapshots();
    const elsewhere = join(mirror.home, 'elsewhere');
    execaSync('mv', [mirror.state(), elsewhere]);
    symlinkSync(elsewhere, mirror.state());
    for (const words of [
      ['sync', mirror.root],
      ['init', mirror.root, '--keep-last', '9'],
    ]) {
      expectFailure(await runProgram(words), 78, /\.mirrorlatch is not a directory/);
    }
  });

  test('sync.lock is no lock, and what it leads to is not emptied', async () => {
    const mirror = await twoSnapshots();
    const elsewhere = join(mirror.home, 'elsewhere');
    mkdirSync(join(elsewhere, 'precious'), { recursive: true });
    // Older than this boot, it would look like the lock of a dead holder.
    utimesSync(elsewhere, 1e9, 1e9);
    symlinkSync(elsewhere, mirror.state('sync.lock'));
    const result = await runProgram(['sync', mirror.root]);
    expect(result.exitCode, transcript(result)).not.toBe(0);
    expect(existsSync(join(elsewhere, 'precious'))).toBe(true);
  });
});

test('a fifo in the place of a record does not hang a look at the mirror', async () => {
  const mirror = await twoSnapshots();
  plant(mirror, 'a fifo', 'history.jsonl');
  await runProgram(['status', mirror.root]);
  plant(mirror, 'a fifo', 'mirror.json');
  expectFailure(await runProgram(['status', mirror.root]), 78, /mirror\.json/);
});

describe('a history that cannot take a line', () => {
  test('in a mirror that was copied by hard links gets content of its own, and the copy keeps the old one', async () => {
    const mirror = await twoSnapshots();
    const copy = join(mirror.home, 'copy');
    chmodSync(mirror.state('history.jsonl'), 0o640);
    execaSync('cp', ['-al', mirror.root, copy]);
    const before = readFileSync(join(copy, '.mirrorlatch/history.jsonl'), 'utf8');
    await mirror.publish('c', { file: 'c' });
    await runForJson(['rollback', mirror.root]);
    expect(mirror.history().map(({ id }) => id)).toEqual(['a', 'b', 'c', 'b']);
    expect(readFileSync(join(copy, '.mirrorlatch/history.jsonl'), 'utf8')).toBe(before);
    expect(statSync(mirror.state('history.jsonl')).mode & 0o777, 'as it was').toBe(0o640);
  });

  test.runIf(nobodyRunsTheProgram)(
    'because it belongs to another user ends the sync before it publishes, with the command that mends it',
    async () => {
      const mirror = await twoSnapshots();
      execaSync('chown', ['-R', 'nobody', mirror.home]);
      chownSync(mirror.state('history.jsonl'), 0, 0);
      mirror.change({ file: 'c' });
      const result = await runProgram(['sync', mirror.root], { user: nobody });
      expectFailure(result, 77, /history\.jsonl may not be written by nobody/);
      expect(mirror.linked('current')).toBe('b');
      execaSync('sh', ['-c', /of the mirror: (chown .*)$/m.exec(result.stderr)?.[1] ?? 'false']);
      expect((await runProgram(['sync', mirror.root], { user: nobody })).exitCode).toBe(0);
    },
  );

  test('once readers see the new snapshot is a warning, and the next command records it', async () => {
    const mirror = await twoSnapshots();
    const breakIt = 'echo c >"$MIRRORLATCH_STAGING/file"; ln "$1" "$1.copy"';
    const history = mirror.state('history.jsonl');
    const result = await runProgram([
      ...['lock', mirror.root, '--id', 'c', '--', 'sh', '-c', breakIt, 'sh', history],
    ]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/history\.jsonl has a second name/);
    expect(mirror.linked('current')).toBe('c');
    await runForJson(['prune', mirror.root]);
    expect(mirror.history().at(-1)).toMatchObject({ event: 'published', id: 'c', previous: 'b' });
  });
});
