import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { exchange } from '../../src/system/exchange.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import { mayMount, nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';

const whyNoMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';
const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

const MIB = 1024 * 1024;

const notOurs = /www is not replaced: what lies there was not put there by the mirror/;

/** A mirror that is to serve `home/www` from its next publication on. */
async function aboutToServe() {
  const mirror = smallMirror();
  const www = join(mirror.home, 'www');
  await runForJson(['init', mirror.root, '--serve-at', www]);
  const read = (directory = www) => readFileSync(join(directory, 'file'), 'utf8');
  return { ...mirror, www, read };
}

/** A mirror that serves the second of its snapshots. */
async function serving() {
  const mirror = await aboutToServe();
  for (const id of ['first', 'second']) await mirror.publish(id, { file: id });
  return mirror;
}

/** A PATH with which the snapshot that is to be served cannot be cloned. */
function withoutClone({ home }: SmallMirror): string {
  return standInFor('cp', join(home, 'without'), 'case "$*" in *+served*) exit 1 ;; esac');
}

/** Puts a directory with a file of one's own at a path. */
function putOwn(path: string): void {
  mkdirSync(path);
  writeFileSync(join(path, 'KEEP'), 'mine');
}

describe('A served directory', () => {
  test('that was filled before the first publication is kept, and is replaced once it is moved away', async () => {
    const mirror = await aboutToServe();
    putOwn(mirror.www);
    const result = await runProgram(['sync', mirror.source, mirror.root]);
    expectFailure(result, 78, notOurs, /: mirrorlatch init \S+ --no-serve-at$/m);
    expect(readdirSync(mirror.www)).toEqual(['KEEP']);
    await execa('sh', ['-c', /mv -T \S+ \S+(?=\. )/.exec(result.stderr)?.[0] ?? 'false']);
    await mirror.sync();
    expect(mirror.read()).toBe('content');
    expect(readdirSync(`${mirror.www}.old`)).toEqual(['KEEP']);
    const log = await runProgram(['sync', mirror.root, '--', `--log-file=${mirror.www}/log`]);
    expectFailure(log, 64, /rsync would write into .*\/www$/m);
  });

  test.each(['sync', 'rollback'])(
    "that somebody exchanged for one of their own is kept by '%s'",
    async (verb) => {
      const mirror = await serving();
      renameSync(mirror.www, `${mirror.www}.ours`);
      putOwn(mirror.www);
      expectFailure(await runProgram([verb, mirror.root]), 78, notOurs);
      expect(mirror.linked('current')).toBe('second');
      expect(readdirSync(mirror.www)).toEqual(['KEEP']);
      expect(mirror.read(`${mirror.www}.ours`)).toBe('second');
    },
  );

  test('keeps what somebody put into it, until that is moved away', async () => {
    const mirror = await serving();
    writeFileSync(join(mirror.www, 'HEADER.html'), 'mine');
    mkdirSync(join(mirror.www, 'below', 'uploads'));
    const rules = ['--keep-last', '1', '--grace', '0'];
    const named = /www is not replaced: HEADER\.html, below\/uploads in it were not put there by/;
    for (const id of ['third', 'fourth', 'fifth']) {
      mirror.change({ file: id });
      const result = await runProgram(['sync', mirror.root, '--id', id, ...rules]);
      expectFailure(result, 78, named, /Move that elsewhere first\. To serve/);
      expect(mirror.linked('current')).toBe('second');
    }
    expect(mirror.read()).toBe('second');
    for (const [at, name] of ['HEADER.html', 'below/uploads'].entries()) {
      renameSync(join(mirror.www, name), join(mirror.home, `mine${at}`));
    }
    await mirror.sync(...rules);
    expect(mirror.read()).toBe('fifth');
    expect(mirror.read(join(mirror.root, 'current'))).toBe('fifth');
  });

  test('that cannot be replaced keeps rollback and its hold from changing anything, also when repeated', async () => {
    const mirror = await serving();
    const mine = join(mirror.www, 'mine');
    writeFileSync(mine, 'mine');
    const settings = mirror.settings();
    for (const hold of [[], [], ['--hold', 'bad'], ['--hold', 'bad']]) {
      const result = await runProgram(['rollback', mirror.root, ...hold]);
      expectFailure(result, 78, /www is not replaced: mine in it was not put there/);
      expect(mirror.linked('current')).toBe('second');
      expect(mirror.settings()).toEqual(settings);
    }
    rmSync(mine);
    await runForJson(['rollback', mirror.root, '--hold', 'bad']);
    expect(mirror.linked('current')).toBe('first');
    expect(mirror.read()).toBe('first');
  });

  test.each([
    ['rollback', 'first'],
    ['sync', 'current'],
  ])(
    'that %s cannot fill after its flip is a problem in status, until the command that it names has run',
    async (verb, name) => {
      const mirror = await serving();
      mirror.change({ file: 'third' });
      const options = verb === 'sync' ? ['--id', 'third'] : ['--hold', 'bad'];
      const current = verb === 'sync' ? 'third' : 'first';
      const result = await runProgram([verb, mirror.root, ...options], {
        env: { PATH: withoutClone(mirror) },
      });
      expectFailure(
        result,
        74,
        new RegExp(`${current} is current, but \\S+/www still serves second: `),
      );
      expect(mirror.linked('current')).toBe(current);
      const ill = await runProgram(['status', mirror.root]);
      expect(ill.exitCode, transcript(ill)).toBe(69);
      expect(ill.stdout).toMatch(
        /^why .*\/www is a clone of another snapshot than the current one$/m,
      );
      const again = `mirrorlatch rollback ${mirror.root} ${name}`;
      expect(result.stderr).toMatch(`Once that is mended, run: ${again}`);
      await runForJson(again.split(' ').slice(1));
      expect(mirror.read()).toBe(current);
      expect(mirror.linked('current')).toBe(current);
      expect(mirror.settings()['hold'] !== undefined).toBe(verb === 'rollback');
      const cured = await runProgram(['status', mirror.root]);
      expect(cured.stdout).not.toMatch(/^why .*\/www/m);
    },
  );

  /** The paths of this name among the earlier clones. */
  function findSuperseded(mirror: SmallMirror, name: string): string[] {
    const home = mirror.state('superseded');
    return readdirSync(home)
      .map((clone) => join(home, clone, name))
      .filter((path) => existsSync(path));
  }

  /** Syncs, and expects that a file in an earlier clone stays, and that this is reported. */
  async function expectKept(mirror: SmallMirror, name: string): Promise<void> {
    const quiet = await runProgram(['sync', mirror.root, '--quiet']);
    expect(quiet.exitCode, transcript(quiet)).toBe(0);
    const [path = 'nothing'] = findSuperseded(mirror, name);
    expect(quiet.stderr).toContain(
      `${dirname(path)} was served before, and stays: ${name} in it was not put there by the mirror. Move that elsewhere`,
    );
    const ill = await runProgram(['status', mirror.root]);
    expect(ill.exitCode, transcript(ill)).toBe(69);
    expect(ill.stdout).toContain(`left     ${dirname(path)}, which was served before, has`);
  }

  /** Moves such a file elsewhere, and expects that the clone goes. */
  async function expectGoneWithout(mirror: SmallMirror, name: string): Promise<void> {
    const [path = 'nothing'] = findSuperseded(mirror, name);
    renameSync(path, join(mirror.home, name));
    await mirror.sync();
    expect(readdirSync(mirror.state('superseded'))).toEqual([]);
    const cured = await runProgram(['status', mirror.root]);
    expect(cured.exitCode, transcript(cured)).toBe(0);
  }

  test('keeps what a process puts into an earlier clone in which it stands, until that is moved away', async () => {
    const mirror = await serving();
    const script = 'read -r line; echo precious >note';
    const writer = execa('sh', ['-c', script], { cwd: mirror.www });
    const rules = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];
    for (const id of ['third', 'fourth', 'fifth']) await mirror.publish(id, { file: id }, ...rules);
    expect(mirror.snapshots()).toEqual(['fifth', 'fourth', 'second']);
    writer.stdin.write('go on\n');
    await writer;
    await expectKept(mirror, 'note');
    await expectKept(mirror, 'note');
    const { stdout } = await runProgram(['prune', mirror.root, '--dry-run', ...rules]);
    expect(stdout).toMatch(/second .*is what \S+\/superseded\/second\+\S+\.kept was made of/);
    await expectGoneWithout(mirror, 'note');
    expect(readFileSync(join(mirror.home, 'note'), 'utf8')).toBe('precious\n');
    expect(mirror.read()).toBe('fifth');
  });

  test('keeps an earlier clone whose snapshot is gone, until the command that sync and status name has run', async () => {
    const mirror = await serving();
    const reader = execa('sh', ['-c', 'read -r line'], { cwd: mirror.www });
    await mirror.publish('third', { file: 'third' });
    rmSync(join(mirror.root, 'snapshots', 'second'), { recursive: true });
    reader.stdin.write('go on\n');
    await reader;
    const commands = new Set<string | undefined>();
    for (const _ of ['marked as kept', 'kept']) {
      const quiet = await runProgram(['sync', mirror.root, '--quiet']);
      expect(quiet.exitCode, transcript(quiet)).toBe(0);
      const ill = await runProgram(['status', mirror.root]);
      expect(ill.exitCode, transcript(ill)).toBe(69);
      for (const said of [quiet.stderr, ill.stdout]) {
        expect(said).toMatch(/\/second\+\S+\.kept was served before, and .* second is gone/);
        commands.add(/mv -T .*/.exec(said)?.[0]);
      }
    }
    expect(commands.size).toBe(1);
    await execa('sh', ['-c', [...commands][0] ?? 'false'], { cwd: '/' });
    const [away = 'nothing'] = readdirSync(mirror.home).filter((name) => name.endsWith('.kept'));
    expect(mirror.read(join(mirror.home, away))).toBe('second');
    const cured = await runProgram(['status', mirror.root]);
    expect(cured.exitCode, transcript(cured)).toBe(0);
  });

  test.each(['first', 'an+id'])(
    'keeps what was put into it right before its exchange for a clone of %s, and SIGKILL',
    async (id) => {
      const mirror = await serving();
      mirror.change({ file: 'third' });
      const PATH = standInFor(
        'cp',
        join(mirror.home, 'programs'),
        'case "$*" in *+served*) "$program" "$@"; kill -KILL "$PPID"; exit ;; esac',
      );
      const verb = id === 'first' ? ['rollback', mirror.root] : ['sync', mirror.root, '--id', id];
      await runProgram(verb, { env: { PATH } });
      const clone = mirror.state('staging', `${id}+served.clone`);
      // What the program does next, up to the exchange.
      const record = JSON.parse(readFileSync(mirror.state('served'), 'utf8'));
      const { ino, birthtimeNs } = statSync(clone, { bigint: true });
      record.clones[`${ino}:${birthtimeNs}`] = id;
      writeFileSync(mirror.state('served'), JSON.stringify(record));
      writeFileSync(join(mirror.www, 'MINE'), 'mine');
      exchange(clone, mirror.www);
      await expectKept(mirror, 'MINE');
      await expectGoneWithout(mirror, 'MINE');
    },
  );

  test.each([
    ['was removed', () => {}],
    ['is a symlink now', (www: string) => symlinkSync('/tmp', www)],
    ["is somebody's now", putOwn],
  ])('that %s is a problem in status', async (_, replace) => {
    const mirror = await serving();
    rmSync(mirror.www, { recursive: true });
    replace(mirror.www);
    const ill = await runProgram(['status', mirror.root]);
    expect(ill.exitCode, transcript(ill)).toBe(69);
    expect(ill.stdout).toMatch(/^why .*\/www is not what the mirror put there$/m);
    expect(ill.stdout).toMatch(
      /^serves .*\/www, but what the mirror had put there is gone or replaced$/m,
    );
  });

  test('is not looked for where a symlink leads that took the place of its parent', async () => {
    const mirror = smallMirror();
    const [parent, victim] = ['parent', 'victim'].map((name) => join(mirror.home, name));
    if (parent === undefined || victim === undefined) throw new Error('two paths have names');
    mkdirSync(parent);
    mkdirSync(join(victim, 'www'), { recursive: true });
    await runForJson(['init', mirror.root, '--serve-at', join(parent, 'www')]);
    await mirror.publish('first', { file: 'first' });
    renameSync(parent, `${parent}.old`);
    symlinkSync(victim, parent);
    mirror.change({ file: 'second' });
    expectFailure(await runProgram(['sync', mirror.root]), 78, /parent leads to \S+\/victim now/);
    expect(readdirSync(join(victim, 'www'))).toEqual([]);
    rmSync(parent);
    expectFailure(await runProgram(['sync', mirror.root]), 78, /parent does not exist/);
    expect(mirror.linked('current')).toBe('first');
  });

  test('whose parent is gone before it was filled is a problem in status', async () => {
    const mirror = smallMirror();
    await mirror.sync();
    const parent = join(mirror.home, 'parent');
    mkdirSync(parent);
    await runForJson(['init', mirror.root, '--serve-at', join(parent, 'www')]);
    rmSync(parent, { recursive: true });
    const ill = await runProgram(['status', mirror.root]);
    expect(ill.exitCode, transcript(ill)).toBe(69);
    expect(ill.stdout).toMatch(
      /^why .*www cannot be served: the directory \S+parent does not exist$/m,
    );
  });

  test.skipIf(!nobodyRunsTheProgram || !mayMount)(
    `is not judged by status for a user who may not look there, nor where the mirror is mounted read-only${whyNotAsNobody || whyNoMount}`,
    async () => {
      const mirror = smallMirror();
      const parent = join(mirror.home, 'parent');
      mkdirSync(parent);
      await runForJson(['init', mirror.root, '--serve-at', join(parent, 'www')]);
      await mirror.publish('first', { file: 'first' });
      chmodSync(mirror.home, 0o755);
      chmodSync(parent, 0o750);
      const unseen = /^serves .*www, \? \(this user, or this host, cannot see what is there\)$/m;
      const asNobody = await runProgram(['status', mirror.root], { user: nobody });
      expect(asNobody.exitCode, transcript(asNobody)).toBe(0);
      expect(asNobody.stdout).toMatch(unseen);
      const asRoot = await runProgram(['status', mirror.root]);
      expect(asRoot.stdout, transcript(asRoot)).toMatch(/^serves .*www, a clone of first$/m);

      const client = join(mirror.home, 'client');
      mkdirSync(client);
      await execa('mount', ['--bind', '-o', 'ro', mirror.root, client]);
      renameSync(parent, `${parent}.old`);
      const onClient = await runProgram(['status', client]);
      expect(onClient.exitCode, transcript(onClient)).toBe(0);
      expect(onClient.stdout).toMatch(unseen);
      expect((await runProgram(['status', mirror.root])).exitCode).toBe(69);
    },
  );

  test('is left to its mirror by a copy of that, and follows its mirror when that is moved', async () => {
    const mirror = await serving();
    const copy = join(mirror.home, 'copy');
    await execa('cp', ['-a', mirror.root, copy]);
    mirror.change({ file: 'third' });
    const way = new RegExp(`: mirrorlatch init ${copy} --no-serve-at$`, 'm');
    const said = `www cannot be served: it is served by the mirror ${mirror.root}`;
    const before = readlinkSync(join(copy, 'current'));
    expectFailure(await runProgram(['sync', copy]), 78, new RegExp(said), way);
    expect(readlinkSync(join(copy, 'current'))).toBe(before);
    expect((await runProgram(['status', copy])).stdout).toMatch(new RegExp(`^why .*${said}$`, 'm'));
    expect(mirror.read()).toBe('second');
    await runForJson(['init', copy, '--no-serve-at']);
    await runForJson(['sync', copy]);
    expectFailure(await runProgram(['init', copy, '--serve-at', mirror.www]), 64, /a part of/);
    await mirror.publish('third', { file: 'third' });
    expect(mirror.read()).toBe('third');

    const moved = join(mirror.home, 'moved');
    renameSync(mirror.root, moved);
    mirror.change({ file: 'fourth' });
    await runForJson(['sync', moved]);
    expect(mirror.read()).toBe('fourth');
  });

  test('is known as a part of its mirror again once that was moved and synced, or its mark was removed', async () => {
    const mirror = await serving();
    const moved = join(mirror.home, 'moved');
    renameSync(mirror.root, moved);
    const mark = join(mirror.home, '.www.mirrorlatch-serves');
    for (const remove of [() => {}, () => rmSync(mark)]) {
      remove();
      expect(await runForJson(['sync', moved])).toMatchObject({ outcome: 'unchanged' });
      expect(readlinkSync(mark)).toBe(moved);
      for (const words of [[join(mirror.www, 'x')], ['z', '--serve-at', join(mirror.www, 'sub')]])
        expectFailure(
          await runProgram(['init', ...words]),
          64,
          /a part of the mirror \S+\/moved$/m,
        );
      const status = await runProgram(['status', mirror.www]);
      expectFailure(
        status,
        66,
        /no mirror/,
        /Name the mirror itself: mirrorlatch status \S+\/moved$/m,
      );
    }
  });

  test('is remembered by its real path', async () => {
    const mirror = smallMirror();
    mkdirSync(join(mirror.home, 'real'));
    symlinkSync('real', join(mirror.home, 'link'));
    await runForJson(['init', mirror.root, '--serve-at', join(mirror.home, 'link', 'www')]);
    expect(mirror.settings()).toMatchObject({ serveAt: join(mirror.home, 'real', 'www') });
    await mirror.sync();
    expect(readdirSync(join(mirror.home, 'real'))).toContain('www');
  });

  /** Runs a sync, and a script while it clones the snapshot that is to be served. */
  function syncMeanwhile({ home, root, change }: SmallMirror, script: string) {
    change({ file: 'third' });
    const whenServed = `case "$*" in *+served*) ${script} ;; esac`;
    const PATH = standInFor('cp', join(home, 'programs'), whenServed);
    return runProgram(['sync', root], { env: { PATH } });
  }

  /** Runs `init` with these options meanwhile. */
  async function changeMeanwhile(mirror: SmallMirror, options: string): Promise<void> {
    const result = await syncMeanwhile(mirror, `'${launcher}' init '${mirror.root}' ${options}`);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(mirror.linked('current')).not.toBe('second');
  }

  test('that somebody exchanges for one of their own while it is made anew is kept', async () => {
    const mirror = await serving();
    const { www } = mirror;
    const script = `mv '${www}' '${www}.ours'; mkdir '${www}'; touch '${www}/KEEP'`;
    expectFailure(await syncMeanwhile(mirror, script), 78, notOurs);
    expect(readdirSync(www)).toEqual(['KEEP']);
    expect(mirror.read(`${www}.ours`)).toBe('second');
  });

  test('into which somebody puts a file while it is made anew is kept', async () => {
    const mirror = await serving();
    const result = await syncMeanwhile(mirror, `echo mine >'${mirror.www}/below/mine'`);
    expectFailure(result, 78, /below\/mine in it was not put there/);
    expect(readFileSync(join(mirror.www, 'below', 'mine'), 'utf8')).toBe('mine\n');
    expect(mirror.read()).toBe('second');
  });

  test('that a signal leaves as it was is said not to be that of the snapshot published before it', async () => {
    const mirror = await serving();
    const result = await syncMeanwhile(mirror, 'kill -TERM "$PPID"; sleep 5');
    const id = mirror.linked('current');
    const said = /is current, but \S+www still serves second: interrupted by SIGTERM$/m;
    expectFailure(result, 143, said);
    expect(result.stderr).not.toMatch(/nothing was published|What was transferred/);
    await runForJson(['sync', mirror.root]);
    expect([mirror.linked('current'), mirror.read()]).toEqual([id, 'third']);
  });

  test('is left alone by a writer at work once it is no longer served', async () => {
    const mirror = await serving();
    await changeMeanwhile(mirror, '--no-serve-at');
    expect(mirror.read()).toBe('second');
    expect(existsSync(mirror.state('served'))).toBe(false);
    expect(readdirSync(mirror.state('staging')).filter((name) => !name.startsWith('.'))).toEqual(
      [],
    );
  });

  test('is filled by a writer at work that began with another', async () => {
    const mirror = await serving();
    const other = join(mirror.home, 'other');
    await changeMeanwhile(mirror, `--serve-at '${other}'`);
    expect(mirror.read(other)).toBe('third');
    expect(mirror.read()).toBe('second');
  });

  test('that cannot be made anew does not keep old snapshots from being pruned', async () => {
    const mirror = await serving();
    const env = { PATH: withoutClone(mirror) };
    for (const id of ['third', 'fourth', 'fifth']) {
      mirror.change({ file: id });
      const rules = ['--keep-last', '2', '--grace', '0'];
      const result = await runProgram(['sync', mirror.root, '--id', id, ...rules], { env });
      expectFailure(result, 74, /is current, but/);
    }
    expect(mirror.snapshots()).toEqual(['fifth', 'fourth', 'second']);
  });

  test('in the source, or around it, is refused by init and by sync', async () => {
    const mirror = smallMirror();
    await mirror.sync();
    const inside = join(mirror.source, 'www');
    const said = /www of --serve-at and the source .* overlap: one lies inside the other/;
    expectFailure(await runProgram(['init', mirror.root, '--serve-at', inside]), 64, said);
    expect(readdirSync(mirror.source)).not.toContain('.www.mirrorlatch-serves');

    await runForJson(['init', mirror.root, '--serve-at', join(mirror.home, 'www')]);
    const sync = ['sync', mirror.home, mirror.root, '--other-source'];
    expectFailure(await runProgram(sync), 64, /lie/);
    const around = join(mirror.home, 'www', 'below');
    mkdirSync(around, { recursive: true });
    expectFailure(await runProgram(['init', mirror.root, '--source', around]), 64, said);
    expectFailure(await runProgram(['sync', around, mirror.root, '--other-source']), 64, said);
  });

  test.skipIf(!mayMount)(
    `on another mount of the same filesystem is refused at once${whyNoMount}`,
    async () => {
      const mirror = smallMirror();
      await mirror.sync();
      const [place, view] = [join(mirror.home, 'place'), join(mirror.home, 'view')];
      for (const directory of [place, view]) mkdirSync(directory);
      await runForJson(['init', mirror.root, '--serve-at', join(view, 'www')]);
      await execa('mount', ['--bind', place, view]);
      try {
        const other = ['init', mirror.root, '--serve-at', join(view, 'other')];
        expectFailure(await runProgram(other), 64, /on another mount/);
        expectFailure(await runProgram(['sync', mirror.root]), 78, /view is on another mount/);
      } finally {
        await execa('umount', [view]);
      }
    },
  );
});

describe.skipIf(!mayMount)(`A served directory that is mounted elsewhere${whyNoMount}`, () => {
  /** Mounts the directory at `place`. @returns what ends that. */
  async function mountAt(where: string, directory: string, place: string) {
    mkdirSync(place);
    if (where === 'here') {
      await execa('mount', ['--bind', directory, place]);
      return () => execa('umount', [place]);
    }
    const script = 'mount --bind "$1" "$2" && echo up && read -r line';
    const words = ['--mount', 'sh', '-c', script, 'sh', directory, place];
    const container = execa('unshare', words);
    await once(container.stdout, 'data');
    return () => {
      container.stdin.write('go on\n');
      return container;
    };
  }

  test.each(['here', 'in a container'])(
    'is named %s by each sync and by status as long as the mount shows an earlier clone',
    async (where) => {
      const mirror = await serving();
      const view = join(mirror.home, "somebody's view");
      const unmount = await mountAt(where, mirror.www, view);
      onTestFinished(async () => void (await unmount().catch(() => {})));
      const quoted = `'${mirror.home}/somebody'\\''s view'`;
      const of = where === 'here' ? '' : ` of \\S+ \\(pid \\d+\\)`;
      const said = new RegExp(
        `the mount ${quoted.replaceAll('\\', '\\\\')}${of} still shows \\S+/second\\+\\S+, which was served before; mount the directory above`,
      );
      for (const id of ['third', 'third', 'fourth']) {
        mirror.change({ file: id });
        const result = await runProgram(['sync', mirror.root, '--quiet']);
        expect(result.exitCode, transcript(result)).toBe(0);
        expect(result.stderr).toMatch(said);
        expect(result.stderr.includes(`umount ${quoted}`)).toBe(where === 'here');
        const ill = await runProgram(['status', mirror.root]);
        expect(ill.exitCode, transcript(ill)).toBe(69);
        expect(ill.stdout).toMatch(/^why .*a mount shows what was served before/m);
        expect(ill.stdout).toMatch(said);
        expect(mirror.read()).toBe(id);
      }
      await unmount();
      await mirror.sync();
      expect(readdirSync(mirror.state('superseded'))).toEqual([]);
      const cured = await runProgram(['status', mirror.root]);
      expect(cured.exitCode, transcript(cured)).toBe(0);
    },
  );

  test('while it is empty is refused by init, and by the sync that would fill it', async () => {
    const mirror = await aboutToServe();
    mkdirSync(mirror.www);
    const unmount = await mountAt('here', mirror.www, join(mirror.home, 'view'));
    try {
      const result = await runProgram(['sync', mirror.source, mirror.root]);
      expectFailure(
        result,
        78,
        /www is not replaced: the mount \S+\/view shows it/,
        /--no-serve-at$/m,
      );
      const another = ['init', join(mirror.home, 'another'), '--serve-at', mirror.www];
      await runForJson(['init', mirror.root, '--no-serve-at']);
      expectFailure(
        await runProgram(another),
        64,
        /cannot be served: the mount \S+\/view shows it/,
      );
    } finally {
      await unmount();
    }
  });
});

describe.skipIf(whyNoLoopFilesystem !== '')(
  `A served directory on a full disk${whyNoLoopFilesystem}`,
  () => {
    /** A mirror on a disk for some 920 files, and a source of 200 directories. */
    async function onSmallDisk() {
      const disk = await makeLoopFilesystem('ext4', {
        size: 64 * MIB,
        mkfs: ['-m', '0', '-N', '960'],
      });
      onTestFinished(() => disk.remove());
      const mirror = smallMirror({ root: join(disk.path, 'mirror') });
      const www = join(disk.path, 'www');
      for (let number = 1; number <= 200; number += 1) mkdirSync(join(mirror.source, `${number}`));
      const keepFew = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];
      await runForJson(['init', mirror.root, '--serve-at', www, ...keepFew]);
      const read = () => readFileSync(join(www, 'file'), 'utf8');
      for (const id of ['first', 'second']) await mirror.publish(id, { file: id });
      return { ...mirror, disk: disk.path, read };
    }

    test('gets the room that the end of the sync would make', async () => {
      const mirror = await onSmallDisk();
      await mirror.publish('third', { file: 'third' });
      expect(mirror.read()).toBe('third');
      expect(readdirSync(join(mirror.root, 'snapshots'))).toEqual(['second', 'third']);
    });

    test('stays, and nothing is made or published twice', async () => {
      const mirror = await onSmallDisk();
      mirror.change({ file: 'third' });
      const fill = `i=0; while mkdir '${mirror.disk}'/filler$$-$i; do i=$((i+1)); done 2>/dev/null`;
      const PATH = standInFor(
        'cp',
        join(mirror.home, 'programs'),
        `case "$*" in *+served*) ${fill} ;; esac`,
      );
      const result = await runProgram(['sync', mirror.root, '--id', 'third'], { env: { PATH } });
      expectFailure(result, 74, /third is current, but .* still serves second: /, /no space/);
      expect(result.stderr.match(/transferring/g)).toHaveLength(1);
      expect([mirror.linked('current'), mirror.read()]).toEqual(['third', 'second']);
    });
  },
);

test.skipIf(!nobodyRunsTheProgram)(
  `the snapshot of a served directory that its owner cannot see any more is not pruned${whyNotAsNobody}`,
  async () => {
    const home = scratchDirectory();
    const parent = join(home, 'parent');
    mkdirSync(parent);
    await execa('chown', [`${nobody.uid}:${nobody.gid}`, home, parent]);
    const mirror = smallMirror({ home, program: { user: nobody } });
    const www = join(parent, 'www');
    await runForJson(['init', mirror.root, '--serve-at', www], { user: nobody });
    await mirror.publish('first', { file: 'first' });
    const env = { PATH: withoutClone(mirror) };
    for (const id of ['second', 'third', 'fourth']) {
      mirror.change({ file: id });
      const result = await runProgram(['sync', mirror.root, '--id', id], { env, user: nobody });
      expectFailure(result, 74, /is current, but .* still serves first/);
    }
    await execa('chown', ['root', parent]);
    chmodSync(parent, 0o700);
    const rules = ['--keep-last', '1', '--grace', '0'];
    const result = await runProgram(['prune', mirror.root, ...rules], { user: nobody });
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stdout).toMatch(new RegExp(`first .*is what ${www} was made of`));
    expect(mirror.snapshots()).toEqual(['first', 'fourth', 'third']);
  },
);

describe.skipIf(!nobodyRunsTheProgram)(
  `An earlier clone of a served directory, where other users read it${whyNotAsNobody}`,
  () => {
    test('stays for its readers during the grace time, because its owner cannot see them', async () => {
      const home = scratchDirectory();
      await execa('chown', [`${nobody.uid}:${nobody.gid}`, home]);
      const mirror = smallMirror({ home, program: { user: nobody } });
      const www = join(home, 'www');
      await runForJson(['init', mirror.root, '--serve-at', www], { user: nobody });
      await mirror.publish('first', { file: 'first' });
      const reader = execa('sh', ['-c', 'read -r line; cat file'], { cwd: www });
      await mirror.publish('second', { file: 'second' });
      await mirror.publish('third', { file: 'third' });
      // Its `..` entry changes when a directory moves, which asks for permission to write to it.
      chmodSync(mirror.source, 0o555);
      await mirror.publish('fourth', { file: 'fourth' });
      await mirror.publish('fifth', { file: 'fifth' });
      expect(readFileSync(join(www, 'file'), 'utf8')).toBe('fifth');
      expect(statSync(www).mode & 0o777).toBe(0o555);
      reader.stdin.write('go on\n');
      expect((await reader).stdout).toBe('first');
      const superseded = () => readdirSync(mirror.state('superseded'));
      expect(superseded()).toHaveLength(4);
      await mirror.sync('--grace', '0');
      expect(superseded()).toEqual([]);

      await runForJson(['init', mirror.root, '--no-serve-at'], { user: nobody });
      for (const verb of ['--adopt', '--unadopt'])
        await runForJson(['init', `${www}.mirror`, verb, www], { user: nobody });
      expect(statSync(www).mode & 0o777).toBe(0o555);
    });
  },
);
