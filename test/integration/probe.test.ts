import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { runPush } from '../support/push.ts';
import { type RsyncDaemon, startRsyncDaemon } from '../support/rsyncd.ts';
import { makeScratch } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { type SshDaemon, startSshDaemon } from '../support/sshd.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const stamp = 'project/trace/master';
const oneSnapshot = mirrorsWith('first');
const inPlace = mirrorsInPlace();
const whyNoStrace =
  spawnSync('strace', ['--version']).status === 0 ? '' : ' (not here: there is no strace)';

const scratch = makeScratch();
const served = join(scratch.path, 'served');
let rsyncd: RsyncDaemon;
let sshd: SshDaemon;

beforeAll(async () => {
  mkdirSync(served);
  rsyncd = await startRsyncDaemon([
    { name: 'open', path: served, more: ['transfer logging = yes', 'log format = %o <%f>'] },
  ]);
  sshd = await startSshDaemon();
});

afterAll(async () => {
  await rsyncd?.stop();
  await sshd?.stop();
  await scratch.remove();
});

describe('a sync whose stamps are as in current', () => {
  interface Way {
    make: (home: string) => Promise<SmallMirror>;
    words: (mirror: SmallMirror) => readonly string[];
  }
  const ways: Record<string, Way> = {
    'a local directory': { make: oneSnapshot, words: ({ source, root }) => [source, root] },
    'a mirror in place': { make: inPlace, words: ({ source, root }) => [source, root] },
    'a directory of a daemon': {
      make: async (home) => smallMirror({ home }),
      words: ({ source, root }) => [
        `${rsyncd.url('open')}/${source.slice(served.length + 1)}`,
        root,
      ],
    },
    ssh: {
      make: async (home) => smallMirror({ home }),
      words: ({ source, root }) => [`${sshd.host}:${source}`, root, '--', '-e', sshd.remoteShell],
    },
  };

  test.for(Object.entries(ways))('looks at nothing else of %s', async ([name, { make, words }]) => {
    const mirror = await make(homeOf(name));
    mirror.change({ [stamp]: 'one', 'project/trace/other': 'x' });
    const [source = '', root = '', ...rsync] = words(mirror);
    const sync = (...more: string[]) => counted(mirror, [source, root, ...more, ...rsync]);
    const probe = ['--probe', stamp];
    expect((await sync(...probe)).result['outcome']).toBe('published');
    const id = mirror.linked('current');

    mirror.change({ file: 'changed, but not the stamp' });
    const { result, calls } = await sync(...probe);
    expect(result).toMatchObject({ outcome: 'unchanged', look: 'probe', stamps: [stamp] });
    expect(calls).toEqual([expect.stringMatching(/--files-from=- .* \S+\/staging\/\.stamps\/$/)]);
    expect(mirror.linked('current')).toBe(id);
    expect(mirror.history().at(-1)).toMatchObject({ event: 'unchanged', look: 'probe' });

    mirror.change({ [stamp]: 'two' });
    expect((await sync(...probe)).result).toMatchObject({ outcome: 'published' });
    expect(difference(describeTree(mirror.source), describeTree(join(root, 'current')))).toEqual(
      [],
    );
    expect((await sync(...probe)).result).toMatchObject({ outcome: 'unchanged', look: 'probe' });
  });

  test('asks a daemon for the stamps alone', async () => {
    const mirror = smallMirror({ home: homeOf('log of the daemon') });
    mirror.change({ [stamp]: 'one', lastupdate: '1' });
    const source = `${rsyncd.url('open')}/${mirror.source.slice(served.length + 1)}`;
    const words = ['sync', source, mirror.root, '--probe', stamp, '--probe', 'lastupdate'];
    await runForJson(words);
    const before = readFileSync(rsyncd.log, 'utf8').length;
    expect(await runForJson(words)).toMatchObject({ look: 'probe' });
    const sent =
      readFileSync(rsyncd.log, 'utf8')
        .slice(before)
        .match(/(?<=send <).*(?=>)/g) ?? [];
    const place = mirror.source.slice(served.length + 1);
    expect(sent.sort()).toEqual([`${place}/lastupdate`, `${place}/${stamp}`]);
  });

  test.skipIf(whyNoStrace !== '')(
    `reads no directory of the source, nor of what is current${whyNoStrace}`,
    async () => {
      const mirror = await oneSnapshot();
      mirror.change({ [stamp]: 'one' });
      await mirror.sync('--probe', stamp);
      const trace = join(mirror.home, 'trace');
      const through = ['strace', '-f', '-qq', '-e', 'trace=getdents64', '-y', '-o', trace];
      const readIn = async (...words: string[]) => {
        const args = ['sync', mirror.root, ...words, '--json'];
        const result = await runProgram(args, { through });
        expect(result.exitCode, transcript(result)).toBe(0);
        const trees = /getdents64\(\d+<[^>]*\/(source|snapshots\/[^>]+)[/>]/;
        return readFileSync(trace, 'utf8').match(new RegExp(trees, 'g')) ?? [];
      };
      expect(await readIn('--probe', stamp)).toEqual([]);
      expect(await readIn('--no-probe')).not.toEqual([]);
    },
  );

  test('is fresh for status, but no full look: that is repeated after --probe-max-age', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ [stamp]: 'one' });
    await runForJson(['init', mirror.root, '--probe', stamp, '--probe-max-age', '1h']);
    await mirror.sync();
    age(mirror, 59 * 60);
    mirror.change({ file: 'the stamp does not tell' });
    expect(await mirror.sync()).toMatchObject({ look: 'probe' });
    expect((await runProgram(['status', mirror.root, '--max-age', '1m'])).exitCode).toBe(0);
    expect((await runProgram(['status', mirror.root])).stdout).toMatch(
      /^last +found nothing to do, by its stamps, \d+s ago$/m,
    );
    age(mirror, 2 * 60);
    const { stderr, stdout } = await runProgram(['sync', mirror.root]);
    expect(stderr).toMatch(/looking at everything: the last such look was at 20.*Z$/m);
    expect(stdout).toMatch(/^published /m);
    expect(published(mirror)).toEqual([]);
    age(mirror, 59 * 60);
    expect(await mirror.sync()).toMatchObject({ look: 'probe' });
    expect(
      (await runProgram(['sync', mirror.root, '--no-probe', '--json'])).json(),
    ).not.toHaveProperty('look');
  });

  test('repeats a full look at once that is to come from the future', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ [stamp]: 'one' });
    await mirror.sync('--probe', stamp);
    age(mirror, -3600);
    expect(await mirror.sync('--probe', stamp)).not.toHaveProperty('look');
  });

  test('keeps what was left out in mind, and prints for people what it did', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ [stamp]: 'one', large: 'x'.repeat(5000) });
    const rsync = ['--', '--max-size=4000'];
    await runForJson(['init', mirror.root, '--probe', stamp, ...rsync]);
    await mirror.sync();
    const { stdout } = await runProgram(['sync', mirror.root, '--id', 'wanted']);
    expect(stdout).toMatch(
      /^unchanged \(probe\): the stamps of \S+\/source\/ are as in \S+, so no snapshot wanted was made; last look at everything \d+s ago \(\d+\.\d s\)$/m,
    );
    const status = await runForJson(['status', mirror.root]);
    expect(status).toMatchObject({ current: { leftOut: [{ why: 'max-size', names: ['large'] }] } });
  });

  test('is one that a push brings, too', async () => {
    const mirror = smallMirror();
    mirror.change({ [stamp]: 'one' });
    const words = ['--probe', stamp];
    expect((await runPush(sshd, mirror, { words })).stdout).toMatch(/^published /m);
    mirror.change({ file: 'changed, but not the stamp' });
    expect((await runPush(sshd, mirror, { words })).stdout).toMatch(/^unchanged \(probe\): /m);
    const asJson = await runPush(sshd, mirror, { words: [...words, '--json'] });
    expect(asJson.json()).toMatchObject({ outcome: 'unchanged', look: 'probe', stamps: [stamp] });
    mirror.change({ [stamp]: 'two' });
    expect((await runPush(sshd, mirror, { words })).stdout).toMatch(/^published /m);
    expect(published(mirror)).toEqual([]);
  });
});

describe('a sync looks at everything', () => {
  /** A published mirror with a stamp, and a change that the stamp does not tell. */
  async function probed(): Promise<SmallMirror> {
    const mirror = await oneSnapshot();
    mirror.change({ [stamp]: 'one' });
    await mirror.sync('--probe', stamp);
    expect(await mirror.sync('--probe', stamp)).toMatchObject({ look: 'probe' });
    mirror.change({ file: 'the stamp does not tell' });
    return mirror;
  }

  async function expectLook(
    { root }: SmallMirror,
    why: RegExp,
    words: readonly string[] = ['--probe', stamp],
  ): Promise<void> {
    const result = await runProgram(['sync', root, '--allow-shrink', ...words]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(why);
    expect(result.stdout).toMatch(/^(published|unchanged:) /m);
  }

  test('if a stamp has other bytes of the same size and time', async () => {
    const mirror = await probed();
    const path = join(mirror.source, stamp);
    const { atime, mtime } = lstatSync(path);
    writeFileSync(path, 'two');
    utimesSync(path, atime, mtime);
    await expectLook(mirror, /looking at everything: project\/trace\/master has changed$/m);
  });

  test.for<[string, (mirror: SmallMirror) => void, RegExp]>([
    [
      'is missing at the source',
      ({ change }) => change({ [stamp]: null }),
      /the source has no file project\/trace\/master, or one of more than 256 MB$/m,
    ],
    [
      'has become a directory',
      ({ change }) => change({ [stamp]: null, [`${stamp}/file`]: 'one' }),
      /the source has no file project\/trace\/master, or one of more than 256 MB$/m,
    ],
    [
      'has become a symlink',
      ({ source, change }) => {
        change({ [stamp]: null, 'project/trace/real': 'one' });
        symlinkSync('real', join(source, stamp));
      },
      /the source has no file project\/trace\/master, or one of more than 256 MB$/m,
    ],
    [
      'is huge',
      ({ source }) => truncateSync(join(source, stamp), 257 * 1024 * 1024),
      /the source has no file project\/trace\/master, or one of more than 256 MB$/m,
    ],
  ])('if a stamp %s', async ([, change, why]) => {
    const mirror = await probed();
    change(mirror);
    await expectLook(mirror, why);
    expect(published(mirror)).toEqual([]);
  });

  test('if current has no such file, of which init warns', async () => {
    const mirror = await oneSnapshot();
    const words = ['--probe', 'a typo', '--probe', 'auto'];
    const result = await runProgram(['init', mirror.root, ...words]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/--probe 'a typo' saves nothing: there is no such file in \S+$/m);
    expect(result.stderr).toMatch(
      /--probe auto saves nothing: there is no well-known stamp in \S+$/m,
    );
    mirror.change({ [stamp]: 'one' });
    await mirror.sync();
    const known = await runProgram(['init', mirror.root, '--probe', stamp]);
    expect(known.stderr).not.toContain('saves nothing');
  });

  test('if current has no such file, or one behind a symlink', async () => {
    const mirror = await probed();
    await expectLook(mirror, /current has no file lastupdate$/m, ['--probe', 'lastupdate']);
    mkdirSync(join(mirror.source, 'real'));
    writeFileSync(join(mirror.source, 'real', 'file'), 'x');
    symlinkSync('real', join(mirror.source, 'link'));
    await mirror.sync();
    await expectLook(mirror, /current has no file link\/file$/m, ['--probe', 'link/file']);
  });

  test('if the stamps cannot be fetched, or the server knows no such option', async () => {
    const mirror = await probed();
    const PATH = standInFor('rsync', join(mirror.home, 'programs'), atStamps('exit 12'));
    const words = ['sync', mirror.root, '--probe', stamp, '--retry-delay', '0'];
    const result = await runProgram(words, { env: { PATH } });
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(
      /looking at everything: the stamps could not be read: the connec/,
    );
    expect(published(mirror)).toEqual([]);
  });

  test.for<[string, (mirror: SmallMirror) => readonly string[], RegExp]>([
    ['options of rsync', () => ['--', '--checksum'], /the last such look had other options/],
    ['defaults', () => ['--without', 'safe-links'], /the last such look had other options/],
    [
      'another source',
      ({ home, source }) => {
        cpSync(source, join(home, 'copy'), { recursive: true, preserveTimestamps: true });
        return ['--other-source'];
      },
      /the last such look was at \S+\/source\//,
    ],
  ])('with other %s than at the last full look', async ([, prepare, why]) => {
    const mirror = await probed();
    const words = prepare(mirror);
    const other = words.includes('--other-source') ? [join(mirror.home, 'copy')] : [];
    const result = await runProgram(['sync', ...other, mirror.root, '--probe', stamp, ...words]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(why);
    expect(readFileSync(join(mirror.root, 'current', 'file'), 'utf8')).toMatch(/does not tell/);
    const again = ['sync', ...other, mirror.root, '--probe', stamp, '--json', ...words];
    expect((await runProgram(again)).json(), 'the next ones are like it').toMatchObject({
      look: 'probe',
    });
  });

  test('if a file of rules has changed since, also one that another merges', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ [stamp]: 'one' });
    const [rules, merged] = [join(mirror.home, 'rules'), join(mirror.home, 'merged')];
    writeFileSync(rules, `merge ${merged}\n`);
    writeFileSync(merged, '');
    const words = ['--probe', stamp, '--', `--filter=merge ${rules}`];
    await mirror.sync(...words);
    expect(await mirror.sync(...words)).toMatchObject({ look: 'probe' });
    writeFileSync(merged, '- /file\n');
    const [, , ...rsync] = words;
    const args = ['sync', mirror.root, '--probe', stamp, '--allow-shrink', ...rsync];
    const result = await runProgram(args);
    expect(result.stderr).toMatch(/looking at everything: \S+\/merged has changed since/);
    expect(existsSync(join(mirror.root, 'current', 'file'))).toBe(false);
  });

  test('after a sync that did not finish, and goes on from it', async () => {
    const mirror = await probed();
    const PATH = standInFor(
      'rsync',
      join(mirror.home, 'programs'),
      `case "$*" in --version | *--dry-run* | *--files-from=-*) ;; *) "$program" "$@"; kill -KILL "$PPID"; exit 9 ;; esac`,
    );
    await runProgram(['sync', mirror.root], { env: { PATH } });
    await expectLook(
      mirror,
      /looking at everything: a sync did not finish[\s\S]*going on from what/,
    );
    expect(published(mirror)).toEqual([]);
  });

  test('after a rollback, although the stamps are the same', async () => {
    const mirror = await probed();
    mirror.change({ hidden: 'no stamp tells of it' });
    await mirror.sync('--no-probe');
    await runForJson(['rollback', mirror.root]);
    await expectLook(mirror, /no such look is on record for what is current/);
    expect(existsSync(join(mirror.root, 'current', 'hidden'))).toBe(true);
  });

  test('after a rollback and a lock', async () => {
    const mirror = await probed();
    await runForJson(['rollback', mirror.root]);
    await runForJson(['rollback', mirror.root, '--release']);
    await expectLook(mirror, /project\/trace\/master|no such look is on record/);
    await runProgram([
      'lock',
      mirror.root,
      '--',
      'sh',
      '-c',
      'echo own >"$MIRRORLATCH_STAGING/own"',
    ]);
    await expectLook(mirror, /no such look is on record for what is current/);
    expect(published(mirror)).toEqual([]);
  });

  test('in place, if the tree is dirty, or the gate was opened by a person since', async () => {
    const mirror = await inPlace();
    mirror.change({ [stamp]: 'one' });
    await mirror.sync('--probe', stamp);
    const before = mirror.marks();
    expect(await mirror.sync('--probe', stamp)).toMatchObject({ look: 'probe' });
    expect(mirror.marks(), 'the gate was not touched').toEqual(before);
    mirror.rewrite({ state: 'dirty' });
    await expectLook(mirror, /looking at everything: the tree may not be whole/);
    expect(await mirror.sync('--probe', stamp)).toMatchObject({ look: 'probe' });
    await runForJson(['gate', 'close', mirror.root, '--reason', 'by hand']);
    writeFileSync(mirror.tree('file'), 'by hand');
    await runForJson(['gate', 'open', mirror.root, '--clean']);
    await expectLook(mirror, /looking at everything: the gate was opened by person since/);
    expect(published(mirror)).toEqual([]);
    expect(await mirror.sync('--probe', stamp)).toMatchObject({ look: 'probe' });
  });

  test('in a dry run, which says what the probe has found and changes nothing', async () => {
    const mirror = await probed();
    const state = describeTree(mirror.root);
    const dryRun = async () => {
      const words = ['sync', mirror.root, '--dry-run', '--probe', stamp];
      const result = await runProgram(words);
      expect(result.stdout).toMatch(/^changed +file$/m);
      expect(difference(state, describeTree(mirror.root))).toEqual([]);
      return result.stderr;
    };
    expect(await dryRun()).toMatch(/the stamps of the source are the same: a sync would look no/);
    writeFileSync(join(mirror.source, stamp), 'two');
    utimesSync(join(mirror.source, stamp), 1, lstatSync(join(mirror.root, 'current', stamp)).mtime);
    expect(await dryRun()).toMatch(/would look at everything: project\/trace\/master has changed/);
    rmSync(join(mirror.source, stamp));
    expect(await dryRun()).toMatch(
      /look at everything: the source has no file project\/trace\/mas/,
    );
  });
});

test('the names of stamps are no patterns, whatever characters they have', async () => {
  const mirror = await oneSnapshot();
  const names = ['#[a-z]é; $(x)', "it's {a,b}\\", '-n', ' blank '];
  const probe = names.map((name) => `--probe=${name}`);
  mirror.change(Object.fromEntries(names.map((name) => [name, 'one'])));
  await mirror.sync(...probe);
  expect(await mirror.sync(...probe)).toMatchObject({ look: 'probe', stamps: names });
  for (const name of names) {
    mirror.change({ [name]: 'two' });
    expect(await mirror.sync(...probe), name).toMatchObject({ outcome: 'published' });
  }
});

describe('--probe auto', () => {
  test.for<[string, Record<string, string>, string[]]>([
    [
      'traces',
      { 'project/trace/a': '1', 'project/trace/b': '1', 'dists/s/InRelease': '1' },
      ['project/trace/a', 'project/trace/b'],
    ],
    ['lastupdate, without lastsync', { lastupdate: '1', lastsync: '1' }, ['lastupdate']],
    ['lastsync', { lastsync: '1', 'below/lastupdate': '1' }, ['lastsync']],
    ['a list of files', { 'fullfiletimelist-epel': '1' }, ['fullfiletimelist-epel']],
    [
      'the indexes of all suites',
      { 'dists/a/InRelease': '1', 'dists/b/InRelease': '1', 'dists/b/Release': '1' },
      ['dists/a/InRelease', 'dists/b/InRelease'],
    ],
    ['the index of a repository of rpm', { 'repodata/repomd.xml': '1' }, ['repodata/repomd.xml']],
  ])('finds %s', async ([, files, stamps]) => {
    const mirror = await oneSnapshot();
    mirror.change(files);
    await mirror.sync('--probe', 'auto');
    expect(await mirror.sync('--probe', 'auto')).toMatchObject({ look: 'probe', stamps });
  });

  test('follows no symlink, and looks at everything where it finds nothing', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ 'elsewhere/trace/a': '1' });
    symlinkSync('elsewhere', join(mirror.source, 'project'));
    await mirror.sync('--probe', 'auto');
    const { stderr } = await runProgram(['sync', mirror.root, '--probe', 'auto']);
    expect(stderr).toMatch(/looking at everything: current has no well-known stamp; name one/);
  });
});

function homeOf(name: string): string {
  const home = join(served, name);
  mkdirSync(home);
  return home;
}

/** How what is current differs from the source. */
function published({ source, root }: SmallMirror): string[] {
  return difference(describeTree(source), describeTree(join(root, 'current')));
}

/** Makes all that history records older, as if the clock had gone on; s. */
function age({ state }: SmallMirror, seconds: number): void {
  const path = state('history.jsonl');
  const text = readFileSync(path, 'utf8').replaceAll(
    /("at"|"lookedAt"):"([^"]*)"/g,
    (_, name: string, at: string) =>
      `${name}:"${new Date(Date.parse(at) - seconds * 1000).toISOString()}"`,
  );
  writeFileSync(path, text);
}

/** Limits the script of a stand-in for rsync to a look at the stamps. */
function atStamps(script: string): string {
  return `case "$*" in *--files-from=-*) ${script} ;; esac`;
}

/** Runs `sync --json` and returns, beside the result, the calls of rsync but for that of its version. */
async function counted(
  { home }: SmallMirror,
  words: readonly string[],
): Promise<{ result: Record<string, unknown>; calls: string[] }> {
  const programs = join(home, 'counted');
  const log = join(home, 'calls');
  rmSync(programs, { recursive: true, force: true });
  writeFileSync(log, '');
  const PATH = standInFor('rsync', programs, `printf '%s\\n' "$*" >>'${log}'`);
  const result = await runForJson(['sync', ...words], { env: { PATH } });
  const calls = readFileSync(log, 'utf8').trimEnd().split('\n');
  return { result, calls: calls.filter((line) => !line.endsWith('--version')) };
}
