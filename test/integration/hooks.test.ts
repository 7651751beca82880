import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { sync } from '../../src/index.ts';
import { processesWithVariables } from '../../src/system/proc.ts';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { inPlaceMirror } from '../support/in-place-mirror.ts';
import { type ProgramOptions, runProgram, startProgram, transcript } from '../support/program.ts';
import { bin, launcher } from '../support/project.ts';
import { runPush } from '../support/push.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { type SshDaemon, startSshDaemon } from '../support/sshd.ts';

const PHASES = ['before-sync', 'before-publish', 'after-publish', 'on-failure', 'on-recovery'];

const twoSnapshots = mirrorsWith('first', 'second');

/** What a hook has been given. */
interface Heard {
  readonly input: Record<string, unknown>;
  readonly variables: Readonly<Record<string, string>>;
  readonly cwd: string;
}

interface HookedMirror extends SmallMirror {
  readonly file: string;
  /** Runs mirrorlatch with the configuration of the hooks. */
  run(...words: string[]): ReturnType<typeof runProgram>;
  start(...words: string[]): ReturnType<typeof startProgram>;
  /** What hooks have been given since the last call, in turn. */
  heard(): Heard[];
  /** The phases of these. */
  phases(): string[];
  /** Writes the configuration anew. */
  configure(hooks: Readonly<Record<string, string>>, ...lines: string[]): void;
}

/**
 * A mirror `m` with hooks that note what they are given.
 *
 * @param hooks what those of some phases do then, as a line for sh.
 */
function hooked(
  mirror: SmallMirror,
  hooks: Readonly<Record<string, string>> = {},
  ...lines: string[]
): HookedMirror {
  const home = realpathSync(mirror.home);
  const [file, said, note] = [join(home, 'hooks.toml'), join(home, 'said'), join(home, 'note')];
  const script = [
    '#!/bin/sh',
    `exec 9>>'${said}'`,
    'flock 9',
    '{ cat; pwd; env -0 | tr "\\n\\0" " \\n" | grep ^MIRRORLATCH_; printf "\\f"; } >&9',
    'exec 9>&-',
  ].join('\n');
  writeFileSync(note, `${script}\n`);
  chmodSync(note, 0o755);
  writeFileSync(said, '');
  const configure = (does: Readonly<Record<string, string>>, ...more: string[]): void => {
    const keys = PHASES.map((phase) => {
      const line = `'${note}' && { ${does[phase] ?? 'true'}; }`;
      return `${phase} = ${JSON.stringify(line)}`;
    });
    const table = ['[mirrors.m]', `root = "${mirror.root}"`, `source = "${mirror.source}/"`];
    writeFileSync(file, [...table, ...keys, ...more].join('\n'));
  };
  configure(hooks, ...lines);
  let read = 0;
  const heard = (): Heard[] => {
    const texts = readFileSync(said, 'utf8').split('\f').slice(0, -1);
    const news = texts.slice(read).map((text) => {
      const [input = '', cwd = '', ...variables] = text.trim().split('\n');
      const pairs = variables.map((line) => line.split(/=(.*)/s).slice(0, 2));
      return { input: JSON.parse(input), cwd, variables: Object.fromEntries(pairs) };
    });
    read = texts.length;
    return news;
  };
  const options: ProgramOptions = { env: { MIRRORLATCH_CONFIG: file } };
  return {
    ...mirror,
    home,
    file,
    run: (...words) => runProgram(words, options),
    start: (...words) => startProgram(words, options),
    heard,
    phases: () => heard().map(({ input }) => String(input['phase'])),
    configure,
  };
}

/** A mirror that its hooks have seen from the first sync on. */
function fresh(hooks: Readonly<Record<string, string>> = {}, ...lines: string[]): HookedMirror {
  return hooked(smallMirror(), hooks, ...lines);
}

async function expectSuccess(running: ReturnType<typeof runProgram>) {
  const result = await running;
  expect(result.exitCode, transcript(result)).toBe(0);
  return result;
}

describe('the hooks of a sync', () => {
  test('run in turn, and hear of the snapshot by their input, their environment and where they stand', async () => {
    const mirror = hooked(await twoSnapshots());
    mirror.change({ file: 'third' });
    await expectSuccess(mirror.run('sync', 'm', '--id', 'third'));
    const root = realpathSync(mirror.root);
    const [sync, publish, published, ...more] = mirror.heard();
    expect(more).toEqual([]);
    const common = { name: 'm', root, command: 'sync', channel: 'current', id: 'third' };
    const second = join(root, 'snapshots/second');
    expect(sync?.input).toMatchObject({ ...common, phase: 'before-sync', previous: 'second' });
    expect(sync?.cwd).toBe(second);
    expect(publish?.input).toMatchObject({
      ...common,
      phase: 'before-publish',
      previous: 'second',
      tree: join(root, '.mirrorlatch/staging/third'),
      figures: { files: 2, newFiles: 1, deletedFiles: 0 },
      failure: null,
    });
    expect(publish?.cwd).toBe(join(root, '.mirrorlatch/staging/third'));
    expect(published?.cwd).toBe(join(root, 'snapshots/third'));
    expect(published?.input).toMatchObject({
      ...common,
      phase: 'after-publish',
      tree: published?.cwd,
    });
    expect(published?.variables).toMatchObject({
      MIRRORLATCH_PHASE: 'after-publish',
      MIRRORLATCH_NAME: 'm',
      MIRRORLATCH_ROOT: root,
      MIRRORLATCH_COMMAND: 'sync',
      MIRRORLATCH_CHANNEL: 'current',
      MIRRORLATCH_ID: 'third',
      MIRRORLATCH_PREVIOUS: 'second',
      MIRRORLATCH_TREE: join(root, 'snapshots/third'),
      MIRRORLATCH_CODE: '',
      MIRRORLATCH_MESSAGE: '',
    });
  });

  test('are only that before it, if nothing is new', async () => {
    const mirror = hooked(await twoSnapshots());
    await expectSuccess(mirror.run('sync', 'm'));
    expect(mirror.phases()).toEqual(['before-sync']);
  });

  test('I8: publish nothing if that before it fails, and rsync is not even started', async () => {
    const mirror = hooked(await twoSnapshots(), { 'before-sync': 'echo no disk >&2; exit 3' });
    mirror.change({ file: 'third' });
    const result = await mirror.run('sync', 'm', '--id', 'third', '--quiet');
    expectFailure(
      result,
      69,
      /the hook before-sync of \S+ ended with 3: no disk; nothing was published$/m,
      /It is the key before-sync \(\S+hooks\.toml, line 4\)\. To go on without any hook: --no-hooks$/m,
    );
    expect(mirror.linked('current')).toBe('second');
    expect(mirror.history().at(-1)).toMatchObject({ event: 'failed', code: 'HOOK_FAILED' });
    expect(existsSync(mirror.state('logs/third.log'))).toBe(false);
    expect(mirror.phases()).toEqual(['before-sync', 'on-failure']);
  });

  test('I8: publish nothing if that before the publication fails; what was transferred is kept', async () => {
    const mirror = hooked(await twoSnapshots(), { 'before-publish': 'test ! -e bad' });
    mirror.change({ bad: 'not yet', big: 'x'.repeat(100_000) });
    const refused = await mirror.run('sync', 'm');
    expectFailure(refused, 69, /the hook before-publish of \S+ ended with 1/);
    expect(refused.stderr).not.toMatch(/^mirrorlatch: publishing$/m);
    expect(refused.stderr).toMatch(/: the sync failed: running the hook on-failure$/m);
    expect(mirror.snapshots()).toEqual(['first', 'second']);
    const explained = await mirror.run('explain', 'm');
    expect(explained.stdout).toMatch(
      /ended with 69, HOOK_FAILED: the hook before-publish of .*\n +\$ mirrorlatch config show /,
    );
    expect(explained.stdout.replaceAll(/\s+/g, ' ')).toMatch(
      /No: the last sync or lock failed: the hook before-publish of \S+ ended with 1\./,
    );
    mirror.change({ bad: null });
    const { stdout } = await expectSuccess(mirror.run('sync', 'm', '--json', '--id', 'third'));
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'published', previous: 'second' });
    expect(mirror.history().at(-1)).toMatchObject({ newBytes: 0 });
  });

  test('none runs with --no-hooks', async () => {
    const mirror = hooked(await twoSnapshots(), { 'before-sync': 'false' });
    mirror.change({ file: 'third' });
    await expectSuccess(mirror.run('sync', 'm', '--no-hooks'));
    expect(mirror.phases()).toEqual([]);
  });

  test('after its publication, a failure is told and recorded, and the sync has succeeded', async () => {
    const mirror = hooked(await twoSnapshots(), { 'after-publish': 'echo purged nothing; exit 4' });
    mirror.change({ file: 'third' });
    const { stderr } = await expectSuccess(mirror.run('sync', 'm', '--id', 'third', '--quiet'));
    expect(stderr).toMatch(
      /^mirrorlatch: warning: the hook after-publish of \S+ ended with 4: purged nothing$/m,
    );
    expect(mirror.history().slice(-2)).toMatchObject([
      { event: 'published', id: 'third' },
      { event: 'hook-failed', phase: 'after-publish', snapshot: 'third' },
    ]);
    const look = async () => (await mirror.run('explain', 'm')).stdout;
    expect(await look()).toMatch(/Which hooks failed\?\n .* for third: the hook after-publish of/);
    expect((await mirror.run('history', 'm')).stdout).toMatch(/hook failed .* after-publish of /);
    const status = async () => (await mirror.run('status', 'm')).stdout;
    expect(await status()).toMatch(/^hook .* ago: the hook after-publish of .*: purged nothing$/m);
    mirror.configure({});
    mirror.change({ file: 'fourth' });
    await expectSuccess(mirror.run('sync', 'm'));
    expect(await look()).not.toContain('Which hooks failed?');
    expect(await status()).not.toMatch(/^hook/m);
  });

  test('hear of a failure before the work, and of the recovery, which finds nothing new', async () => {
    const mirror = hooked(await twoSnapshots());
    mirror.change({ file: null, 'below/file': null, below: null });
    expectFailure(await mirror.run('sync', 'm', '--id', 'empty'), 65);
    expect(mirror.heard().at(-1)).toMatchObject({
      input: {
        phase: 'on-failure',
        id: 'empty',
        previous: 'second',
        failure: { code: 'SHRUNKEN_SOURCE', message: expect.stringContaining('no file left') },
      },
      variables: { MIRRORLATCH_CODE: 'SHRUNKEN_SOURCE', MIRRORLATCH_ID: 'empty' },
      cwd: realpathSync(join(mirror.root, 'snapshots/second')),
    });
    mirror.change({ file: 'second', 'below/file': 'content below' });
    await expectSuccess(mirror.run('sync', 'm'));
    const recovery = mirror.heard().at(-1);
    expect(recovery?.input).toMatchObject({
      phase: 'on-recovery',
      failure: { code: 'SHRUNKEN_SOURCE' },
    });
    await expectSuccess(mirror.run('sync', 'm'));
    expect(mirror.phases()).toEqual(['before-sync']);
  });

  test('hear of what a check found', async () => {
    const mirror = hooked(await twoSnapshots(), {}, 'check = "auto"');
    mirror.change({ SHA256SUMS: `${'0'.repeat(64)}  file\n` });
    await mirror.run('sync', 'm', '--retries', '0');
    // The hook before the publication is not asked about a tree that is wrong.
    const heard = mirror.heard();
    expect(heard.map(({ input }) => input['phase'])).toEqual(['before-sync', 'on-failure']);
    expect(heard.at(-1)?.input['failure']).toMatchObject({
      code: 'CHECK_FAILED',
      findings: [{ name: 'file', by: 'SHA256SUMS' }],
    });
  });

  test('hear of a failure that comes before the lock', async () => {
    const mirror = hooked(await twoSnapshots());
    mirror.configure({}, `rsync-options = ["--include-from=${mirror.home}/missing"]`);
    expectFailure(await mirror.run('sync', 'm'), 78);
    expect(mirror.phases()).toEqual(['on-failure']);
  });
});

describe('the other writers have the same hooks:', () => {
  test('lock', async () => {
    const mirror = hooked(await twoSnapshots());
    const fill = 'echo third >"$MIRRORLATCH_STAGING/file"';
    await expectSuccess(mirror.run('lock', 'm', '--', 'sh', '-c', fill));
    const heard = mirror.heard();
    expect(heard.map(({ input }) => input['command'])).toEqual(['lock', 'lock', 'lock']);
    expect(heard.map(({ input }) => input['phase'])).toEqual(PHASES.slice(0, 3));
    mirror.configure({ 'before-publish': 'exit 1' });
    expectFailure(
      await mirror.run('lock', 'm', '--', 'sh', '-c', `${fill}.`),
      125,
      /the hook before-publish/,
    );
    expect(mirror.phases()).toEqual(['before-sync', 'before-publish', 'on-failure']);
  });

  test('rollback, which changes nothing if one refuses, not even the hold', async () => {
    const mirror = hooked(await twoSnapshots());
    await expectSuccess(mirror.run('rollback', 'm'));
    expect(mirror.heard().map(({ input }) => input)).toMatchObject([
      { phase: 'before-publish', command: 'rollback', id: 'first', previous: 'second' },
      { phase: 'after-publish', command: 'rollback', id: 'first', previous: 'second' },
    ]);
    mirror.configure({ 'before-publish': 'exit 1' });
    const words = ['rollback', 'm', 'second', '--hold', 'why not'];
    expectFailure(await mirror.run(...words), 69, /the hook before-publish of \S+ ended with 1/);
    expect(mirror.linked('current')).toBe('first');
    expect(mirror.settings()['hold']).toBeUndefined();
    await expectSuccess(mirror.run(...words, '--no-hooks'));
    expect(mirror.linked('current')).toBe('second');
  });

  test('promote, and the rules that move channels', async () => {
    const mirror = hooked(await twoSnapshots());
    await expectSuccess(mirror.run('promote', 'm', '--to', 'production'));
    expect(mirror.heard().map(({ input }) => input)).toMatchObject([
      { phase: 'before-publish', command: 'promote', channel: 'production', id: 'second' },
      { phase: 'after-publish', command: 'promote', channel: 'production', previous: null },
    ]);
    const refuse = { 'before-publish': 'test "$MIRRORLATCH_CHANNEL" != testing' };
    mirror.configure(refuse, 'channels = { testing = "current after 0" }');
    mirror.change({ file: 'third' });
    const refused = await expectSuccess(mirror.run('sync', 'm', '--id', 'third'));
    expect(refused.stderr).toMatch(/: running the hook before-publish$/m);
    expect(refused.stderr).toMatch(/: running the hook before-publish, for testing$/m);
    expect(refused.stderr).toMatch(
      /warning: the hook before-publish of \S+, for testing, ended with 1/,
    );
    expect(existsSync(join(mirror.root, 'testing'))).toBe(false);
    expect(mirror.phases()).toEqual([
      'before-sync',
      'before-publish',
      'before-publish',
      'after-publish',
    ]);
    mirror.configure({}, 'channels = { testing = "current after 0" }');
    await expectSuccess(mirror.run('prune', 'm'));
    expect(mirror.heard().map(({ input }) => input)).toMatchObject([
      { phase: 'before-publish', command: 'prune', channel: 'testing', id: 'third' },
      { phase: 'after-publish', command: 'prune', channel: 'testing', id: 'third' },
    ]);
  });

  test('keep a channel from the move by its rule, which is on record until it is moved, and no other channel', async () => {
    const rules = 'channels = { lab = "current after 0", testing = "current after 0" }';
    const mirror = hooked(await twoSnapshots(), {}, rules);
    await expectSuccess(mirror.run('prune', 'm'));
    mirror.configure({ 'before-publish': 'test "$MIRRORLATCH_CHANNEL" != lab' }, rules);
    mirror.change({ file: 'third' });
    const why = /the hook before-publish of \S+, for lab, ended with 1; lab stays at second/;
    const { stderr } = await expectSuccess(mirror.run('sync', 'm', '--id', 'third', '--quiet'));
    expect(stderr).toMatch(why);
    expect(stderr).not.toContain('nothing was published');
    const named = (channel: string) => basename(readlinkSync(join(mirror.root, channel)));
    expect(['lab', 'testing'].map(named)).toEqual(['second', 'third']);
    expect(mirror.history().filter(({ event }) => event === 'hook-failed')).toMatchObject([
      { phase: 'before-publish', snapshot: 'third', channel: 'lab' },
    ]);
    const [status, explained] = [await mirror.run('status', 'm'), await mirror.run('explain', 'm')];
    const agrees =
      /lab is second, .* next third once the hook before-publish agrees, which said no \d+s ago/;
    expect(status.stdout).toMatch(agrees);
    expect(status.stdout.split('\n').filter((line) => /^hook/.test(line))).toMatchObject([
      expect.stringMatching(why),
    ]);
    const told = explained.stdout.replaceAll(/\s+/g, ' ');
    expect(told).toMatch(agrees);
    expect(told).toMatch(why);
    expectFailure(
      await mirror.run('promote', 'm', '--to', 'lab'),
      69,
      /for lab, ended with 1; lab stays at second\n/,
    );
    await expectSuccess(mirror.run('rollback', 'm', '--channel', 'lab', 'second', '--hold', 'why'));
    expect((await mirror.run('status', 'm')).stdout).not.toMatch(/^hook|agrees/m);
    await expectSuccess(mirror.run('rollback', 'm', '--channel', 'lab', '--release'));
    expect((await mirror.run('status', 'm')).stdout).toMatch(agrees);
    await expectSuccess(mirror.run('sync', 'm', '--no-hooks'));
    expect((await mirror.run('status', 'm')).stdout).not.toMatch(/^hook|agrees/m);
  });

  test('a sync in place, before whose publication readers are kept out', async () => {
    const mirror = fresh({ 'before-publish': '! grep -q bad file' }, 'in-place = true');
    await expectSuccess(mirror.run('init', 'm'));
    await expectSuccess(mirror.run('sync', 'm'));
    const tree = realpathSync(join(mirror.root, 'gate/live'));
    const heard = mirror.heard();
    expect(heard.map(({ input }) => [input['phase'], input['id']])).toEqual([
      ['before-sync', 'live'],
      ['before-publish', 'live'],
      ['after-publish', 'live'],
    ]);
    expect(heard.slice(1).map(({ cwd }) => cwd)).toEqual([tree, tree]);
    mirror.change({ file: 'bad' });
    const result = await mirror.run('sync', 'm');
    expectFailure(result, 69, /the hook before-publish of \S+ ended with 1$/m);
    expect(inPlaceMirror(mirror).record().state).toBe('dirty');
    expect(mirror.heard().at(-1)).toMatchObject({
      input: { phase: 'on-failure', tree: null },
      cwd: realpathSync(mirror.root),
    });
    mirror.change({ file: 'well' });
    await expectSuccess(mirror.run('sync', 'm'));
    expect(inPlaceMirror(mirror).record().state).toBe('open');
    expect(mirror.phases().at(-1)).toBe('on-recovery');
  });

  test('sync --all, each mirror its own', async () => {
    const [a, b] = [fresh(), fresh({ 'before-sync': 'false' })];
    for (const mirror of [a, b]) await expectSuccess(mirror.run('init', 'm'));
    const both = [a, b].map(({ file }, at) =>
      readFileSync(file, 'utf8').replace('[mirrors.m]', `[mirrors.m${at}]`),
    );
    writeFileSync(a.file, both.join('\n'));
    const result = await a.run('sync', '--all', '--jobs', '2');
    expect(result.exitCode, transcript(result)).toBe(69);
    expect(result.stderr).toMatch(/^mirrorlatch: m1: the hook before-sync /m);
    expect(a.phases()).toEqual(PHASES.slice(0, 3));
    expect(b.phases()).toEqual(['before-sync', 'on-failure']);
  });
});

describe('a push', () => {
  let sshd: SshDaemon;
  beforeAll(async () => {
    sshd = await startSshDaemon();
  });
  afterAll(() => sshd.stop());

  test('has the hooks of the host where the mirror is', async () => {
    const mirror = hooked(await twoSnapshots(), { 'before-publish': 'test ! -e bad' });
    const remote = `MIRRORLATCH_CONFIG='${mirror.file}' ${process.execPath} '${bin}'`;
    const words = ['--remote-program', remote];
    mirror.change({ file: 'third' });
    const result = await runPush(sshd, mirror, { words });
    expect(result.exitCode, transcript(result)).toBe(0);
    const heard = mirror.heard();
    expect(heard.map(({ input }) => input['phase'])).toEqual(PHASES.slice(0, 3));
    expect(heard.map(({ input }) => input['command'])).toEqual(['push', 'push', 'push']);
    mirror.change({ bad: 'not yet' });
    expectFailure(await runPush(sshd, mirror, { words }), 69, /the hook before-publish of /);
    const denied = await runPush(sshd, mirror, { words: [...words, '--no-hooks'] });
    expectFailure(denied, 64, /--no-hooks needs a ROOT on this host/);
  });
});

describe('a hook', () => {
  test('that takes too long is ended with all that it has started', async () => {
    // What ignores SIGTERM gets SIGKILL.
    const slow = `trap '' TERM; SLOW=$$ sleep 1000 & SLOW=$$ sleep 1000`;
    const mirror = hooked(await twoSnapshots(), { 'before-sync': slow }, 'hook-timeout = "1s"');
    const result = await mirror.run('sync', 'm');
    const took = /the hook before-sync of \S+ took longer than 1 s, and was ended/;
    expectFailure(
      result,
      69,
      took,
      /give it more time by hook-timeout\. It is the key before-sync/,
    );
    expect(sleepersOf(mirror)).toEqual([]);
  });

  test.each(['before-publish', 'after-publish'])(
    'of %s is ended when mirrorlatch is interrupted',
    async (phase) => {
      const mirror = hooked(await twoSnapshots(), { [phase]: 'sleep 1000 & sleep 1000' });
      mirror.change({ file: 'third' });
      const running = mirror.start('sync', 'm', '--id', 'third');
      await eventually(() => expect(sleepersOf(mirror).length).toBeGreaterThanOrEqual(2));
      running.kill('SIGTERM');
      const result = await running.result;
      expect(sleepersOf(mirror)).toEqual([]);
      const isPublished = phase === 'after-publish';
      expect(result.exitCode, transcript(result)).toBe(isPublished ? 0 : 143);
      expect(mirror.linked('current')).toBe(isPublished ? 'third' : 'second');
      const last = isPublished
        ? { event: 'hook-failed', message: expect.stringContaining('interrupted') }
        : { event: 'failed', code: 'SIGTERM' };
      expect(mirror.history().at(-1)).toMatchObject(last);
    },
  );

  test('I9: during which the sync is killed keeps nobody from the next one', async () => {
    const mirror = hooked(await twoSnapshots(), { 'before-publish': 'sleep 1000 & sleep 1000' });
    mirror.change({ file: 'third' });
    const running = mirror.start('sync', 'm', '--id', 'third');
    onTestFinished(() => {
      for (const pid of sleepersOf(mirror)) process.kill(pid, 'SIGKILL');
    });
    await eventually(() => expect(sleepersOf(mirror).length).toBeGreaterThanOrEqual(2));
    running.kill('SIGKILL');
    await running.result;
    mirror.configure({});
    await expectSuccess(mirror.run('sync', 'm', '--id', 'fourth'));
    expect(mirror.snapshots()).toEqual(['first', 'fourth', 'second']);
  });

  test('I9: of a mirror in place, which a killed sync leaves behind, is named by the next one', async () => {
    const home = scratchDirectory();
    const mirror = hooked(smallMirror({ home }), { 'before-publish': 'sleep 1000 & sleep 1000' });
    await expectSuccess(runProgram(['init', mirror.root, '--in-place']));
    onTestFinished(() => {
      for (const pid of sleepersOf(mirror)) process.kill(pid, 'SIGKILL');
    });
    const running = mirror.start('sync', 'm');
    await eventually(() => expect(sleepersOf(mirror).length).toBeGreaterThanOrEqual(2));
    running.kill('SIGKILL');
    await running.result;
    mirror.configure({});
    // What the hook has started goes on, and is a reader as any.
    expectFailure(await mirror.run('sync', 'm', '--drain', '0'), 75, /readers are inside: .*sleep/);
    for (const pid of sleepersOf(mirror)) process.kill(pid, 'SIGKILL');
    await expectSuccess(mirror.run('sync', 'm'));
    expect(inPlaceMirror(mirror).record()).toMatchObject({ state: 'open' });
  });

  test('before the publication cannot wait for the writer that waits for it', async () => {
    const again = `'${launcher}' sync m --wait 1h`;
    const mirror = hooked(await twoSnapshots(), { 'before-publish': again });
    mirror.change({ file: 'third' });
    expectFailure(
      await mirror.run('sync', 'm'),
      69,
      /is locked: this runs inside `sync` of that mirror, and would wait for itself/,
    );
  });

  test('after the publication may write to the mirror', async () => {
    const promote = `[ "$MIRRORLATCH_CHANNEL" != current ] || '${launcher}' promote m --to tested`;
    const mirror = hooked(await twoSnapshots(), { 'after-publish': promote });
    mirror.change({ file: 'third' });
    await expectSuccess(mirror.run('sync', 'm', '--id', 'third'));
    expect(realpathSync(join(mirror.root, 'tested'))).toMatch(/\/snapshots\/third$/);
  });

  test('I5: stands in a snapshot that no prune removes', async () => {
    const [go, here] = ['go', 'here'].map((name) => join(scratchDirectory(), name));
    const waits = `case $MIRRORLATCH_ID in third) cd /; touch ${here}; until [ -e ${go} ]; do sleep 0.1; done; test -e "$MIRRORLATCH_TREE/file"; esac`;
    const mirror = hooked(await twoSnapshots(), { 'after-publish': waits });
    mirror.change({ file: 'third' });
    const running = mirror.start('sync', 'm', '--id', 'third');
    await eventually(() => expect(existsSync(String(here))).toBe(true));
    for (const id of ['fourth', 'fifth']) {
      mirror.change({ file: id });
      const keep = ['--keep-last', '1', '--grace', '0'];
      await expectSuccess(mirror.run('sync', 'm', '--id', id, ...keep));
    }
    await expectSuccess(mirror.run('prune', 'm', '--keep-last', '1', '--grace', '0'));
    expect(mirror.snapshots()).toEqual(['fifth', 'fourth', 'third']);
    writeFileSync(String(go), '');
    const result = await running.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).not.toContain('warning');
    await expectSuccess(mirror.run('prune', 'm', '--keep-last', '1', '--grace', '0'));
    expect(mirror.snapshots()).not.toContain('third');
  });

  test('need not read its input, however long that is', async () => {
    const mirror = hooked(await twoSnapshots());
    // More than a pipe holds.
    const excludes = Array.from({ length: 9_000 }, (_, at) => `"--exclude=/left-out-${at}"`);
    mirror.configure({}, `rsync-options = [${excludes.join(', ')}]`);
    const text = readFileSync(mirror.file, 'utf8');
    writeFileSync(
      mirror.file,
      text.replace(/^before-publish = .*$/m, 'before-publish = "exec <&-"'),
    );
    mirror.change({ file: 'third' });
    await expectSuccess(mirror.run('sync', 'm', '--id', 'third'));
    const { input } = mirror.heard().at(-1) ?? {};
    expect(JSON.stringify(input).length).toBeGreaterThan(64 * 1024);
  });

  test('may say much, and may leave something running', async () => {
    const mirror = hooked(await twoSnapshots());
    const busy = 'yes "a line" | head -n 100000; printf "%02000d\\n" 7; sleep 1000 & echo the end';
    const text = readFileSync(mirror.file, 'utf8');
    const quiet = text.replace(/^before-sync = .*$/m, `before-sync = ${JSON.stringify(busy)}`);
    writeFileSync(mirror.file, quiet);
    onTestFinished(() => {
      for (const pid of sleepersOf(mirror)) process.kill(pid, 'SIGKILL');
    });
    const { stderr } = await expectSuccess(mirror.run('sync', 'm'));
    const lines = stderr
      .split('\n')
      .filter((line) => line.startsWith('mirrorlatch: before-sync: '));
    expect(lines).toHaveLength(201);
    expect(lines.at(-1)).toBe('mirrorlatch: before-sync: … and 99802 more lines');
    expect(sleepersOf(mirror)).toHaveLength(1);
  });

  test('is run without a shell if it is given as words, and one that is not there fails', async () => {
    const mirror = hooked(await twoSnapshots());
    const withWords = (words: string[]): void => {
      const text = readFileSync(mirror.file, 'utf8');
      const line = `before-sync = ${JSON.stringify(words)}`;
      writeFileSync(mirror.file, text.replace(/^before-sync = .*$/m, line));
    };
    withWords(['/bin/echo', '$HOME', 'a  b']);
    const { stderr } = await expectSuccess(mirror.run('sync', 'm'));
    expect(stderr).toContain('before-sync: $HOME a  b\n');
    withWords(['no-such-program']);
    expectFailure(
      await mirror.run('sync', 'm'),
      69,
      /the hook before-sync of \S+ ended with 12[67]: .*no-such-program/,
    );
  });
});

test('a program gives its own hooks with a call, and hears what they say', async () => {
  const { source, root } = await twoSnapshots();
  const events: unknown[] = [];
  const hooks = { commands: { 'before-sync': ['sh', '-c', 'echo "$MIRRORLATCH_NAME"; exit 5'] } };
  const onEvent = (event: unknown) => void events.push(event);
  await expect(sync({ root, source, hooks, onEvent })).rejects.toMatchObject({
    code: 'HOOK_FAILED',
    exitCode: 69,
    message: expect.stringContaining('ended with 5'),
  });
  expect(events).toContainEqual({ kind: 'notice', message: `before-sync: ${root}` });
});

test('config check finds a phase that there is not, and names the nearest', async () => {
  const mirror = fresh();
  mkdirSync(mirror.home, { recursive: true });
  writeFileSync(mirror.file, '[mirrors.m]\nroot = "/srv/m"\nbefore-publsh = "true"\n');
  const result = await mirror.run('config', 'check');
  expect(result.exitCode, transcript(result)).toBe(78);
  expect(result.stderr).toMatch(
    /line 3: there is no key before-publsh .*\n.*Did you mean before-publish\?/,
  );
});

test('config show lists the hooks in force', async () => {
  const mirror = fresh();
  const { stdout } = await expectSuccess(mirror.run('config', 'show', 'm'));
  for (const phase of PHASES)
    expect(stdout).toMatch(new RegExp(`^${phase} .*\\s.*hooks\\.toml, line`, 'm'));
  expect(stdout).toMatch(/^hook-timeout +"10m" +default$/m);
});

/** The processes sleep(1) that the hooks of a mirror have started. */
function sleepersOf({ file }: HookedMirror): number[] {
  return processesWithVariables({ MIRRORLATCH_CONFIG: file }).filter(
    (pid) => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n',
  );
}
