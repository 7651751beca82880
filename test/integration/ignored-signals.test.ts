import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { processesHoldingFlock, processesWithOpenFile } from '../../src/system/proc.ts';
import { eventually } from '../support/eventually.ts';
import { missingOf } from '../support/installed.ts';
import { mayMount } from '../support/privilege.ts';
import { type ProgramOptions, runProgram, startProgram, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { makeScratch } from '../support/scratch.ts';
import { holdRsync, rsyncProcesses, startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { type SshDaemon, startSshDaemon } from '../support/sshd.ts';
import { standInFor } from '../support/stand-in.ts';
import { openTerminal } from '../support/terminal.ts';

const oneSnapshot = mirrorsWith('first');
const scratch = makeScratch();
let sshd: SshDaemon;

beforeAll(async () => {
  sshd = await startSshDaemon();
});

afterAll(async () => {
  await sshd?.stop();
  await scratch.remove();
});

/** Starts mirrorlatch as nohup(1) does, at the head of a process group of its own. */
const ignoring = (...signals: string[]) => ({
  byLauncher: true,
  ownGroup: true,
  through: ['env', `--ignore-signal=${signals.join()}`],
});

describe.concurrent('a signal that mirrorlatch was started to ignore', () => {
  test('ends neither a sync nor its rsync when a closed terminal sends it to the group', async () => {
    const mirror = await oneSnapshot(home('closed'));
    const sync = await startSlowSync(mirror, { seconds: 6, program: ignoring('HUP', 'INT') });
    const rsyncs = rsyncProcesses(mirror.root);
    for (const name of ['SIGHUP', 'SIGINT'] as const) process.kill(-sync.pid, name);
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(rsyncs).not.toEqual([]);
    expect(result.stderr).not.toContain('try ');
    expect(mirror.linked('current')).toBe('slow');
  });

  test('is no reason to ignore another: SIGTERM ends the sync and its rsync', async () => {
    const mirror = await oneSnapshot(home('other'));
    const sync = await startSlowSync(mirror, { program: ignoring('HUP') });
    sync.kill('SIGTERM');
    const result = await sync.result;
    expect(rsyncProcesses(mirror.root)).toEqual([]);
    expect(result.exitCode, transcript(result)).toBe(143);
    expect(existsSync(mirror.state('sync.lock'))).toBe(false);
  });

  const commands = [
    { verb: 'run', options: ['--pin', 'cwd'], exitCode: 0 },
    { verb: 'lock', options: ['--lock-only'], exitCode: 0 },
    { verb: 'watch', options: ['--initial'], exitCode: 130 },
  ];
  const expectIgnored = async (
    { verb, options, exitCode }: (typeof commands)[number],
    { root }: SmallMirror,
    how: ProgramOptions,
  ) => {
    const command = ['cat', '/proc/self/environ', '/proc/self/status'];
    const program = startProgram([verb, root, ...options, '--', ...command], how);
    const all = () => program.printedSoFar() + program.saidSoFar();
    await eventually(() => expect(all()).toMatch(/^SigIgn:\s*\w+$/m));
    if (verb === 'watch') program.kill('SIGINT');
    const result = await program.result;
    expect(result.exitCode, transcript(result)).toBe(exitCode);
    const [, mask] = /^SigIgn:\s*(\w+)$/m.exec(all()) ?? [];
    // SIGHUP, SIGINT, SIGQUIT and SIGTERM.
    expect(BigInt(`0x${mask}`) & 0x4007n).toBe(0x4001n);
    expect(all().split('\0')).toContain('a.b=kept');
    expect(all()).not.toContain('ml_path');
    return all().split('\0');
  };

  test.for(commands)(
    'is ignored by the command of $verb, whose environment is the same as ever',
    async (command) => {
      await expectIgnored(command, await oneSnapshot(home(command.verb)), {
        ...ignoring('HUP', 'TERM'),
        env: { 'a.b': 'kept', ml_ignored: 'hostile' },
      });
    },
  );

  test.runIf(mayMount && missingOf('busybox').length === 0).for(commands)(
    'is ignored by the command of $verb, and no lock passes for held, where env cannot ignore signals',
    async (command) => {
      const { through, ...how } = ignoring('HUP', 'TERM');
      const mount = 'mount --bind "$(command -v busybox)" /usr/bin/env';
      const words = ['unshare', '--mount', 'sh', '-c', `${mount} && exec env a.b=kept "$@"`, 'sh'];
      const variables = await expectIgnored(
        command,
        await oneSnapshot(home(`busybox-${command.verb}`)),
        { ...how, through: [...through, ...words], env: { OLDPWD: undefined, SHLVL: '7' } },
      );
      if (command.verb === 'run') return;
      expect(variables).toContain('SHLVL=7');
      expect(variables.filter((variable) => variable.startsWith('OLDPWD='))).toEqual([]);
    },
  );

  test('with a command whose name has an equals sign', async () => {
    const mirror = await oneSnapshot(home('equals'));
    const words = ['sh', '-c', `cp /bin/echo './a=b' && exec "$@"`, 'sh'];
    const { through, ...how } = ignoring('HUP');
    const result = await runProgram(['lock', mirror.root, '--lock-only', '--', './a=b', 'said'], {
      ...how,
      cwd: mirror.home,
      through: [...through, ...words],
    });
    expect(result, transcript(result)).toMatchObject({ exitCode: 0, stdout: 'said\n' });
  });

  test.for([
    ['later', ''],
    // The sentinel is a cat(1) that env(1) may not yet have made ignore the signal.
    ['later-although-it-killed-the-sentinel', 'exec env --default-signal=HUP "$program" "$@"'],
  ] as const)('does not keep a %s one from the command of lock', async ([name, script]) => {
    const mirror = await oneSnapshot(home(name));
    const command = 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done';
    const words = ['lock', mirror.root, '--lock-only', '--', 'sh', '-c', command];
    const PATH = standInFor('cat', join(mirror.home, 'programs'), script);
    const lock = startProgram(words, { ...ignoring('HUP'), env: { PATH } });
    await eventually(() => expect(lock.printedSoFar()).toBe('ready\n'));
    process.kill(-lock.pid, 'SIGHUP');
    lock.kill('SIGTERM');
    const result = await lock.result;
    expect(result.exitCode, transcript(result)).toBe(5);
  });

  test('ends no wait for the lock of the settings', async () => {
    const mirror = await oneSnapshot(home('settings'));
    const file = mirror.state('settings.flock');
    const holder = execa('flock', ['--no-fork', file, 'cat']);
    await eventually(() => expect(processesHoldingFlock(file)).toEqual([holder.pid]));
    const init = startProgram(['init', mirror.root, '--keep-last', '7'], ignoring('HUP'));
    const flock = () =>
      processesWithOpenFile(file).filter((pid) => ![holder.pid, init.pid].includes(pid));
    await eventually(() => expect(flock()).toHaveLength(1));
    process.kill(-init.pid, 'SIGHUP');
    holder.stdin.end();
    const result = await init.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(mirror.settings()).toMatchObject({ keepLast: 7 });
    await holder;
  });

  test('is named where ssh could not ask, by sync and by push', async () => {
    const mirror = smallMirror({ home: home('unasked') });
    const unknown = `${sshd.remoteShell} -o UserKnownHostsFile=/dev/null`;
    const nobodyListens = `ssh://127.0.0.1:1${mirror.root}`;
    for (const [words, exitCode] of [
      [['sync', `${sshd.host}:${mirror.source}`, mirror.root, '--', '-e', unknown], 77],
      [['sync', `${mirror.source}`, nobodyListens, '--retries', '0'], 69],
      [['sync', mirror.source, `${sshd.host}:${mirror.root}`, '--', '-e', unknown], 77],
    ] as const) {
      const sync = ignoring('HUP');
      const said =
        'Started to ignore SIGHUP, as by nohup, mirrorlatch gives its programs no terminal';
      const result = await runProgram(words, sync);
      expect(result.exitCode, transcript(result)).toBe(exitCode);
      expect(result.stderr.replaceAll(/\s+/g, ' ')).toContain(said);
      const plain = await runProgram(words, { byLauncher: true });
      expect(plain.exitCode, transcript(plain)).toBe(exitCode);
      expect(plain.stderr).not.toContain('nohup');
    }
  });
});

// On its own: of tests that run at once, vitest does not know which one has ended and closes the terminal.
test('a sync that ignores SIGHUP ends with 0 when its terminal is lost', async () => {
  const mirror = await oneSnapshot(home('lost'));
  const exitCode = join(mirror.home, 'exit-code');
  mirror.change({ slow: randomBytes(300 * 1024) });
  const words = ['sync', mirror.source, mirror.root, '--id', 'slow', '--', '--bwlimit=100'];
  const script = `trap '' HUP; "$@"; echo $? >'${exitCode}'`;
  const terminal = openTerminal(['sh', '-c', script, 'sh', launcher, ...words]);
  await terminal.shows('transferring');
  await eventually(() => expect(rsyncProcesses(mirror.root)).not.toEqual([]));
  const goOn = holdRsync(mirror.root);
  await terminal.hangUp();
  goOn();
  await eventually(() => expect(contentOf(exitCode)).toBe('0\n'));
  expect(mirror.linked('current')).toBe('slow');
});

function home(name: string): string {
  const path = join(scratch.path, name);
  mkdirSync(path);
  return path;
}

function contentOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
