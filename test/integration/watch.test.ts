import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa, execaSync } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { prune, rollback, sync } from '../../src/index.ts';
import { appendHistory, type HistoryEntry, readHistory } from '../../src/mirror/history/history.ts';
import { layoutOf } from '../../src/mirror/layout.ts';
import { acquireSyncLock } from '../../src/mirror/locks/acquire-lock.ts';
import { DEFAULT_LOCK } from '../../src/mirror/settings/policy.ts';
import { type EventStream, startWatch } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { inotifyWatches, isWatching } from '../support/inotify.ts';
import { missingOf } from '../support/installed.ts';
import { mayMount, nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, startProgram } from '../support/program.ts';
import { bin, project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const threeSnapshots = mirrorsWith('first', 'second', 'third');

/** Words that run a program with no inotify instance, or no watch, left for its user. */
const withoutInotify = (limit: 'max_inotify_instances' | 'max_inotify_watches') => [
  ...['unshare', '--user', '--map-root-user', 'sh', '-c'],
  `echo 0 > /proc/sys/user/${limit} && exec "$@"`,
  'sh',
];

const mayTakeInotifyAway =
  execaSync('unshare', [...withoutInotify('max_inotify_instances').slice(1), 'true'], {
    reject: false,
  }).exitCode === 0;

describe('watch reports', () => {
  test('each of hundreds of flips once and in order: by events, by polling, and on FUSE', async () => {
    const FLIPS = 300;
    const mirror = await threeSnapshots();
    const byEvents = await startWatch(mirror.root);
    const byLooking = await startWatch(mirror.root, ['--poll', '40ms']);
    // On FUSE the changes of others cause no events.
    const onFuse =
      mayMount && missingOf('bindfs').length === 0
        ? [await startWatch(await fuseViewOf(mirror))]
        : [];
    await isWatching(byEvents);
    const flipped = await flipOften(mirror, FLIPS);
    const history = historyOf(mirror).slice(3);
    expect(history).toHaveLength(FLIPS);
    for (const watching of [byEvents, byLooking, ...onFuse]) {
      await eventually(() => expect(watching.flips().length).toBeGreaterThanOrEqual(FLIPS));
      await pause(100);
      expect(watching.flips()).toEqual(flipped);
      expect(toldOfHistory(watching)).toEqual(history);
    }
    for (const watching of [byLooking, ...onFuse]) expect(inotifyWatches(watching)).toBe(0);
    for (const watching of onFuse) {
      // A filesystem in use cannot be unmounted.
      watching.kill('SIGTERM');
      await watching.end;
    }
  });

  test.runIf(mayTakeInotifyAway).each([
    ['max_inotify_instances', 'fs.inotify.max_user_instances'],
    ['max_inotify_watches', 'fs.inotify.max_user_watches'],
  ] as const)(
    'flips even if the limit of inotify is reached (%s), with one warning that names the setting',
    async (limit, sysctl) => {
      const mirror = await threeSnapshots();
      const watching = await startWatch(mirror.root, [], { through: withoutInotify(limit) });
      await eventually(() => expect(watching.said()).toContain(sysctl));
      await runForJson(['rollback', mirror.root]);
      await watching.until('rolled-back');
      await runForJson(['rollback', mirror.root]);
      await watching.until('rolled-back', 2);
      expect(watching.flips()).toEqual(['second', 'third']);
      expect(watching.said()).toMatch(/^mirrorlatch: warning: .*every 1 s.*\n$/);
    },
  );

  test('syncs that publish, find no change or fail, removals and rollbacks, on one line each', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root);
    const asText = startProgram(['watch', mirror.root]);
    await isWatching(asText);
    await mirror.publish('fourth', { file: 'fourth' }, '--keep-last', '1', '--grace', '0');
    await mirror.sync();
    await runForJson(['rollback', mirror.root]);
    mirror.change({ file: null, 'below/file': null });
    expect((await runProgram(['sync', mirror.root])).exitCode).toBe(65);
    await watching.until('failed');
    expect(toldOfHistory(watching)).toEqual(historyOf(mirror).slice(3));
    expect(watching.events.filter(({ event }) => !event.startsWith('lock-'))).toMatchObject([
      { event: 'watching', id: 'third', previous: 'second' },
      { event: 'published', id: 'fourth', previous: 'third', files: 2 },
      { event: 'pruned', id: 'first' },
      { event: 'pruned', id: 'second' },
      { event: 'unchanged', current: 'fourth' },
      { event: 'rolled-back', id: 'third', previous: 'fourth' },
      { event: 'failed', code: 'SHRUNKEN_SOURCE' },
    ]);
    await eventually(() => expect(asText.printedSoFar()).toMatch(/failed: .*\n/));
    asText.kill('SIGTERM');
    const { stdout } = await asText.result;
    const lines = stdout.trimEnd().split('\n');
    expect(lines.every((line) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [a-z]/.test(line))).toBe(
      true,
    );
    expect(
      lines.map((line) => line.replace(/^\S+ /, '')).filter((line) => !line.startsWith('lock')),
    ).toEqual([
      'watching, current is third',
      'published fourth, replacing third',
      'pruned first',
      'pruned second',
      'unchanged, current is fourth',
      'rolled back to third, replacing fourth',
      expect.stringMatching(/^failed: .*(shrunk|has no file left)/),
    ]);
  });

  test('who takes and releases the lock, and that its holder was killed', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root);
    await mirror.publish('fourth', { file: 'fourth' });
    await watching.until('lock-released');
    const kinds = watching.events.map(({ event }) => event);
    expect(kinds).toEqual(['watching', 'lock-taken', 'published', 'lock-released']);
    const [taken] = watching.of('lock-taken');
    expect(taken).toMatchObject({ owner: { command: 'sync', host: {} } });
    expect(watching.of('lock-released')).toMatchObject([{ owner: taken?.['owner'] }]);

    const killed = await startSlowSync(mirror);
    await watching.until('lock-taken', 2);
    killed.kill('SIGKILL');
    await watching.until('lock-left');
    expect(watching.of('lock-left')).toMatchObject([{ owner: { pid: killed.pid } }]);
    expect(watching.of('lock-released')).toHaveLength(1);
  });

  test('the first snapshot of a mirror', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root]);
    const watching = await startWatch(mirror.root);
    expect(watching.events).toMatchObject([{ event: 'watching', id: null, previous: null }]);
    await mirror.publish('first', { file: 'first' });
    await watching.until('published');
    expect(watching.of('published')).toMatchObject([{ id: 'first', previous: null }]);
  });

  test('a flip that is recorded late, once, when it is recorded', async () => {
    const mirror = await threeSnapshots();
    const layout = layoutOf(mirror.root);
    const before = await startWatch(mirror.root);
    // The state after a crash between the flip and its record.
    const lock = await acquireSyncLock(layout, { command: 'rollback', ...DEFAULT_LOCK });
    lock.replaceLink(layout.previous, 'snapshots/third');
    lock.replaceLink(layout.current, 'snapshots/first');
    await lock.release();
    const after = await startWatch(mirror.root);
    expect(after.events).toMatchObject([{ event: 'watching', id: 'first', previous: 'third' }]);
    await pause(1_500);
    expect([...before.flips(), ...after.flips()]).toEqual([]);
    await rollback({ root: mirror.root, id: 'second' });
    for (const watching of [before, after]) {
      await watching.until('rolled-back', 2);
      expect(watching.flips()).toEqual(['first', 'second']);
    }
  });

  test('a publication that two hosts have recorded, as after a takeover, once', async () => {
    const mirror = await threeSnapshots();
    const layout = layoutOf(mirror.root);
    const watching = await startWatch(mirror.root);
    await mirror.publish('fourth', { file: 'fourth' });
    const line = readHistory(layout).findLast(({ event }) => event === 'published');
    if (line === undefined) throw new Error('there is no line to repeat');
    appendHistory(layout, { ...line, at: new Date().toISOString() });
    await mirror.publish('fifth', { file: 'fifth' });
    appendHistory(layout, line);
    await rollback({ root: mirror.root });
    await watching.until('rolled-back');
    expect(watching.flips()).toEqual(['fourth', 'fifth', 'fourth']);
  });

  test('later publications after the whole mirror was replaced', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root);
    await rollback({ root: mirror.root });
    await execa('mv', [mirror.root, `${mirror.root}.old`]);
    await execa('cp', ['-a', `${mirror.root}.old`, mirror.root]);
    await rollback({ root: mirror.root });
    await watching.until('rolled-back', 2);
    expect(watching.flips()).toEqual(['second', 'third']);
  });

  test.runIf(nobodyRunsTheProgram)('everything to a user with read permission', async () => {
    const mirror = await threeSnapshots();
    const watching = startProgram(['watch', mirror.root, '--json'], { user: nobody });
    await isWatching(watching);
    await rollback({ root: mirror.root });
    await eventually(() => expect(watching.printedSoFar()).toMatch(/"event":"rolled-back"/));
    watching.kill('SIGINT');
    const { exitCode, stderr } = await watching.result;
    expect(stderr).toBe('');
    expect(exitCode).toBe(130);
  });

  test('that the mirror is gone, and ends with 66', async () => {
    const mirror = await threeSnapshots();
    const watching = startProgram(['watch', mirror.root]);
    await isWatching(watching);
    await execa('mv', [mirror.root, `${mirror.root}.old`]);
    const result = await watching.result;
    expectFailure(result, 66, /there is no longer a mirror in/, /Check that its disk is mounted/);
    // A mirror made there would fill the disk below the mount point.
    expect(result.stderr).not.toContain('init');
  });

  test('until its name leads to another mirror, and ends with 66', async () => {
    const mirror = await threeSnapshots();
    const name = join(mirror.home, 'name');
    symlinkSync(mirror.root, name);
    const watching = startProgram(['watch', name]);
    await isWatching(watching);
    await execa('ln', ['-sfn', mirror.source, name]);
    expectFailure(await watching.result, 66, /name leads to .*source now/);
  });

  test('although the name of the mirror is missing for a moment', async () => {
    const mirror = await threeSnapshots();
    const name = join(mirror.home, 'name');
    symlinkSync(mirror.root, name);
    const watching = await startWatch(name);
    rmSync(name);
    await rollback({ root: mirror.root });
    await watching.until('rolled-back', 1);
    symlinkSync(mirror.root, name);
    await rollback({ root: mirror.root });
    await watching.until('rolled-back', 2);
    expect(watching.flips()).toEqual(['second', 'third']);
  });

  test('until the name of the mirror has been missing for long, and ends with 66', async () => {
    const mirror = await threeSnapshots();
    const name = join(mirror.home, 'name');
    symlinkSync(mirror.root, name);
    const watching = startProgram(['watch', name]);
    await isWatching(watching);
    rmSync(name);
    const result = await watching.result;
    expectFailure(result, 66, /name is gone, which led to .*mirror/, /by its own path: .*mirror/);
  });

  test('until its output is closed', async () => {
    const mirror = await threeSnapshots();
    const watching = execa(
      'sh',
      ['-c', 'node dist/bin/main.cjs watch "$1" | head -n 1', 'sh', mirror.root],
      { cwd: project },
    );
    await once(watching.stdout, 'data');
    const flipping = setInterval(() => void rollback({ root: mirror.root }).catch(() => {}), 200);
    const { stdout } = await watching;
    clearInterval(flipping);
    expect(stdout).toMatch(/watching, current is third$/);
  });
});

describe('watch with a command', () => {
  test('runs it pinned to each new snapshot, from the next one on', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root, [], {
      command: ['sh', '-c', 'cat file; echo " of $MIRRORLATCH_ID for $1 in $PWD"', 'sh', "it's"],
    });
    await mirror.publish('fourth', { file: 'content four' });
    await watching.until('command-ended');
    await rollback({ root: mirror.root, id: 'first' });
    await watching.until('command-ended', 2);
    expect(watching.said()).toBe(
      ['content four of fourth', 'first of first']
        .map(
          (what) =>
            `${what} for it's in ${join(mirror.root, 'snapshots', what.split(' ').at(-1) ?? '')}\n`,
        )
        .join(''),
    );
    expect(watching.of('command-started')).toMatchObject([{ id: 'fourth' }, { id: 'first' }]);
    expect(watching.of('command-ended')).toMatchObject([
      { id: 'fourth', exitCode: 0, signal: null },
      { id: 'first', exitCode: 0, signal: null },
    ]);
  });

  test('runs it for the current snapshot at the start too, with --initial', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root, ['--initial'], { command: ['cat', 'file'] });
    await watching.until('command-ended');
    expect(watching.said()).toBe('third');
    await rollback({ root: mirror.root });
    await watching.until('command-ended', 2);
    expect(watching.said()).toBe('thirdsecond');
  });

  test('runs it for each publication of an in-place mirror, although all have the same name', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, '--in-place']);
    const watching = await startWatch(mirror.root, [], { command: ['cat', 'file'] });
    for (const [index, content] of ['one', 'two', 'three'].entries()) {
      mirror.change({ file: content });
      await mirror.sync();
      await watching.until('command-ended', index + 1);
    }
    expect(watching.of('published')).toHaveLength(3);
    expect(watching.of('command-ended').map(({ exitCode }) => exitCode)).toEqual([0, 0, 0]);
    // It may report that it had to wait for the sync to open the gate.
    expect(watching.said().replaceAll(/mirrorlatch: .*\n/g, '')).toBe('onetwothree');
  });

  test('reports its exit code or signal, and continues', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root, ['--retries', '0'], {
      command: ['sh', '-c', 'case $MIRRORLATCH_ID in first) exit 3;; second) kill -9 $$;; esac'],
    });
    for (const [index, id] of ['first', 'second', 'third'].entries()) {
      await rollback({ root: mirror.root, id });
      await watching.until('command-ended', index + 1);
    }
    expect(watching.of('command-ended')).toMatchObject([
      { id: 'first', exitCode: 3, signal: null },
      { id: 'second', exitCode: null, signal: 'SIGKILL' },
      { id: 'third', exitCode: 0, signal: null },
    ]);
    expect(watching.of('command-given-up')).toMatchObject([
      { id: 'first', retries: 0 },
      { id: 'second', retries: 0 },
    ]);
  });

  test('runs it again after a failure, until it succeeds', async () => {
    const mirror = await threeSnapshots();
    const log = join(mirror.home, 'log');
    const script = 'cat file >>"$1"; echo >>"$1"; test "$(wc -l <"$1")" -ge 3';
    const watching = await startWatch(mirror.root, ['--initial', '--retry-delay', '100ms'], {
      command: ['sh', '-c', script, 'sh', log],
    });
    await eventually(() =>
      expect(watching.of('command-ended').map(({ exitCode }) => exitCode)).toEqual([1, 1, 0]),
    );
    expect(watching.of('command-retry')).toMatchObject([
      { id: 'third', retry: 1, retries: 4, seconds: 0.1 },
      { id: 'third', retry: 2, retries: 4, seconds: 0.2 },
    ]);
    expect(readFileSync(log, 'utf8')).toBe('third\nthird\nthird\n');
    await rollback({ root: mirror.root });
    await watching.until('command-ended', 4);
    expect(watching.of('command-ended').at(-1)).toMatchObject({ id: 'second', exitCode: 0 });
  });

  test('gives up after the last retry, says so, and begins anew with the next snapshot', async () => {
    const mirror = await threeSnapshots();
    const words = ['--initial', '--retries', '1', '--retry-delay', '0'];
    const watching = await startWatch(mirror.root, words, { command: ['false'] });
    await watching.until('command-given-up');
    expect(watching.of('command-ended')).toHaveLength(2);
    await rollback({ root: mirror.root });
    await watching.until('command-given-up', 2);
    expect(watching.of('command-given-up')).toMatchObject([
      { id: 'third', retries: 1 },
      { id: 'second', retries: 1 },
    ]);
    expect(watching.of('command-started').map(({ id }) => id)).toEqual([
      ...['third', 'third'],
      ...['second', 'second'],
    ]);
  });

  test('a newer snapshot takes over at once from the pause before a retry, and a signal ends it', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root, ['--initial', '--retry-delay', '5m'], {
      command: ['sh', '-c', 'test "$MIRRORLATCH_ID" = second'],
    });
    await watching.until('command-retry');
    await rollback({ root: mirror.root });
    await watching.until('command-ended', 2);
    await rollback({ root: mirror.root });
    await watching.until('command-retry', 2);
    expect(watching.of('command-started').map(({ id }) => id)).toEqual([
      'third',
      'second',
      'third',
    ]);
    expect(watching.of('command-retry')).toMatchObject([{ retry: 1 }, { retry: 1 }]);
    watching.kill('SIGTERM');
    expect(await watching.end).toEqual({ exitCode: 143, signal: undefined });
    expect(watching.of('command-started')).toHaveLength(3);
  });

  test('never runs it twice at once, and then only for the newest snapshot', async () => {
    const mirror = await threeSnapshots();
    const [log, go] = [join(mirror.home, 'log'), join(mirror.home, 'go')];
    const script = 'echo + >>"$1"; while [ ! -e "$2" ]; do sleep 0.05; done; echo - >>"$1"';
    const watching = await startWatch(mirror.root, [], {
      command: ['sh', '-c', script, 'sh', log, go],
    });
    await rollback({ root: mirror.root, id: 'first' });
    await watching.until('command-started');
    const meanwhile = await flipOften(mirror, 60, 'first');
    if (meanwhile.at(-1) !== 'second') {
      await rollback({ root: mirror.root, id: 'second' });
      meanwhile.push('second');
    }
    await eventually(() => expect(watching.flips()).toEqual(['first', ...meanwhile]));
    writeFileSync(go, '');
    await watching.until('command-ended', 2);
    await rollback({ root: mirror.root, id: 'third' });
    await watching.until('command-ended', 3);
    for (const event of ['command-started', 'command-ended']) {
      expect(watching.of(event)).toMatchObject([
        { id: 'first' },
        { id: 'second' },
        { id: 'third' },
      ]);
    }
    expect(readFileSync(log, 'utf8')).toBe('+\n-\n+\n-\n+\n-\n');
  });

  test('keeps the snapshot for which it runs', async () => {
    const mirror = await threeSnapshots();
    const go = join(mirror.home, 'go');
    const watching = await startWatch(mirror.root, ['--initial'], {
      command: ['sh', '-c', 'while [ ! -e "$1" ]; do sleep 0.1; done; cat file', 'sh', go],
    });
    await watching.until('command-started');
    const source = mirror.source;
    const rules = { source, root: mirror.root, retention: { keepLast: 1, graceMs: 0 } };
    for (const id of ['fourth', 'fifth']) {
      mirror.change({ file: id });
      await sync({ ...rules, id });
    }
    expect(mirror.snapshots()).toEqual(['fifth', 'fourth', 'third']);
    writeFileSync(go, '');
    await watching.until('command-ended', 2);
    expect(watching.said()).toBe('thirdfifth');
    expect((await prune(rules)).removed).toEqual(['third']);
  });

  test.each([
    ['SIGINT', 'a terminal', 130],
    ['SIGINT', 'kill', 130],
    ['SIGTERM', 'kill', 143],
    ['SIGHUP', 'a terminal', 129],
  ] as const)(
    '%s by %s reaches the command once, and the watch exits with %i after it',
    async (signal, by, exitCode) => {
      const mirror = await threeSnapshots();
      const watching = await startWatch(mirror.root, ['--initial'], {
        // A shell could merge two signals that come close together.
        command: [
          process.execPath,
          '-e',
          `process.on('${signal}', () => {
            console.log('${signal}');
            setTimeout(() => process.exit(7), 500);
          });
          setInterval(() => {}, 1000); console.log('ready')`,
        ],
      });
      await eventually(() => expect(watching.said()).toBe('ready\n'));
      // A terminal signals the whole process group.
      process.kill(by === 'kill' ? watching.pid : -watching.pid, signal);
      expect(await watching.end).toEqual({ exitCode, signal: undefined });
      const caught = watching
        .said()
        .split('\n')
        .filter((line) => line === signal);
      expect(caught, watching.said()).toHaveLength(1);
      expect(watching.of('command-ended')).toMatchObject([{ id: 'third', exitCode: 7 }]);
    },
  );

  test('a second signal ends the watch at once, and the command by SIGTERM', async () => {
    const mirror = await threeSnapshots();
    const script = "trap 'echo caught' INT; echo ready; while :; do sleep 0.1; done";
    const command = ['sh', '-c', script];
    const watching = await startWatch(mirror.root, ['--initial'], { command });
    await eventually(() => expect(watching.said()).toBe('ready\n'));
    const pid = Number(watching.of('command-started')[0]?.['pid']);
    watching.kill('SIGINT');
    await eventually(() => expect(watching.said()).toBe('ready\ncaught\n'));
    expect(commandLine(pid)).not.toEqual([]);
    watching.kill('SIGINT');
    expect(await watching.end).toEqual({ exitCode: undefined, signal: 'SIGINT' });
    await eventually(() => expect(commandLine(pid)).toEqual([]));
  });

  test('when the watch is killed, so is the command', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root, ['--initial'], { command: ['sleep', '1000'] });
    await watching.until('command-started');
    const pid = Number(watching.of('command-started')[0]?.['pid']);
    await eventually(() => expect(commandLine(pid)).toEqual(['sleep', '1000']));
    watching.kill('SIGKILL');
    await eventually(() => expect(commandLine(pid)).toEqual([]));
  });

  test('--pin and --chdir work as for run', async () => {
    const mirror = await threeSnapshots();
    const tell = ['sh', '-c', 'echo $MIRRORLATCH_PIN $PWD; ls "$MIRRORLATCH_ROOT/snapshots"'];
    const pinned = await startWatch(mirror.root, ['--initial', '--pin', 'cwd'], { command: tell });
    await pinned.until('command-ended');
    expect(pinned.said()).toBe(`cwd ${mirror.root}/snapshots/third\nfirst\nsecond\nthird\n`);
    if (!mayMount) return;
    const words = ['--initial', '--pin', 'namespace', '--chdir', 'no'];
    const cwd = mirror.home;
    const stayed = await startWatch(mirror.root, words, { command: tell, cwd });
    await stayed.until('command-ended');
    expect(stayed.said()).toBe(`namespace ${mirror.home}\nthird\n`);
  });
});

describe('watch refuses with 64', () => {
  test.each([
    [['--initial'], /--initial needs a command.* --initial -- COMMAND$/ms],
    [
      ['--retries', '0', '--initial'],
      /--initial and --retries need .* --initial --retries 0 -- /ms,
    ],
    [['--pin', 'cwd'], /--pin needs a command.* --pin cwd -- COMMAND$/ms],
    [['--pin', 'tight', '--', 'true'], /Allowed choices/],
    [['--pin', 'cwd', '--chdir', 'no', '--', 'true'], /nothing would be pinned/],
    [['--poll', '0'], /at least 10ms/],
    [['--poll', 'often'], /duration/],
  ])('%j', async (words, said) => {
    const mirror = await threeSnapshots();
    expectFailure(await runProgram(['watch', mirror.root, ...words]), 64, said);
  });
});

test('watch refuses a command with an argument that it could not pass on unchanged', async () => {
  const mirror = await threeSnapshots();
  const script = 'exec node "$1" watch "$2" -- cat "$(printf "\\351")"';
  const { exitCode, stderr } = await execa('sh', ['-c', script, 'sh', bin, mirror.root], {
    reject: false,
  });
  expect([exitCode, stderr]).toEqual([64, expect.stringContaining('not valid UTF-8')]);
});

test.each([
  ['nosuch', 127, /the command "nosuch" was not found/],
  ['./nosuch', 127, /ended with 127: it, or what it calls, was not found/],
  ['./file', 126, /ended with 126: it, or what it calls, cannot be executed/],
])('watch ends at once if its command is %s, with %i', async (command, exitCode, said) => {
  const mirror = await threeSnapshots();
  expectFailure(
    await runProgram(['watch', mirror.root, '--initial', '--', command]),
    exitCode,
    said,
  );
});

test('watch without a mirror exits with 66', async () => {
  expectFailure(await runProgram(['watch', scratchDirectory()]), 66, /no mirror/);
});

/** Flips `current` at random intervals of 5 to 50 ms, as `rollback` does; returns the targets. */
async function flipOften(
  { root }: SmallMirror,
  times: number,
  current = 'third',
): Promise<string[]> {
  const ids = ['first', 'second', 'third'];
  const flipped = [current];
  while (flipped.length <= times) {
    await pause(5 + Math.random() * 45);
    const others = ids.filter((id) => id !== flipped.at(-1));
    const id = others[Math.floor(Math.random() * others.length)] ?? 'first';
    await rollback({ root, id });
    flipped.push(id);
  }
  return flipped.slice(1);
}

/** The mirror through another mount, by bindfs. */
async function fuseViewOf({ home, root }: SmallMirror): Promise<string> {
  const view = join(home, 'view');
  mkdirSync(view);
  await execa('bindfs', [root, view]);
  onTestFinished(() => void execaSync('umount', ['--lazy', view]));
  return view;
}

function historyOf({ root }: SmallMirror): readonly HistoryEntry[] {
  return readHistory(layoutOf(root));
}

function toldOfHistory({ events }: EventStream): unknown[] {
  return events.filter(({ event }) => !/^(watching|lock-|command-)/.test(event));
}

/** Empty for a process that has ended, even if it is still a zombie. */
function commandLine(pid: number): string[] {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) ? readFileSync(file, 'utf8').split('\0').slice(0, -1) : [];
}
