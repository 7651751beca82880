import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { pin } from '../../src/index.ts';
import { startWatch } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import {
  callers,
  guards,
  inShell,
  oneOfEachKind,
  runGuarded,
  startGuarded,
} from '../support/guards.ts';
import { type InPlaceMirror, inPlaceMirror, mirrorsInPlace } from '../support/in-place-mirror.ts';
import { isWatching } from '../support/inotify.ts';
import { startOnlooker } from '../support/onlooker.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  type RunningProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { makeScratch } from '../support/scratch.ts';
import { holdRsync, rsyncProcesses, startSlowSync } from '../support/slow-sync.ts';
import { smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const scratch = makeScratch();
const copy = mirrorsInPlace();
const mirror = (name: string): Promise<InPlaceMirror> => copy(join(scratch.path, name));
afterAll(() => scratch.remove());

const whyNotAsAnother = runsAsRoot ? '' : ' (skipped: only root can become another user)';
const [run, reader] = oneOfEachKind;

/** A sync in the middle of a file, behind the closed gate. */
const startSlow = (
  one: InPlaceMirror,
  options: Parameters<typeof startSlowSync>[1] = {},
): Promise<RunningProgram> => startSlowSync(one, { inPlace: true, seconds: 6, ...options });

/** A reader that stays inside until it is ended. */
async function startReading(one: InPlaceMirror, ...options: readonly string[]) {
  const reading = startGuarded(reader, one.root, inShell('cat file; exec sleep 60'), { options });
  await eventually(() => expect(reading.printedSoFar()).not.toBe(''));
  return reading;
}

async function endNow(one: InPlaceMirror, sync: RunningProgram): Promise<void> {
  sync.kill('SIGKILL');
  await sync.result;
  await eventually(() => expect(rsyncProcesses(one.root)).toEqual([]));
}

describe.concurrent('An in-place sync', () => {
  test('makes the tree, opens the gate for guarded readers and records it in the history', async () => {
    const one = inPlaceMirror(smallMirror({ home: join(scratch.path, 'first') }));
    const made = await runProgram(['init', one.root, '--in-place', '--source', one.source]);
    expect(made.stdout, transcript(made)).toMatch(
      /^it has one tree, which is written in place behind a gate$/m,
    );
    expect(made.stdout).toMatch(`fill it with: mirrorlatch sync ${one.root}\n`);
    expect(one.record()).toMatchObject({ state: 'dirty', by: 'init' });
    expectFailure(await runProgram(['gate', 'status', join(scratch.path, 'none')]), 66);
    const impatient = await one.read({ options: ['--wait', '0'] });
    expect(impatient.exitCode, transcript(impatient)).toBe(75);
    expect(await one.sync()).toMatchObject({ outcome: 'published', id: 'live', previous: null });
    expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
    expect(one.linked('current')).toBe('gate/live');
    expect(one.record()).toMatchObject({ state: 'open', mode: 0o755 });
    expect(one.history()).toMatchObject([{ event: 'published', id: 'live', previous: null }]);
    expect((await one.read()).stdout).toBe('content');
    expect(readdirSync(one.root).sort()).toEqual(['.mirrorlatch', 'current', 'gate']);
  });

  test('leaves the gate alone if there is nothing to do, and closes it to change or delete', async () => {
    const one = await mirror('nothing');
    const before = one.marks();
    expect(await one.sync()).toMatchObject({ outcome: 'unchanged', id: 'live' });
    expect(one.marks()).toEqual(before);
    one.change({ file: 'changed', 'below/file': null, 'new/file': 'new' });
    const result = await one.sync('--allow-shrink');
    expect(result).toMatchObject({ outcome: 'published', id: 'live', previous: 'live' });
    expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
    expect(one.marks()).not.toEqual(before);
    expect(one.record()).toMatchObject({ state: 'open' });
    expect(one.history().map(({ event }) => event)).toEqual([
      'published',
      'unchanged',
      'published',
    ]);
  });

  test('reports what would change in a dry run, and touches nothing', async () => {
    const one = await mirror('dry run');
    one.change({ file: 'changed' });
    const [marks, tree] = [one.marks(), describeTree(one.root)];
    const planned = await one.sync('--dry-run');
    expect(planned).toMatchObject({ outcome: 'planned', current: 'live' });
    expect(planned).toMatchObject({ plan: { changedFiles: 1, newFiles: 0, deletedFiles: 0 } });
    expect(one.marks()).toEqual(marks);
    expect(difference(tree, describeTree(one.root))).toEqual([]);
  });

  test('that the shrink guard refuses does not close the gate', async () => {
    const one = await mirror('shrink');
    one.change({ 'below/file': null });
    const marks = one.marks();
    expectFailure(await runProgram(['sync', one.root]), 65);
    expect(one.marks()).toEqual(marks);
    expect((await one.read()).stdout).toBe('content');
  });

  test('whose source is missing from the start does not close the gate', async () => {
    const one = await mirror('no source');
    const marks = one.marks();
    rmSync(one.source, { recursive: true });
    const result = await runProgram(['sync', one.root, '--retries', '0']);
    expectFailure(result, 66, /source/);
    expect(one.marks()).toEqual(marks);
  });

  test('that has never run is what a guarded reader says it waits for', async () => {
    const { home, root } = smallMirror({ home: join(scratch.path, 'never') });
    await runForJson(['init', root, '--in-place']);
    mkdirSync(join(root, 'gate/live'), { recursive: true });
    const reader = join(root, '.mirrorlatch/reader');
    const { exitCode, stderr } = await execa(reader, ['--wait', '0', 'true'], {
      cwd: home,
      reject: false,
    });
    expect(exitCode).toBe(75);
    expect(stderr).toMatch(/has not been synced yet/);
  });

  test('refuses options that need a second tree', async () => {
    const one = await mirror('second tree');
    for (const words of [
      ['--id', 'x'],
      ['--strategy', 'copy'],
      ['--clone', 'hardlink'],
    ]) {
      expectFailure(await runProgram(['sync', one.root, ...words]), 64, /in-place mirror/);
    }
    for (const command of ['prune', 'rollback']) {
      const said = /written in place.*\n.*: mirrorlatch gate status '.*\/second tree\/mirror'$/m;
      expectFailure(await runProgram([command, one.root]), 64, said);
    }
    const served = ['init', one.root, '--serve-at', join(one.home, 'served')];
    expectFailure(await runProgram(served), 64, /in-place mirror/);
    const kept = await runProgram(['init', one.root, '--keep-last', '2', '--grace', '1h']);
    expectFailure(kept, 64, /--keep-last, --grace cannot be used with an in-place mirror/);
  });
});

describe.concurrent('While an in-place sync writes,', () => {
  test.skipIf(!runsAsRoot)(
    `I6: another user gets EACCES and reads not a single byte${whyNotAsAnother}`,
    async () => {
      const one = await mirror('eacces');
      const names = ['.', 'current/file', 'current/slow', 'gate/live', 'gate/live/file'];
      const paths = names.map((name) => join(one.root, name)).slice(1);
      const open = await startOnlooker(paths);
      expect(await open.leave()).toContain(`read ${one.tree('file')}`);
      chmodSync(one.source, 0o777);
      const sync = await startSlow(one, { files: { file: 'changed', 'below/file': 'new' } });
      const goOn = holdRsync(one.root);
      expect(statSync(one.tree()).mode & 0o777, 'rsync opens the mode of the tree itself').toBe(
        0o777,
      );
      const cat = startGuarded(undefined, [], ['cat', join(one.root, 'current', 'file')], {
        caller: { name: 'nobody', user: nobody },
      });
      expect((await cat.result).stderr).toMatch(/Permission denied/);
      const onlooker = await startOnlooker(paths);
      await onlooker.looks(2);
      expect(await onlooker.leave()).toEqual([]);
      expect(one.record().state).toBe('closed');
      goOn();
      const result = await sync.result;
      expect(result.exitCode, transcript(result)).toBe(0);
      expect((await one.read({ caller: { name: 'nobody', user: nobody } })).stdout).toBe('changed');
    },
  );

  test('I6: guarded readers, even of root, whom no mode stops, wait and then see the new tree', async () => {
    const one = await mirror('wait');
    const sync = await startSlow(one, { files: { file: 'changed' } });
    const goOn = holdRsync(one.root);
    const readers = callers.flatMap((caller) =>
      [run, reader]
        .filter((guard) => guard !== run || caller.user === undefined || nobodyRunsTheProgram)
        .map((guard) => startGuarded(guard, one.root, inShell('cat file'), { caller })),
    );
    const impatient = await one.read({ options: ['--wait', '1s'] });
    expect(impatient.exitCode).toBe(75);
    expect(impatient.stderr).toMatch(/is closed by its writer/);
    for (const { saidSoFar } of readers) {
      await eventually(() => expect(saidSoFar()).toMatch(/waiting: /));
    }
    expect(one.record().state).toBe('closed');
    goOn();
    expect((await sync.result).exitCode).toBe(0);
    for (const { result } of readers) {
      const { exitCode, stdout } = await result;
      expect([exitCode, stdout]).toEqual([0, 'changed']);
    }
  });
});

test('what a killed rsync left in place frees its room before the next one begins', async () => {
  const one = await mirror('remains');
  writeFileSync(one.tree('.file.aBcDeF'), 'half');
  const sync = await startSlow(one, { words: ['--allow-shrink'] });
  const goOn = holdRsync(one.root);
  const found = readdirSync(one.state('staging'), { recursive: true, encoding: 'utf8' });
  expect(found.filter((name) => name.startsWith('.partial/'))).toEqual([]);
  expect(existsSync(one.tree('.file.aBcDeF'))).toBe(false);
  goOn();
  expect((await sync.result).exitCode).toBe(0);
});

test('run lets mirrorlatch wait watch the closed gate, which ends if run is killed', async () => {
  const one = await mirror('watched for');
  await runForJson(['gate', 'close', one.root]);
  const reading = startGuarded(run, one.root, inShell('cat file'));
  const watching = () =>
    readFileSync(`/proc/${reading.pid}/task/${reading.pid}/children`, 'utf8')
      .split(' ')
      .filter((pid) => pid !== '' && /\0wait\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')));
  // What it lists may have ended before it is looked at.
  const [watcher] = await eventually(() => {
    const found = watching();
    expect(found).toHaveLength(1);
    return found;
  });
  reading.kill('SIGKILL');
  await reading.result;
  await eventually(() => expect(existsSync(`/proc/${watcher}/exe`)).toBe(false));
});

describe.concurrent('Readers inside', () => {
  test('make a sync give up after --drain, name them and restore the gate', async () => {
    const one = await mirror('give up');
    const reading = await startReading(one);
    const before = one.record();
    one.change({ file: 'changed' });
    const result = await runProgram(['sync', one.root, '--drain', '300ms']);
    expectFailure(result, 75, new RegExp(`readers are inside: sleep \\(${reading.pid}\\)`));
    expect(result.stderr).toContain(`with: mirrorlatch status '${one.root}'\n`);
    expect(one.record()).toEqual(before);
    expect(one.mode()).toBe(0o755);
    expect((await one.read()).stdout).toBe('content');
    reading.kill('SIGKILL');
    await reading.result;
  });

  test('make a lock give up after --drain, before its command is started', async () => {
    const one = await mirror('lock gives up');
    const reading = await startReading(one);
    const before = one.record();
    const started = join(scratch.path, 'started');
    const words = ['lock', one.root, '--drain', '300ms', '--', 'touch', started];
    expectFailure(await runProgram(words), 75, /readers are inside: sleep/);
    expect(existsSync(started)).toBe(false);
    expect(one.record()).toEqual(before);
    reading.kill('SIGKILL');
    await reading.result;
  });

  test('are waited for, and those that come meanwhile see the new tree', async () => {
    const one = await mirror('drain');
    const reading = await startReading(one);
    one.change({ file: 'changed' });
    const sync = startProgram(['sync', one.root]);
    await one.reaches('closing');
    const late = startGuarded(reader, one.root, inShell('cat file'));
    await eventually(() => expect(late.saidSoFar()).toMatch(/waiting/));
    expect(one.record().state).toBe('closing');
    expect(readFileSync(one.tree('file'), 'utf8')).toBe('content');
    reading.kill('SIGTERM');
    expect((await sync.result).exitCode).toBe(0);
    expect((await late.result).stdout).toBe('changed');
  });

  test('that come while the gate closes leave the tree before they wait for it', async () => {
    const one = await mirror('leave');
    const programs = join(one.home, 'programs');
    // The guard stands in the tree when it takes the lease by flock(1).
    const [arrived, closing] = [join(one.home, 'arrived'), join(one.home, 'closing')];
    const waits = `if [ "$1" = -s ] && mkdir '${arrived}' 2>/dev/null; then until [ -e '${closing}' ]; do sleep 0.05; done; fi`;
    const env = { PATH: standInFor('flock', programs, waits) };
    const late = startGuarded(reader, one.root, inShell('cat file'), { env });
    await eventually(() => expect(existsSync(arrived)).toBe(true));
    one.change({ file: 'changed' });
    const sync = startProgram(['sync', one.root, '--drain', '20s']);
    await one.reaches('closing');
    writeFileSync(closing, '');
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect((await late.result).stdout).toBe('changed');
  });

  test.each(oneOfEachKind)(
    'of several mirrors hold none of them while they wait for one, by $name',
    async (guard) => {
      const { name } = guard;
      const [one, other] = [await mirror(`first by ${name}`), await mirror(`second by ${name}`)];
      await runForJson(['gate', 'close', other.root]);
      const paths = [join(one.root, 'current/file'), join(other.root, 'current/file')];
      const late = startGuarded(guard, [one.root, other.root], ['cat', ...paths]);
      await eventually(() => expect(late.saidSoFar()).toMatch(/waiting: .*by hand/));
      one.change({ file: 'changed' });
      await one.sync('--drain', '20s');
      await runForJson(['gate', 'open', other.root]);
      const result = await late.result;
      expect(result.stdout, transcript(result)).toBe('changedcontent');
    },
  );

  test.each([
    ['cwd'],
    ['namespace'],
    ['cwd', '--release-on-exit'],
    ['namespace', '--release-on-exit'],
  ])(
    'may enter the mirror again under a %s pin: the sync waits for them, but they do not wait for it',
    async (pin, ...more) => {
      const one = await mirror(`nested ${pin}${more}`);
      const go = join(scratch.path, `go ${pin}${more}`);
      const again =
        'echo inside; until [ -e "$3" ]; do sleep 0.1; done; exec "$1" --wait 20 -- cat "$2"';
      const command = inShell(again, one.state('reader'), join(one.root, 'current/file'), go);
      const options = ['--pin', pin, ...more];
      const reading = startGuarded(reader, one.root, command, { options });
      await eventually(() => expect(reading.printedSoFar()).toBe('inside\n'));
      one.change({ file: 'changed' });
      const sync = startProgram(['sync', one.root]);
      await one.reaches('closing');
      writeFileSync(go, '');
      const { exitCode, stdout } = await reading.result;
      expect([exitCode, stdout]).toEqual([0, 'inside\ncontent']);
      expect((await sync.result).exitCode).toBe(0);
    },
  );

  test('are not assumed from an environment that outlived its pin', async () => {
    const one = await mirror('old environment');
    await runForJson(['gate', 'close', one.root]);
    const env = {
      MIRRORLATCH_ROOT: one.root,
      MIRRORLATCH_SNAPSHOT: one.tree(),
      MIRRORLATCH_ID: 'live',
      MIRRORLATCH_PIN: 'cwd',
    };
    expect((await one.read({ env, options: ['--wait', '0'] })).exitCode).toBe(75);
  });

  test('do not stop the sync with --after-drain go-on', async () => {
    const one = await mirror('go on');
    const reading = await startReading(one);
    one.change({ file: 'changed' });
    await one.sync('--drain', '100ms', '--after-drain', 'go-on');
    expect(one.record().state).toBe('open');
    expect((await one.read()).stdout).toBe('changed');
    reading.kill('SIGKILL');
    await reading.result;
  });
});

describe.concurrent('A reader without a lease', () => {
  /** Says what it has read so far, and goes on when `go` exists. */
  const reads = 'cat file; until [ -e "$1" ]; do sleep 0.1; done; cat below/file';
  /** Closes what it has inherited, as daemons do, and then becomes the rest of its arguments. */
  const forgets = [
    'python3',
    '-c',
    'import os,sys;os.closerange(3,64);os.execvp(sys.argv[1],sys.argv[1:])',
  ];

  /** A reader in the middle of its work, and a sync that waits for it. */
  async function whileReading(
    name: string,
    start: (one: InPlaceMirror, go: string) => RunningProgram,
    use = 'cwd',
  ) {
    const one = await mirror(name);
    const go = join(one.home, 'go');
    const reading = start(one, go);
    await eventually(() => expect(reading.printedSoFar()).toBe('content'));
    one.change({ file: 'changed', 'below/file': 'changed below' });
    const refused = await runProgram(['sync', one.root, '--drain', '0']);
    expectFailure(refused, 75, new RegExp(`readers are inside: \\w+ \\(\\d+, ${use}\\)`));
    expect(one.record().state).toBe('open');
    expect(one.mode()).toBe(0o755);
    const sync = startProgram(['sync', one.root]);
    await eventually(() => expect(sync.saidSoFar()).toMatch(/waiting: readers are inside/));
    return { one, reading, sync, goOn: () => writeFileSync(go, '') };
  }

  test.for([
    ['is guarded by its cwd and closed its descriptors', ['--pin', 'cwd']],
    ['is guarded by a namespace and closed its descriptors', []],
  ] as const)('that %s is waited for', async ([name, options]) => {
    const { one, reading, sync, goOn } = await whileReading(name, (one, go) =>
      startGuarded(reader, one.root, [...forgets, ...inShell(reads, go)], { options }),
    );
    goOn();
    expect((await reading.result).stdout).toBe('contentcontent below');
    expect((await sync.result).exitCode).toBe(0);
    expect((await one.read()).stdout).toBe('changed');
  });

  test('that is guarded by a namespace alone, from outside of the tree, is waited for', async () => {
    const elsewhere = 'cat "$2/file"; until [ -e "$1" ]; do sleep 0.1; done; cat "$2/below/file"';
    const { reading, sync, goOn } = await whileReading(
      'outside',
      (one, go) =>
        startGuarded(
          reader,
          one.root,
          [...forgets, ...inShell(elsewhere, go, join(one.root, 'current'))],
          { options: ['--chdir', 'no'] },
        ),
      'mount',
    );
    goOn();
    expect((await reading.result).stdout).toBe('contentcontent below');
    expect((await sync.result).exitCode).toBe(0);
  });

  test.skipIf(!runsAsRoot)(
    `that is bare and inside is waited for, and no other is let in meanwhile${whyNotAsAnother}`,
    async () => {
      const { one, reading, sync, goOn } = await whileReading('bare', (one, go) =>
        startGuarded(undefined, [], inShell(`cd "$2" && ${reads}`, go, one.tree())),
      );
      const late = startGuarded(undefined, [], ['cat', one.tree('file')], {
        caller: { name: 'nobody', user: nobody },
      });
      expect((await late.result).stderr).toMatch(/Permission denied/);
      goOn();
      expect((await reading.result).stdout).toBe('contentcontent below');
      expect((await sync.result).exitCode).toBe(0);
      expect(one.mode()).toBe(0o755);
    },
  );

  test('is no obstacle with --after-drain go-on', async () => {
    const { one, reading, sync } = await whileReading('go on bare', (one, go) =>
      startGuarded(undefined, [], inShell(`cd "$2" && ${reads}`, go, one.tree())),
    );
    sync.kill('SIGTERM');
    expect((await sync.result).exitCode).toBe(143);
    expect(one.record().state).toBe('open');
    await one.sync('--drain', '0', '--after-drain', 'go-on');
    expect(one.record().state).toBe('open');
    reading.kill('SIGKILL');
    await reading.result;
  });

  test('is not the shell that stands in the tree and waits for the sync', async () => {
    const one = await mirror('own shell');
    one.change({ file: 'changed' });
    const script = 'cd "$2" && "$1" sync "$3" --drain 0; echo "ended with $?"';
    const words = inShell(script, launcher, one.tree(), one.root);
    const result = await startGuarded(undefined, [], words).result;
    expect(result.stdout, transcript(result)).toMatch(/ended with 0$/m);
  });

  test.skipIf(!runsAsRoot)(
    `is not a stranger that holds the lock of the gate exclusively${whyNotAsAnother}`,
    async () => {
      const one = await mirror('stranger');
      const holds = [
        'flock',
        '--exclusive',
        '--no-fork',
        one.state('gate.flock'),
        'sh',
        '-c',
        'echo held; exec sleep 60',
      ];
      const stranger = startGuarded(undefined, [], holds, {
        caller: { name: 'nobody', user: nobody },
      });
      await eventually(() => expect(stranger.printedSoFar()).toBe('held\n'));
      one.change({ file: 'changed' });
      await one.sync('--drain', '0');
      expect(readFileSync(one.tree('file'), 'utf8')).toBe('changed');
      stranger.kill('SIGKILL');
      await stranger.result;
    },
  );
});

test.skipIf(!runsAsRoot)(
  `status, list and current tell a user who may not look past a closed gate the same as others${whyNotAsAnother}`,
  async () => {
    const one = await mirror('onlookers');
    await runForJson(['gate', 'close', one.root, '--reason', 'maintenance']);
    for (const [command, known] of [
      ['status', /closed\b.*: maintenance/],
      ['list', /^live +current/m],
      ['current', /gate\/live$/m],
    ] as const) {
      const result = await execa(launcher, [command, one.root], { ...nobody, reject: false });
      expect(result.exitCode, result.stderr).toBe(command === 'status' ? 69 : 0);
      expect(result.stdout).toMatch(known);
    }
  },
);

describe.concurrent('The mode of the gate', () => {
  test.each(['0750', '2775', '0711'])(
    '%s is restored exactly after a sync, a crash and a manual close',
    async (digits) => {
      const mode = Number.parseInt(digits, 8);
      const one = await mirror(`mode ${digits}`);
      one.setMode(mode);
      one.change({ file: 'changed' });
      await one.sync();
      expect(one.mode()).toBe(mode);
      await endNow(one, await startSlow(one));
      expect(one.mode()).toBe(mode & 0o700);
      await one.sync();
      expect(one.mode()).toBe(mode);
      await runForJson(['gate', 'close', one.root]);
      expect(one.mode()).toBe(mode & 0o700);
      await runForJson(['gate', 'open', one.root]);
      expect(one.mode()).toBe(mode);
    },
  );
});

describe.concurrent('A failed in-place sync', () => {
  /** Dirty: bare readers get in, guarded ones wait or fail, and the next clean sync ends that. */
  async function isDirtyUntilTheNextSync(one: InPlaceMirror): Promise<void> {
    expect(one.record()).toMatchObject({ state: 'dirty', reason: 'the sync failed' });
    expect(one.mode()).toBe(0o755);
    expect(one.history().at(-1)).toMatchObject({ event: 'failed' });
    const status = await runProgram(['status', one.root, '--json']);
    expect(status.exitCode).toBe(69);
    expect(status.json()).toMatchObject({
      isHealthy: false,
      findings: [{ kind: 'unclean-gate' }],
      problems: ['the last sync or lock failed', 'guarded readers wait'],
    });
    await expect(pin({ root: one.root })).rejects.toMatchObject({ code: 'BUSY' });
    const bare = startGuarded(undefined, [], ['cat', one.tree('below/file')], {
      ...(runsAsRoot ? { caller: { name: 'nobody', user: nobody } } : {}),
    });
    expect((await bare.result).stdout).toBe('content below');
    const impatient = await one.read({ options: ['--wait', '0'] });
    expect(impatient.exitCode).toBe(75);
    expect(impatient.stderr).toMatch(/is not whole/);
    const careless = await one.read({ options: ['--allow-dirty'] });
    expect(careless.exitCode, transcript(careless)).toBe(0);
    const patient = one.read();
    await one.sync();
    expect(await patient).toMatchObject({ exitCode: 0, stdout: 'changed' });
    expect(one.record().state).toBe('open');
    expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
  }

  test('whose source vanished in between leaves the tree dirty until the next clean sync', async () => {
    const one = await mirror('source gone');
    const sync = await startSlow(one, {
      files: { file: 'changed', 'zz comes after the slow one': 'content' },
      words: ['--retries', '1', '--retry-delay', '10ms'],
    });
    cpSync(one.source, `${one.source}.kept`, { recursive: true, preserveTimestamps: true });
    rmSync(one.source, { recursive: true });
    const result = await sync.result;
    // 24 for the files that vanish, then 23.
    expectFailure(result, 66, /the source does not exist \(rsync exit 23\)/);
    renameSync(`${one.source}.kept`, one.source);
    await isDirtyUntilTheNextSync(one);
  });

  test("whose rsync was killed leaves the tree dirty, and the next clean sync removes rsync's leftovers", async () => {
    const one = await mirror('rsync killed');
    const sync = await startSlow(one, { files: { file: 'changed' }, words: ['--retries', '0'] });
    for (const pid of rsyncProcesses(one.root)) process.kill(pid, 'SIGKILL');
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).not.toBe(0);
    expect(readdirSync(one.tree())).toContain('.~tmp~');
    await isDirtyUntilTheNextSync(one);
    expect(readdirSync(one.tree()).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('by %s ends with %i and gives the mode back', async (signal, exitCode) => {
    const one = await mirror(signal);
    const sync = await startSlow(one, { files: { file: 'changed' } });
    expect(one.mode()).toBe(0o700);
    sync.kill(signal);
    const result = await sync.result;
    const kept = `interrupted by ${signal}\n  The tree may be half old, half new now: guarded readers wait until a sync succeeds. What`;
    expectFailure(result, exitCode, new RegExp(kept));
    await isDirtyUntilTheNextSync(one);
  });

  test('by SIGTERM after rsync has ended publishes nothing', async () => {
    const one = await mirror('after rsync');
    one.change({ file: 'changed' });
    // find looks for what rsync left: it is what runs between the transfer and the publication. The
    // kernel may give the signal to another thread than the news of find's end, which then overtakes.
    const stops = 'case "$*" in *.~tmp~*) kill -TERM "$PPID"; sleep 1 ;; esac';
    const PATH = standInFor('find', join(scratch.path, 'programs'), stops);
    const result = await runProgram(['sync', one.root], { env: { PATH } });
    expect(result.exitCode, transcript(result)).toBe(143);
    expect(one.history().at(-1)).toMatchObject({ event: 'failed', code: 'SIGTERM' });
    await isDirtyUntilTheNextSync(one);
  });

  test('restores the gate after SIGTERM while it waits for readers', async () => {
    const one = await mirror('drain term');
    const reading = await startReading(one);
    const before = one.record();
    one.change({ file: 'changed' });
    const sync = startProgram(['sync', one.root]);
    await one.reaches('closing');
    sync.kill('SIGTERM');
    expect((await sync.result).exitCode).toBe(143);
    expect(one.record()).toEqual(before);
    reading.kill('SIGKILL');
    await reading.result;
  });

  test('leaves the gate to the new holder after it lost the lock', async () => {
    const one = await mirror('lost lock');
    const sync = await startSlow(one, { seconds: 20 });
    renameSync(one.state('sync.lock'), one.state('sync.lock.taken'));
    const result = await sync.result;
    expectFailure(result, 75, /lock/);
    expect(one.record().state).toBe('closed');
    expect(one.mode()).toBe(0o700);
    await one.sync();
    expect(one.record().state).toBe('open');
    expect(one.mode()).toBe(0o755);
  });
});

describe.concurrent('A lock in place', () => {
  /** Leaves a process in the tree that has forgotten where it comes from, and writes down its pid. */
  const leaves = `cd "$MIRRORLATCH_STAGING"; echo more >>file
    env -i PATH="$PATH" setsid sh -c 'echo $$; exec 3>&- 4>&- 5>&-; exec sleep 60' </dev/null >../pid 2>&1 &
    until [ -s ../pid ]; do sleep 0.1; done`;

  test('is not published while a process that its command left stands in the tree', async () => {
    const one = await mirror('left inside');
    const result = await runProgram(['lock', one.root, '--', 'sh', '-c', leaves]);
    const pid = readFileSync(join(one.root, 'gate/pid'), 'utf8').trim();
    expectFailure(result, 125, new RegExp(`could still write to the tree: sleep \\(pid ${pid}\\)`));
    expect(result.stderr).toMatch(/now: guarded readers wait until a lock or a sync succeeds/);
    expect(`${result.stderr}${one.record().reason}`).not.toMatch(/nothing was published/);
    expect(one.record().state).toBe('dirty');
    process.kill(Number(pid), 'SIGKILL');
  });

  test.each([
    ['before the command', 'true'],
    ['by the command', 'ln "$1" "$2"'],
  ])(
    'is not published while a process has a file open for writing that was linked into the tree %s',
    async (when, command) => {
      const one = await mirror(`linked ${when}`);
      const names = [join(one.home, 'outside'), one.tree('linked')];
      const holds = 'exec 9>>"$1"; echo open; exec cat';
      const writer = execa('sh', ['-c', holds, 'sh', ...names], { reject: false });
      let said = '';
      writer.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      await eventually(() => expect(said).toBe('open\n'));
      if (when === 'before the command') await execa('ln', names);
      const words = ['sh', '-c', command, 'sh', ...names];
      const result = await runProgram(['lock', one.root, '--', ...words]);
      const named = `could still write to the tree: cat \\(pid ${writer.pid}\\)`;
      expectFailure(result, 125, new RegExp(named));
      expect(one.record().state).toBe('dirty');
      writer.stdin.end();
      await writer;
      const again = await runProgram(['lock', one.root, '--', 'true']);
      expect(again.exitCode, transcript(again)).toBe(0);
      expect(one.record().state).toBe('open');
    },
  );

  test('does not pass off as whole what a sync has left unfinished, unless it is told to', async () => {
    const one = await mirror('unfinished by sync');
    const unfinished = { state: 'dirty', by: 'sync', reason: 'the sync failed' } as const;
    one.rewrite(unfinished);
    const touch = ['--', 'sh', '-c', 'touch "$MIRRORLATCH_STAGING/touched"'];
    const refused = await runProgram(['lock', one.root, ...touch]);
    expectFailure(
      refused,
      125,
      /its last sync did not finish/,
      /mirrorlatch sync '.*'\. .* --allow-dirty/,
    );
    expect(existsSync(one.tree('touched'))).toBe(false);
    expect(one.record()).toMatchObject(unfinished);
    const told = await runProgram(['lock', one.root, '--allow-dirty', ...touch]);
    expect(told.exitCode, transcript(told)).toBe(0);
    expect(one.record().state).toBe('open');
  });

  test('makes good what an earlier lock has left unfinished', async () => {
    const one = await mirror('unfinished by lock');
    const failed = await runProgram(['lock', one.root, '--', 'false']);
    expect(failed.exitCode).toBe(1);
    expect(one.record()).toMatchObject({ state: 'dirty', by: 'lock' });
    const removes = ['--', 'sh', '-c', 'rm -r "$MIRRORLATCH_STAGING"'];
    const removed = await runProgram(['lock', one.root, ...removes]);
    expectFailure(removed, 125, /the command removed its directory, .*gate\/live/);
    expectFailure(await runProgram(['lock', one.root, '--', 'true']), 125, /the tree is empty/);
    const refills = ['sh', '-c', 'echo file >"$MIRRORLATCH_STAGING/file"'];
    const next = await runProgram(['lock', one.root, '--allow-shrink', '--', ...refills]);
    expect(next.exitCode, transcript(next)).toBe(0);
    expect(one.record().state).toBe('open');
  });

  test.each(oneOfEachKind)('ends a guard that would wait for it: $name', async (guard) => {
    const one = await mirror(`guard inside ${guard.name}`);
    const words = guard.around(one.root, ['--allow-dirty'], ['cat', 'file']);
    const result = await runProgram(['lock', one.root, '--', 'timeout', '20', ...words]);
    const wayOut = /In a lock, use \$MIRRORLATCH_STAGING, and the program itself without the guard/;
    expectFailure(
      result,
      125,
      /is closed by its writer: this guard runs inside `lock` of that mirror, and would wait for itself/,
      wayOut,
    );
  });

  test('ends a wait for it, and for a snapshot of it', async () => {
    const one = await mirror('wait inside');
    for (const { before, after } of [
      { before: [], after: [] },
      { before: [], after: ['--for-publish'] },
      { before: ['--lock-only'], after: ['--for-publish'] },
    ]) {
      const words = ['timeout', '20', launcher, 'wait', one.root, ...after];
      const result = await runProgram(['lock', one.root, ...before, '--', ...words]);
      expectFailure(
        result,
        75,
        /this runs inside `lock` of that mirror, and would wait for itself/,
      );
    }
  });

  test.each(['unlock', 'gate close', 'gate open'])(
    'ends at once what would wait for it: %s',
    async (verb) => {
      const one = await mirror(`${verb} inside`);
      for (const wait of [['--wait', '10m'], []]) {
        const words = ['timeout', '20', launcher, ...verb.split(' '), one.root, ...wait];
        const change = 'echo changed >"$MIRRORLATCH_STAGING/file"; exec "$@"';
        const result = await runProgram([
          'lock',
          one.root,
          '--',
          'sh',
          '-c',
          change,
          'sh',
          ...words,
        ]);
        expectFailure(
          result,
          75,
          /is locked: this runs inside `lock` of that mirror, and would wait for itself/,
          /Run it once `lock` has ended/,
        );
        expect(one.record()).toMatchObject({ state: 'dirty', by: 'lock' });
      }
    },
  );

  test('of another mirror is not taken for one of this mirror', async () => {
    const [one, other] = [await mirror('locked'), await mirror('read inside')];
    const words = [launcher, 'run', other.root, '--', 'cat', 'file'];
    const result = await runProgram(['lock', one.root, '--', ...words]);
    expect([result.exitCode, result.stdout], transcript(result)).toEqual([0, 'content']);
  });

  test('is published although a reader that it did not wait for stands in the tree', async () => {
    const one = await mirror('reader inside');
    const reading = await startReading(one);
    const words = ['lock', one.root, '--drain', '0', '--after-drain', 'go-on'];
    const more = 'echo more >>"$MIRRORLATCH_STAGING/file"';
    const result = await runProgram([...words, '--', 'sh', '-c', more]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(one.record().state).toBe('open');
    reading.kill('SIGKILL');
    await reading.result;
  });
});

describe.concurrent('SIGKILL of an in-place sync', () => {
  test('while it writes leaves the gate closed, and the next command of the sync user marks it as dirty', async () => {
    const one = await mirror('killed closed');
    await endNow(one, await startSlow(one, { files: { file: 'changed' } }));
    expect(one.record().state).toBe('closed');
    expect(one.mode()).toBe(0o700);
    const impatient = await one.read({ options: ['--wait', '0', '--allow-dirty'] });
    expect(impatient.exitCode).toBe(75);
    const status = await runProgram(['status', one.root, '--json']);
    expect(status.json()).toMatchObject({ findings: [{ kind: 'unclean-gate' }] });
    expect(one.record().state, 'status only looks').toBe('closed');
    await refusedSync(one);
    expect(one.record()).toMatchObject({ state: 'dirty', reason: 'sync was interrupted' });
    expect(one.mode()).toBe(0o755);
    await one.sync('--allow-shrink');
    expect(one.record()).toMatchObject({ state: 'open' });
    expect((await one.read()).stdout).toBe('changed');
  });

  test('while it waits for readers lets the next command open the gate, because nothing was written', async () => {
    const one = await mirror('killed closing');
    await killWhileClosing(one);
    expect((await one.read({ options: ['--wait', '0'] })).exitCode).toBe(75);
    expect((await runProgram(['sync', one.root, '--dry-run'])).exitCode).toBe(0);
    expect(one.record().state, 'a dry run only looks').toBe('closing');
    const gate = await runForJson(['gate', 'status', one.root]);
    expect(gate['obstacle']).toMatch(/has been closed since .*: sync was killed before it wrote/);
    await refusedSync(one);
    expect(one.record()).toMatchObject({ state: 'open' });
    expect((await one.read()).stdout).toBe('content');
  });

  test('while it waits for the readers of a dirty tree leaves that dirty', async () => {
    const one = await mirror('killed dirty');
    const slow = await startSlow(one);
    slow.kill('SIGTERM');
    await slow.result;
    expect(one.record().state).toBe('dirty');
    await killWhileClosing(one, '--allow-dirty');
    const gate = await runForJson(['gate', 'status', one.root]);
    expect(gate['obstacle']).toMatch(/is not whole: /);
    await refusedSync(one);
    expect(one.record().state).toBe('dirty');
    expect((await one.read({ options: ['--wait', '0'] })).exitCode).toBe(75);
  });

  /** A command of the sync user that only recovers and writes nothing else. */
  async function refusedSync(one: InPlaceMirror): Promise<void> {
    one.change({ 'below/file': null });
    expectFailure(await runProgram(['sync', one.root]), 65);
  }

  async function killWhileClosing(one: InPlaceMirror, ...options: string[]): Promise<void> {
    const reading = await startReading(one, ...options);
    one.change({ file: 'changed' });
    const sync = startProgram(['sync', one.root]);
    await one.reaches('closing');
    await endNow(one, sync);
    reading.kill('SIGKILL');
    await reading.result;
    expect(one.record().state).toBe('closing');
  }
});

describe.concurrent('The gate that a killed sync left closed', () => {
  async function abandoned(name: string): Promise<InPlaceMirror> {
    const one = await mirror(name);
    await endNow(one, await startSlow(one, { files: { file: 'changed' } }));
    expect(one.record()).toMatchObject({ state: 'closed', by: 'sync' });
    return one;
  }

  test('is what status, gate status, wait and run say, and run does not wait for ever', async () => {
    const one = await abandoned('told');
    const killed = /is not whole: sync was killed while it wrote, and left the gate closed \(2/;
    const status = await runProgram(['status', one.root]);
    expect(status.exitCode, transcript(status)).toBe(69);
    expect(status.stdout).toMatch(killed);
    const gate = await runProgram(['gate', 'status', one.root]);
    expect(gate.stdout).toMatch(killed);
    expect(gate.stdout).toContain(`mirrorlatch unlock ${one.root} --wait 1m\n`);
    expect(await runForJson(['gate', 'status', one.root])).toMatchObject({ isAbandoned: true });
    expectFailure(await runProgram(['wait', one.root]), 69, killed, /mirrorlatch unlock /);
    const reading = await startGuarded(run, one.root, inShell('cat file')).result;
    expect(reading.exitCode, transcript(reading)).toBe(75);
    expect(reading.stderr).toMatch(/waiting: \S+ is closed by its writer$/m);
    expect(reading.stderr).toMatch(/is not whole: what was writing it is dead/);
    expect(reading.stderr).toContain(`mirrorlatch unlock ${one.root} --wait 1m\n`);
    await expect(pin({ root: one.root })).rejects.toMatchObject({ code: 'BUSY', message: killed });
    expect(one.record().state).toBe('closed');
  });

  test('lets root read with --allow-dirty', async () => {
    const one = await abandoned('careless');
    const options = ['--allow-dirty'];
    const careless = await startGuarded(run, one.root, inShell('cat file'), { options }).result;
    expect(careless.exitCode, transcript(careless)).toBe(runsAsRoot ? 0 : 75);
  });

  test('is told by the standalone reader once the heartbeat of the writer has stopped', async () => {
    const one = await abandoned('heartbeat');
    const fresh = await one.read({ options: ['--wait', '0'] });
    expect(fresh.stderr).toMatch(/is closed by its writer/);
    const gate = () => runForJson(['gate', 'status', one.root]);
    // A writer without a record may be one of another host.
    const [token = ''] = readdirSync(one.state('sync.lock'));
    rmSync(one.state('sync.lock', token, 'owner.json'));
    expect(await gate()).toMatchObject({ isAbandoned: false });
    const longAgo = Date.now() / 1000 - 11 * 60;
    utimesSync(one.state('sync.lock'), longAgo, longAgo);
    expect(await gate()).toMatchObject({ isAbandoned: true });
    for (const caller of callers) {
      const told = await one.read({ caller });
      expect(told.exitCode, transcript(told)).toBe(75);
      expect(told.stderr).toMatch(/is not whole: what was writing it is dead/);
      const careless = await one.read({ caller, options: ['--allow-dirty'] });
      expect(careless.exitCode, transcript(careless)).toBe(caller.user || !runsAsRoot ? 75 : 0);
    }
    rmSync(one.state('sync.lock'), { recursive: true });
    const without = await one.read({ options: ['--wait', '0'] });
    expect(without.stderr).toMatch(/what was writing it is dead/);
  });

  test.for([
    ['unlock', 0, (one) => ['unlock', one.root]],
    ['a command under the lock', 0, (one) => ['lock', one.root, '--lock-only', '--', 'true']],
    ['a lock whose command does not exist', 127, (one) => ['lock', one.root, '--', 'no-such-cmd']],
    ['a sync with a wrong option', 64, (one) => ['sync', one.root, '--id', 'no']],
    [
      'a sync whose source is missing',
      66,
      (one) => {
        renameSync(one.source, `${one.source}.gone`);
        return ['sync', one.root];
      },
    ],
    ['gate open', 0, (one) => ['gate', 'open', one.root]],
  ] as const satisfies [string, number, (one: InPlaceMirror) => string[]][])(
    'is repaired by %s: its mode is back, and the tree is dirty',
    async ([name, exitCode, words]) => {
      const one = await abandoned(name);
      const result = await runProgram(words(one));
      expect(result.exitCode, transcript(result)).toBe(exitCode);
      expect(one.mode()).toBe(0o755);
      expect(one.record()).toMatchObject({ state: 'dirty', reason: 'sync was interrupted' });
      expect((await runProgram(['status', one.root])).exitCode).toBe(69);
      expect((await one.read({ options: ['--wait', '0'] })).exitCode).toBe(75);
    },
  );
});

describe.concurrent('gate open', () => {
  async function dirty(name: string): Promise<InPlaceMirror> {
    const one = await mirror(name);
    one.rewrite({ state: 'dirty', by: 'sync', reason: 'the sync failed' });
    return one;
  }

  test('keeps a dirty tree dirty, and with --clean declares it whole', async () => {
    const one = await dirty('vouched');
    one.setMode(0o750);
    const before = one.record();
    const opened = await runProgram(['gate', 'open', one.root]);
    expect(opened.exitCode, transcript(opened)).toBe(0);
    expect(opened.stdout).toMatch(/is not whole: the sync failed \(2[^)]*\); 0 guarded readers/);
    expect(opened.stdout).toContain(`mirrorlatch gate open --clean ${one.root}\n`);
    expect(one.record()).toEqual(before);
    expect((await one.read({ options: ['--wait', '0'] })).exitCode).toBe(75);
    await runForJson(['gate', 'open', one.root, '--clean']);
    expect(one.record()).toMatchObject({ state: 'open' });
    expect((await one.read()).stdout).toBe('content');
  });

  test('remembers that the tree was dirty when the gate was closed by hand', async () => {
    const one = await dirty('closed dirty');
    const doubt = { state: 'dirty', boot: 'another-boot' } as const;
    one.rewrite(doubt);
    await runForJson(['gate', 'close', one.root]);
    expect(one.mode()).toBe(0o700);
    expect(await runForJson(['gate', 'open', one.root])).toMatchObject(doubt);
    expect(one.mode()).toBe(0o755);
    await one.sync();
    expect(one.record()).toMatchObject({ state: 'open' });
  });
});

describe.concurrent('What a killed rsync has left in the tree', () => {
  async function killed(
    one: InPlaceMirror,
    big: string | Buffer = 'x'.repeat(1000),
  ): Promise<InPlaceMirror> {
    const sync = await startSlow(one, { files: { big }, words: ['--retries', '0'] });
    // So that none of them sees another end, and tidies up.
    holdRsync(one.root);
    for (const pid of rsyncProcesses(one.root)) process.kill(pid, 'SIGKILL');
    await sync.result;
    expect(remainsIn(one.tree())).toEqual(
      expect.arrayContaining([expect.stringMatching(/^\.slow\.\w{6}$/), '.~tmp~/big']),
    );
    one.change({ slow: 'fast' });
    return one;
  }

  const remainsIn = (tree: string): string[] =>
    readdirSync(tree, { recursive: true, encoding: 'utf8' })
      .filter((name) => /~tmp~|\.slow\./.test(name))
      .sort();

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'I7: after %s is what the next sync goes on from, and nothing of it stays',
    async (signal) => {
      const one = await mirror(`goes on after ${signal}`);
      one.change({ big: randomBytes(300_000) });
      const daemon = await startRsyncDaemon([
        {
          name: 'tree',
          path: one.source,
          more: ['transfer logging = yes', 'log format = sent %f: %b'],
        },
      ]);
      const source = `${daemon.url('tree')}/`;
      const sync = await startSlow(one, { source, words: ['--allow-shrink'] });
      sync.kill(signal);
      await sync.result;
      await eventually(() => expect(rsyncProcesses(one.root)).toEqual([]));
      expect(remainsIn(one.tree())).toEqual(expect.arrayContaining(['.~tmp~/big']));
      mkdirSync(one.tree('gone/.~tmp~'), { recursive: true });
      writeFileSync(one.tree('gone/.~tmp~/file'), 'half');
      for (const name of ['1', '2', '3']) writeFileSync(one.tree(`gone ${name}`), 'gone');
      const start = statSync(daemon.log).size;
      one.change({ slow: 'fast' });
      await runForJson(['sync', source, one.root, '--other-source', '--allow-shrink']);
      const sent = () => /sent big: (\d+)/.exec(readFileSync(daemon.log, 'utf8').slice(start))?.[1];
      await eventually(() => expect(sent()).toBeDefined());
      expect(Number(sent())).toBeLessThan(10_000);
      expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
      await daemon.stop();
    },
  );

  test.each([
    ['a local source', ''],
    ['one that collects there itself', '.~tmp~/theirs'],
  ])('I7: is not transferred again from %s', async (name, theirs) => {
    const one = await mirror(`goes on, ${name}`);
    await killed(one, randomBytes(300_000));
    if (theirs !== '') one.change({ [theirs]: 'theirs' });
    await one.sync('--allow-shrink');
    expect(one.history().at(-1)?.['newBytes']).toBeLessThan(250_000);
    expect(readdirSync(one.tree())).not.toContain('.~tmp~');
  });

  test.each([
    ['a sync that deletes nothing', ['--without', 'delete'], []],
    ['a rule', [], ['--', '--filter=P .*']],
  ])(
    'goes once the file is there that it was to become, also by %s',
    async (name, words, rules) => {
      const one = await mirror(`unfinished, ${name}`);
      await runForJson(['init', one.root, ...rules]);
      one.change({ slow: 'the whole' });
      for (const file of ['.slow.aB3dEf', '.note.aB3dEf']) writeFileSync(one.tree(file), 'half');
      one.rewrite({ state: 'dirty', by: 'sync' });
      await one.sync(...words);
      expect(readdirSync(one.tree())).not.toContain('.slow.aB3dEf');
      expect(readFileSync(one.tree('.note.aB3dEf'), 'utf8')).toBe('half');
    },
  );

  test('is removed only with its directory once a person has declared the tree whole, and stops no later sync', async () => {
    const one = await killed(await mirror('remains vouched for'));
    const opened = await runProgram(['gate', 'open', '--clean', one.root]);
    expect(opened.exitCode, transcript(opened)).toBe(0);
    const [left, ...others] = remainsIn(one.tree());
    expect(others).toEqual([]);
    expect(left).toMatch(/^\.slow\./);
    expect(opened.stderr).toContain(
      `warning: in ${one.tree()}, what a killed rsync may have left stays: ${left}. The next sync`,
    );
    expect(await one.sync()).toMatchObject({ outcome: 'published' });
    expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
  });

  test.each(['.name.abcdef', '.name.ABCDEF', '.name.AbCd12', '.~tmp~/name'])(
    'is no loss to the source where a person or a command vouches for it as the first tree, such as %s',
    async (left) => {
      const home = join(scratch.path, `first tree ${left.replace('/', ' ')}`);
      const one = inPlaceMirror(smallMirror({ home }));
      const made = await runProgram(['init', one.root, '--in-place', '--source', one.source]);
      expect(made.exitCode, transcript(made)).toBe(0);
      one.change({ name: 'x'.repeat(20_000) });
      one.rewrite({ state: 'dirty', by: 'sync' });
      mkdirSync(join(one.tree(left), '..'), { recursive: true });
      writeFileSync(one.tree(left), 'x'.repeat(10_000));
      // Another rule than those that protect: with one, not even the directory is removed.
      const options = ['init', one.root, '--', '--exclude=nothing'];
      expect((await runProgram(options)).exitCode).toBe(0);
      await runForJson(['gate', 'open', '--clean', one.root]);
      expect(existsSync(one.tree(left))).toBe(true);
      const locked = await runProgram(['lock', one.root, '--', 'true']);
      expect(locked.exitCode, transcript(locked)).toBe(0);
      const plan = await runForJson(['sync', one.root, '--dry-run']);
      expect(plan).toMatchObject({ refusal: null, plan: { deletedFiles: 0 } });
      expect(await one.sync()).toMatchObject({ outcome: 'published' });
      expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
    },
  );

  test('is a loss if it is only named like that, though the gate is dirty', async () => {
    const one = await mirror('named like remains');
    writeFileSync(one.tree('.users.sqlite'), 'x'.repeat(100_000));
    one.rewrite({ state: 'dirty', by: 'sync' });
    expectFailure(await runProgram(['sync', one.root]), 65);
    expect(existsSync(one.tree('.users.sqlite'))).toBe(true);
  });

  test.each([
    ['gate open --clean', (one: InPlaceMirror) => ['gate', 'open', '--clean', one.root]],
    ['lock', (one: InPlaceMirror) => ['lock', '--allow-dirty', one.root, '--', 'true']],
  ])('is not taken by %s for a file of a person with a like name', async (name, words) => {
    const one = await mirror(`protected from ${name}`);
    const rules = ['--exclude=/local/', '--filter=P /local/***'];
    expect((await runProgram(['init', one.root, '--', ...rules])).exitCode).toBe(0);
    await one.sync();
    mkdirSync(one.tree('local/.~tmp~'), { recursive: true });
    for (const file of ['local/.users.sqlite', 'local/.~tmp~/notes'])
      writeFileSync(one.tree(file), 'precious', { mode: 0o600 });
    one.rewrite({ state: 'dirty', by: 'sync' });
    const result = await runProgram(words(one));
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readFileSync(one.tree('local/.users.sqlite'), 'utf8')).toBe('precious');
    expect(readFileSync(one.tree('local/.~tmp~/notes'), 'utf8')).toBe('precious');
    expect(result.stderr).toMatch(/stays: local\/\.(users\.sqlite|~tmp~\/), local\/\./);
  });

  test('is published by a lock only as files, with a warning, and a like name of its command stays', async () => {
    const one = await killed(await mirror('remains and lock'));
    const files = remainsIn(one.tree()).filter((name) => name.startsWith('.slow.'));
    const lock = async (...words: string[]) => {
      const result = await runProgram(['lock', one.root, ...words]);
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(remainsIn(one.tree())).toEqual([...files, 'own/.~tmp~']);
    };
    await lock('--allow-dirty', '--', 'sh', '-c', 'mkdir -p "$MIRRORLATCH_STAGING/own/.~tmp~"');
    await lock('--', 'true');
  });

  test('does not go with gate open alone, so that the next sync goes on from it', async () => {
    const one = await killed(await mirror('remains kept'));
    await runForJson(['gate', 'open', one.root]);
    expect(remainsIn(one.tree())).toContain('.~tmp~/big');
  });

  test('stays if the last sync was told that such names are content', async () => {
    const one = await mirror('remains are content');
    one.change({ '.~tmp~/upstream': 'content', '.file.aB3dEf': 'content' });
    await one.sync('--without', 'temp-excludes');
    one.rewrite({ state: 'dirty', by: 'sync' });
    await runForJson(['gate', 'open', '--clean', one.root]);
    expect(readdirSync(one.tree('.~tmp~'))).toEqual(['upstream']);
    expect(readFileSync(one.tree('.file.aB3dEf'), 'utf8')).toBe('content');
  });

  test.each(['open', 'dirty'] as const)(
    'is no file with another name, into which rsync would write (%s gate)',
    async (state) => {
      const one = await mirror(`no remains, ${state}`);
      mkdirSync(one.tree('.~tmp~'));
      one.rewrite({ state, by: 'sync' });
      linkSync(one.tree('file'), one.tree('.~tmp~/added'));
      const { ino } = statSync(one.tree('file'));
      one.change({ added: 'added' });
      await one.sync();
      expect(statSync(one.tree('file'))).toMatchObject({ ino, nlink: 1 });
      expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
    },
  );

  test.each([
    ['a link', (path: string) => symlinkSync('file', path)],
    ['a file', (path: string) => writeFileSync(path, 'content')],
  ])('goes with a directory in whose place the source has %s', async (kind, put) => {
    const one = await mirror(`in the place of a directory, ${kind}`);
    one.change({ 'latest/deep/a': 'a', 'latest/b': 'b' });
    await one.sync();
    for (const directory of ['latest', 'latest/deep']) {
      mkdirSync(one.tree(`${directory}/.~tmp~`));
      writeFileSync(one.tree(`${directory}/.~tmp~/a`), 'half');
    }
    one.rewrite({ state: 'dirty', by: 'sync' });
    rmSync(join(one.source, 'latest'), { recursive: true });
    put(join(one.source, 'latest'));
    await runForJson(['sync', one.root, '--allow-shrink', '--retries', '0']);
    expect(difference(describeTree(one.source), describeTree(one.tree()))).toEqual([]);
  });

  test('goes with a directory in whose place the source has a link, also if nothing else is to be deleted', async () => {
    const one = await mirror('in the place of a directory, without delete');
    mkdirSync(one.tree('latest/.~tmp~'), { recursive: true });
    writeFileSync(one.tree('latest/.~tmp~/a'), 'half');
    one.rewrite({ state: 'dirty', by: 'sync' });
    symlinkSync('file', join(one.source, 'latest'));
    await runForJson(['sync', one.root, '--without', 'delete', '--retries', '0']);
    expect(readlinkSync(one.tree('latest'))).toBe('file');
  });

  test('is told from a mirror that lies in a directory of that name', async () => {
    const home = join(scratch.path, 'home');
    const root = join(home, '.~tmp~', 'mirror');
    const one = inPlaceMirror({ ...smallMirror({ home, root }) });
    const rule = ['--', '--filter=P /own'];
    await runForJson(['init', root, '--in-place', '--source', one.source, ...rule]);
    await one.sync();
    writeFileSync(one.tree('own'), 'mine');
    one.rewrite({ state: 'dirty', by: 'sync' });
    expect(await one.sync()).toMatchObject({ plan: { newFiles: 0 } });
    expect(readFileSync(one.tree('own'), 'utf8')).toBe('mine');
  });

  test.skipIf(!nobodyRunsTheProgram).each([
    ['sync', (one: InPlaceMirror) => ['sync', one.root]],
    ['gate open --clean', (one: InPlaceMirror) => ['gate', 'open', '--clean', one.root]],
  ])(
    `goes by %s from a directory that its owner may not write to${whyNotAsAnother}`,
    async (name, words) => {
      const one = await mirror(`read-only directory, ${name}`);
      mkdirSync(one.tree('below/.~tmp~'));
      writeFileSync(one.tree('below/.~tmp~/gone'), 'half');
      one.rewrite({ state: 'dirty', by: 'sync' });
      for (const path of [join(one.source, 'below'), one.tree('below')]) chmodSync(path, 0o555);
      await execa('chown', ['-R', `${nobody.uid}:${nobody.gid}`, one.root]);
      const result = await runProgram(words(one), { user: nobody });
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(statSync(one.tree('below')).mode & 0o777).toBe(0o555);
      expect(readdirSync(one.tree('below'))).toEqual(['file']);
    },
  );

  test('is no loss to a dry run, as it is none to the sync', async () => {
    const one = await killed(await mirror('remains in a dry run'));
    const plan = await runForJson(['sync', one.root, '--dry-run', '--json']);
    expect(plan).toMatchObject({ refusal: null, plan: { deletedFiles: 0 } });
    expect(await one.sync()).toMatchObject({ outcome: 'published' });
  });

  test('is given back with an adopted directory only as files, with a warning', async () => {
    const home = join(scratch.path, 'remains given back');
    const directory = join(home, 'adopted');
    const up = smallMirror({ home, root: `${directory}.mirror` });
    cpSync(up.source, directory, { recursive: true, preserveTimestamps: true });
    const words = ['init', '--adopt', directory, '--in-place', '--source', up.source];
    await runProgram(words);
    await killed(inPlaceMirror(up));
    const result = await runProgram(['init', '--unadopt', directory]);
    expect(result.exitCode, transcript(result)).toBe(0);
    const [left, ...others] = remainsIn(directory);
    expect(others).toEqual([]);
    expect(left).toMatch(/^\.slow\./);
    expect(result.stderr).toContain(
      `warning: in ${directory}, what a killed rsync may have left stays: ${left}. Remove`,
    );
  });
});

describe.concurrent('After a reboot,', () => {
  /** What a power cut may leave of a file: its size and time, but zeros as its content. */
  function zero(file: string): void {
    const { size, atime, mtime } = statSync(file);
    const descriptor = openSync(file, 'r+');
    writeSync(descriptor, Buffer.alloc(size));
    closeSync(descriptor);
    utimesSync(file, atime, mtime);
  }

  test('the files of an interrupted sync are compared by content, even if another sync fails in between', async () => {
    const one = await mirror('restart');
    // Whole seconds, because Node cannot set nanoseconds.
    utimesSync(join(one.source, 'file'), 1_600_000_000, 1_600_000_000);
    await one.sync();
    zero(one.tree('file'));
    expect(await one.sync(), 'this is what it takes to be found').toMatchObject({
      outcome: 'unchanged',
    });
    one.rewrite({ state: 'closed', boot: 'another-boot', by: 'sync' });
    one.setMode(0o700);
    const interrupted = await startSlow(one);
    interrupted.kill('SIGKILL');
    await endNow(one, interrupted);
    const result = await runProgram(['sync', one.root]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/restarted/);
    expect(readFileSync(one.tree('file'), 'utf8')).toBe('content');
    expect(one.record()).toMatchObject({ state: 'open' });
  });
});

describe.concurrent('The gate', () => {
  test('takes no reason of more than 1,000 characters, and a reader cuts one that others wrote', async () => {
    const one = await mirror('long reason');
    expectFailure(
      await runProgram(['gate', 'close', one.root, '--reason', '"'.repeat(1_001)]),
      64,
      /the reason has 1001 characters, and may have 1000/,
      /Shorten it/,
    );
    expect(one.record().state).toBe('open');
    await runForJson(['gate', 'close', one.root, '--reason', '"'.repeat(1_000)]);
    for (const { count, shown } of [
      { count: 1_000, shown: 1_000 },
      { count: 20_000, shown: 3_000 },
    ]) {
      one.rewrite({ reason: '"'.repeat(count) });
      const results = await Promise.all(
        guards.map((guard) => runGuarded(guard, one.root, ['true'], { options: ['--wait', '0'] })),
      );
      for (const result of results)
        expectFailure(result, 75, new RegExp(`closed by hand: "{${shown}}$`, 'm'), /Wait longer/);
    }
  });

  test('keeps readers out with its reason as it was given', async () => {
    const one = await mirror('reason');
    const reason = 'the "disk" of C:\\\\ "a","b" is full';
    await runForJson(['gate', 'close', one.root, '--reason', reason]);
    const impatient = await one.read({ options: ['--wait', '0'] });
    expect(impatient.stderr).toContain(`closed by hand: ${reason}\n`);
  });

  test('keeps guarded readers and syncs out after gate close until gate open', async () => {
    const one = await mirror('by hand');
    one.change({ file: 'changed' });
    const closed = await runForJson(['gate', 'close', one.root, '--reason', 'a look at the disk']);
    expect(closed).toMatchObject({ state: 'closed', by: 'person', reason: 'a look at the disk' });
    expect(one.mode()).toBe(0o700);
    const impatient = await one.read({ options: ['--wait', '0'] });
    expect(impatient.exitCode).toBe(75);
    expect(impatient.stderr).toMatch(/closed by hand: a look at the disk$/m);
    const waited = await runProgram(['wait', one.root, '--timeout', '0']);
    expectFailure(waited, 75, /closed by hand since \S*:\d\dZ: a look at the disk$/m);
    const planned = await runForJson(['sync', one.root, '--dry-run']);
    expect(planned['refusal']).toMatch(/closed by hand: a look at the disk$/);
    const dryRun = await runProgram(['sync', one.root, '--dry-run']);
    expect(dryRun.stderr).toMatch(/would be refused \(exit code 75\): .* closed by hand/);
    const result = await runProgram(['sync', one.root]);
    expectFailure(result, 75, /closed by hand: a look at the disk/, /gate open/);
    expect(result.stderr, 'it looks at the gate first').not.toMatch(/planning/);
    expect(one.history().at(-1), 'as for another holder of the lock').toMatchObject({
      event: 'published',
    });
    expect(one.record()).toMatchObject({ state: 'closed', by: 'person' });
    expect(readFileSync(one.tree('file'), 'utf8')).toBe('content');
    const sentence = await runProgram(['gate', 'status', one.root]);
    expect(sentence.stdout).toMatch(
      /has been closed by hand since .*: a look at the disk; 0 guarded readers are inside\. Open it with: mirrorlatch gate open '.*'$/m,
    );
    const status = await runProgram(['status', one.root]);
    expect(status.stdout).toMatch(
      /closed by hand .*: a look at the disk; open it with: mirrorlatch gate open \S.*$/m,
    );
    const again = await runProgram(['gate', 'close', one.root]);
    expect(again.stderr, transcript(again)).toMatch(
      /was already closed by hand, since \S+:\d\dZ: a look at the disk$/m,
    );
    expect(one.record(), 'its reason and its time').toMatchObject({
      reason: 'a look at the disk',
      since: closed['since'],
    });
    expect(status.stdout).toMatch(/^why +its gate is closed$/m);
    expect(status.stdout).toMatch(/^tree +one, which is written in place behind a gate$/m);
    expect(status.stdout).toMatch(/^last +published the tree, /m);
    const reason = '-a look\u001b[31m\nat the disk';
    const replacing = await runProgram(['gate', 'close', one.root, '--reason', reason]);
    expect(replacing.stderr, transcript(replacing)).toMatch(
      /since \S+:\d\dZ: a look at the disk; the new reason replaces that one$/m,
    );
    for (const command of [
      ['gate', 'close', one.root, '--reason', reason],
      ['status', one.root],
      ['sync', one.root],
    ])
      expect(transcript(await runProgram(command))).toContain('-a look\\x1b[31m\\x0aat the disk');
    expect(await runForJson(['gate', 'open', one.root])).toMatchObject({ state: 'open' });
    expect((await one.read()).stdout).toBe('content');
    await one.sync();
    expect((await one.read()).stdout).toBe('changed');
  });

  test('keeps out a guarded reader that has only just seen it open', async () => {
    const one = await mirror('just closed');
    // The reader looks at the gate, takes the lease by flock(1), and looks again.
    const close = `'${launcher}' gate close '${one.root}' >/dev/null 2>&1`;
    const closes = `[ "$1" != -s ] || PATH='${process.env['PATH']}' ${close}`;
    const PATH = standInFor('flock', join(one.home, 'programs'), closes);
    const late = await one.read({ options: ['--wait', '0'], env: { PATH } });
    expect(late.exitCode, transcript(late)).toBe(75);
    expect(late.stderr).toMatch(/is closed by hand/);
  });

  test.skipIf(!runsAsRoot)(
    `lets a reader of another user in that has passed it before it is closed by hand${whyNotAsAnother}`,
    async () => {
      const one = await mirror('passed');
      const arrived = join(one.home, 'arrived');
      mkdirSync(arrived, { mode: 0o777 });
      chmodSync(arrived, 0o777);
      // The guard has the lease when it looks for a namespace by unshare(1).
      const waits = `mkdir '${arrived}/now'; while [ -x '${join(one.root, 'gate')}' ]; do sleep 0.05; done; exit 1`;
      const env = { PATH: standInFor('unshare', join(one.home, 'programs'), waits) };
      const reading = startGuarded(reader, one.root, ['echo', 'ran', '{snapshot}'], {
        caller: { name: 'nobody', user: nobody },
        env,
      });
      await eventually(() => expect(existsSync(join(arrived, 'now'))).toBe(true));
      await runForJson(['gate', 'close', one.root]);
      const result = await reading.result;
      expect(result.stdout, transcript(result)).toBe(`ran ${one.tree()}\n`);
    },
  );

  test('I4, I6: stays closed behind a sync while another one is refused', async () => {
    const one = await mirror('refused');
    const sync = await startSlow(one);
    const goOn = holdRsync(one.root);
    const before = one.record();
    expectFailure(await runProgram(['sync', one.root]), 75, /is locked: sync by/);
    expect(one.record()).toEqual(before);
    expect(one.mode()).toBe(0o700);
    goOn();
    expect((await sync.result).exitCode).toBe(0);
  });

  test('cannot be opened or closed while a sync runs, and other mirrors have none', async () => {
    const one = await mirror('by hand busy');
    const sync = await startSlow(one);
    const goOn = holdRsync(one.root);
    for (const verb of ['open', 'close']) {
      expectFailure(await runProgram(['gate', verb, one.root]), 75, /sync/);
    }
    goOn();
    expect((await sync.result).exitCode).toBe(0);
    const other = smallMirror({ home: join(scratch.path, 'no gate') });
    await other.sync();
    expectFailure(await runProgram(['gate', 'status', other.root]), 64, /no gate/);
    expectFailure(await runProgram(['init', other.root, '--in-place']), 64, /with snapshots/);
  });

  test.each([
    ['broken', (file: string) => writeFileSync(file, '{"state":"op')],
    ['empty', (file: string) => writeFileSync(file, '')],
    ['missing', (file: string) => rmSync(file)],
  ])(
    'is repaired by gate open if its record is %s, and lets nobody in before',
    async (name, spoil) => {
      const one = await mirror(`record ${name}`);
      spoil(one.state('gate.json'));
      const impatient = await one.read({ options: ['--wait', '0'] });
      expect(impatient.exitCode, transcript(impatient)).toBe(75);
      expect(impatient.stderr).toMatch(/the state of its gate is not known/);
      expect(impatient.stderr).not.toMatch(/cannot open|No such file/);
      for (const words of [['sync'], ['status'], ['gate', 'status'], ['gate', 'close'], ['wait']]) {
        const hint = `: mirrorlatch gate open --clean '${one.root}'\n`;
        expectFailure(await runProgram([...words, one.root]), 78, /gate\.json/, new RegExp(hint));
      }
      await expect(pin({ root: one.root })).rejects.toMatchObject({ code: 'CONFIGURATION' });
      expect(await runForJson(['gate', 'open', one.root])).toMatchObject({ state: 'dirty' });
      expect((await one.read({ options: ['--wait', '0'] })).exitCode).toBe(75);
      const opened = await runForJson(['gate', 'open', one.root, '--clean']);
      expect(opened).toMatchObject({ state: 'open' });
      expect((await one.read()).stdout).toBe('content');
      expect(await one.sync()).toMatchObject({ outcome: 'unchanged' });
      expect(existsSync(join(one.root, 'snapshots')), basename(one.root)).toBe(false);
    },
  );
});

test('While an in-place sync writes, pin() refuses, wait waits, status and list report it, and watch reports each state of the gate', async () => {
  const one = await mirror('tell');
  const held = await pin({ root: one.root });
  expect(held).toMatchObject({ id: 'live', path: one.tree() });
  held.release();
  const { events, of, until } = await startWatch(one.root);
  const sync = await startSlow(one);
  const goOn = holdRsync(one.root);
  await expect(pin({ root: one.root })).rejects.toMatchObject({ code: 'BUSY' });
  const waiting = startProgram(['wait', one.root, '--json']);
  await isWatching(waiting);
  const gate = await runForJson(['gate', 'status', one.root]);
  expect(gate).toMatchObject({ state: 'closed', by: 'sync', readers: 0 });
  const status = await runForJson(['status', one.root]);
  expect(status).toMatchObject({ isHealthy: true, findings: [], current: { id: 'live' } });
  expect(status, 'who writes is no reader').toMatchObject({
    current: { readers: [], leases: 0 },
  });
  expect(one.record().state, 'it was told while the gate was closed').toBe('closed');
  goOn();
  expect((await sync.result).exitCode).toBe(0);
  expect((await waiting.result).json()).toMatchObject({ id: 'live', path: one.tree() });
  await until('gate', 3);
  expect(of('gate').map(({ state }) => state)).toEqual(['closing', 'closed', 'open']);
  expect(events.map(({ event }) => event)).toContain('published');
  const current = await runProgram(['current', one.root]);
  expect(current.stdout).toBe(`${one.tree()}\n`);
  const reading = await startReading(one);
  const list = await runProgram(['list', one.root, '--json']);
  expect(JSON.parse(list.stdout)).toMatchObject([
    { id: 'live', isCurrent: true, leases: 1, readers: [{ pid: reading.pid, by: 'lease' }] },
  ]);
  reading.kill('SIGKILL');
  await reading.result;
});
