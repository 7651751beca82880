import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { type ProgramResult, runForJson, runProgram, transcript } from '../support/program.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const LINE = ['-aH', '--delay-updates', '--delete-after', '--partial-dir', '.p', '-v', '--stats'];

const oneSnapshot = mirrorsWith('first');

/** The line that tells of options which rsync does not get. */
function told({ stderr }: ProgramResult): string | undefined {
  return /^mirrorlatch: rsync runs without (.*)$/m.exec(stderr)?.[1];
}

async function synced(...words: string[]): Promise<ProgramResult> {
  const result = await runProgram(['sync', ...words]);
  expect(result.exitCode, transcript(result)).toBe(0);
  return result;
}

describe('options that a mirror does not need', () => {
  test('are told in one line by the call that brings them, a dry run too, and never again', async () => {
    const { source, root, ...mirror } = smallMirror();
    for (const more of [['--dry-run'], []]) {
      expect(told(await synced(...LINE, ...more, source, root))).toMatch(
        /^--delay-updates, --delete-after \([^;]*\); --partial-dir \([^;]*\); -v, --stats \([^;]*\)$/,
      );
    }
    expect(mirror.settings()['rsyncOptions']).toEqual([
      '-a',
      '-H',
      '--delay-updates',
      '--delete-after',
      '--partial-dir',
      '.p',
      '-v',
      '--stats',
    ]);
    expect(mirror.history().at(-1)).toMatchObject({ rsyncOptions: ['-a', '-H'] });
    mirror.change({ file: 'changed' });
    for (const words of [[...LINE, source, root], [root], [root, '--dry-run'], ['-v', root]])
      expect(told(await synced(...words)), words.join(' ')).toBeUndefined();
    expect(told(await synced('-h', ...LINE, root))).toMatch(/^-h \([^;]*\)$/);
    expect((await synced(root, '--quiet', '--', '-h')).stderr).toBe('');
  });

  test('are told by init, which keeps them, and by a first sync that published nothing', async () => {
    const { source, root } = smallMirror();
    const words = ['init', root, '--source', source, '--', '-aq', '--temp-dir=/tmp', '--no-stats'];
    const made = await runProgram(words);
    expect(made.stdout).toMatch(/^rsync gets -a$/m);
    expect(made.stdout).toMatch(/^rsync runs without -q \([^;]*\); --temp-dir \([^;]*\)$/m);
    expect((await runProgram(words)).stdout).not.toMatch(/runs without/);
    expect((await runProgram(['status', root])).stdout).toMatch(/^options +-a -q '--temp-dir=/m);
    expect(told(await synced(root))).toBeUndefined();
  });

  test('have --update among them, but in place it is refused: there a newer file would be lost', async () => {
    const mirror = smallMirror();
    const { source, root } = mirror;
    expect(told(await synced('-au', source, root))).toMatch(/^-u \(/);
    mirror.change({ file: 'taken back' });
    utimesSync(join(source, 'file'), new Date('2020-01-01'), new Date('2020-01-01'));
    await synced('-au', source, root);
    expect(readFileSync(join(root, 'current/file'), 'utf8')).toBe('taken back');
    const inPlace = `${root}2`;
    const words = ['init', inPlace, '--in-place', '--source', source, '--'];
    const refused = /--update cannot be used: a mirror has what its source has, .*newer here/;
    expectFailure(await runProgram([...words, '--update']), 64, refused);
    expect((await runProgram([...words, '--delay-updates'])).exitCode).toBe(0);
    expectFailure(await runProgram(['sync', '--update', inPlace]), 64, refused);
    await synced(inPlace);
  });
});

describe('--max-delete', () => {
  /** A mirror of ten files, of which no share is too much to lose. */
  async function tenFiles(...init: string[]): Promise<SmallMirror> {
    const mirror = smallMirror();
    mirror.change(
      Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`file-${at}`, `${at}`])),
    );
    await runForJson(['init', mirror.root, '--max-shrink', '100', ...init]);
    await runForJson(['sync', mirror.source, mirror.root]);
    return mirror;
  }

  test.each([['--keep-last=3'], ['--in-place']])(
    'is how many files may vanish (init %s), until more are allowed',
    async (mode) => {
      const mirror = await tenFiles(mode);
      const { root } = mirror;
      mirror.change({ 'file-0': null, 'file-1': null, 'file-2': null });
      const two = await runProgram(['sync', '--max-delete=2', root]);
      const why =
        /has shrunk: 3 of the files would vanish, more than the 2 that --max-delete allows/;
      expectFailure(two, 65, why, /--allow-shrink/);
      const dry = await synced('--max-delete', '0', '-n', root);
      expect(dry.stderr).toMatch(/would be refused .* more than the 0 that --max-delete allows/);
      expect(await runForJson(['sync', root, '--', '--max-delete=3'])).toMatchObject({
        outcome: 'published',
        plan: { deletedFiles: 3 },
      });
      mirror.change({ 'file-3': null });
      const none = ['sync', root, '--max-delete=-1'];
      expectFailure(await runProgram(none), 65, /1 of the files would vanish, more than the 0/);
      await synced(...none.slice(1), '--allow-shrink');
    },
  );

  test('counts no file that has only moved, is remembered, shown, and replaced for a run', async () => {
    const mirror = await tenFiles();
    const { root } = mirror;
    const made = await runProgram(['init', root, '--', '--max-delete=1']);
    expect(made.stdout).toMatch(
      /^at most 100 % of .* vanish, and at most 1 file \(--max-delete\)$/m,
    );
    expect((await runProgram(['status', root])).stdout).toMatch(
      /^shrink .* 1 file \(--max-delete\)$/m,
    );
    mirror.change({ 'file-0': null, 'moved/file-0': '0', 'file-1': null, 'moved/file-1': '1' });
    await synced(root);
    mirror.change({ 'file-2': null, 'file-3': null });
    expectFailure(await runProgram(['sync', root]), 65, /more than the 1 that --max-delete/);
    const more = await synced('--max-delete=2', root);
    expect(more.stderr).toMatch(/'--max-delete=2' replaces '--max-delete=1', which the mirror/);
  });

  test('stays in the commands that a refused loss of excluded entries gives', async () => {
    const mirror = await tenFiles('--in-place');
    const line = ['sync', mirror.root, '--exclude=/file-0', '--max-delete=5', '--stats'];
    const kept = / -- '--filter=P \/file-0' '--exclude=\/file-0' '--max-delete=5' --stats\. /;
    const gone = / -- '--exclude=\/file-0' '--max-delete=5' --stats --delete-excluded$/m;
    expectFailure(await runProgram(line), 65, /rsync exclude: file-0/, kept, gone);
  });

  test('needs a number', async () => {
    const { source, root } = smallMirror();
    for (const value of ['4k', '', 'all'])
      expectFailure(
        await runProgram(['sync', source, root, `--max-delete=${value}`]),
        64,
        new RegExp(`--max-delete cannot be "${value}"`),
        /such as --max-delete=4000/,
      );
  });
});

test('all options that cannot be used are named at once, those of the mirror too', async () => {
  const { root, ...mirror } = await oneSnapshot();
  const words = ['-abR', '--inplace', '--exlude=x', '--timeout=5', root];
  const refused = await runProgram(['sync', ...words.filter((word) => word !== '--exlude=x')]);
  expectFailure(
    refused,
    64,
    /^mirrorlatch: rsync's option -b cannot/,
    /^ {2}\S+ option -R cannot/m,
  );
  expectFailure(refused, 64, /^ {2}rsync's option --inplace cannot be used: /m);
  const unknown = await runProgram(['sync', '--bogus', ...words]);
  expectFailure(
    unknown,
    64,
    /^mirrorlatch: unknown option '--bogus'/,
    /^ {2}\S+ option -R cannot/m,
  );
  expectFailure(
    unknown,
    64,
    /^ {2}unknown option '--exlude=x'\. Did you mean --exclude\?$/m,
    /^ {2}.*--inplace cannot be/m,
  );
  const files = ['--exclude-from=none', '--filter=P /x', '--password-file=no'];
  const missing = await runProgram(['sync', root, ...files, '--inplace']);
  expectFailure(missing, 64, /--inplace cannot be used/);
  expectFailure(
    missing,
    64,
    /there is no \S+\/none$/m,
    /protects nothing$/m,
    /there is no \S+\/no$/m,
  );
  const path = mirror.state('mirror.json');
  await runForJson(['init', root, '--', '--exclude=/zz', '-z']);
  writeFileSync(path, readFileSync(path, 'utf8').replace('"--exclude=/zz"', '"-R","--backup"'));
  const remembered = await runProgram(['sync', root]);
  expectFailure(remembered, 78, /-R cannot/, /--backup cannot .* remembers these options$/m);
  expect(remembered.stderr).toMatch(/To forget these options, .*: mirrorlatch init \S+ -- -z$/m);
});
