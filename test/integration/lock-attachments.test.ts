import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { inShell } from '../support/guards.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { mayMount } from '../support/privilege.ts';
import { type ProgramResult, runProgram, startProcess, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');
const inPlace = mirrorsInPlace();
const why = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

/** What a command leaves, so that its tree can change without any process in it. */
const attached: readonly (readonly [what: string, script: string, said: RegExp])[] = [
  [
    'a filesystem is mounted in it',
    'mkdir new && mount -t tmpfs tmpfs new && echo hi >new/file',
    /new is mounted in it/,
  ],
  [
    '/proc is mounted in it, which nobody may read whole',
    'mkdir new && mount --rbind /proc new',
    /new is mounted in it/,
  ],
  ['a file is mounted in it', 'echo >new && mount --bind "$AT/file" new', /new is mounted in it/],
  [
    'it is mounted in another place',
    'echo >new && mount --bind . "$AT/it is"',
    /could still be written to through the mount .*it is/,
  ],
  [
    'it is the upper layer of an overlay',
    'echo >new && mkdir upper work && mount -t overlay -o "lowerdir=$AT,upperdir=$PWD/upper,workdir=$PWD/work" overlay "$AT/it is"',
    /could still be written to through the mount .*it is/,
  ],
  [
    'the file of a loop device is in it',
    'truncate -s 64k new && losetup -f new',
    /could still be written to through the loop device \/dev\/loop\d/,
  ],
  [
    'the files of loop devices that are mounted are in it',
    'truncate -s 2M new && mkfs.ext4 -q new && cp new other && mount -o loop new "$AT/it is" && mount "$(losetup -f --show other)" "$AT/other"',
    /could still be written to through the loop device \/dev\/loop\d/,
  ],
];

describe.skipIf(!mayMount)(`I2: lock publishes no tree that could still change${why}`, () => {
  test.for(attached)('because %s', async ([, script, said]) => {
    const mirror = await oneSnapshot();
    const through = await inOwnNamespace(mirror);
    const refused = await leaves(mirror, script, through);
    expectFailure(refused, 125, said);
    expect(mirror.linked('current')).toBe('first');
    const again = await runProgram(['lock', mirror.root, '--resume', '--', 'true'], { through });
    expect(again.exitCode, transcript(again)).toBe(125);

    paste(/(?:Unmount|Detach) it with: (.*?)\. Then/.exec(refused.stderr)?.[1], through);
    paste(/Then publish what is there with: (.*)$/m.exec(refused.stderr)?.[1], through);
    expect(existsSync(join(mirror.root, 'current', 'new'))).toBe(true);
    expect(mirror.linked('current')).not.toBe('first');
  });

  test.for([attached[0], attached[3]] as const)('nor in place, because %s', async (one) => {
    const [, script, said] = one ?? ['', '', /^$/];
    const mirror = await inPlace();
    const through = await inOwnNamespace(mirror);
    const refused = await leaves(mirror, script, through);
    expectFailure(refused, 125, said);
    expect(mirror.record().state).toBe('dirty');
    paste(/(?:Unmount|Detach) it with: (.*?)\. Then/.exec(refused.stderr)?.[1], through);
    paste(/Then publish what is there with: (.*)$/m.exec(refused.stderr)?.[1], through);
    expect(mirror.record().state).toBe('open');
  });

  test('but a tree in place that was mounted elsewhere before, and what cannot be written through, prevent nothing', async () => {
    const mirror = await inPlace();
    const served = join(mirror.home, 'served');
    mkdirSync(served);
    const through = await inOwnNamespace(mirror);
    paste(`mount --bind '${mirror.tree()}' '${served}'`, through);
    const harmless = `echo >new && mount --bind -o ro . "$AT/it is"
      truncate -s 64k image gone && losetup -r -f image && losetup -f gone && rm gone
      mount -t tmpfs tmpfs "$AT/other" && mkdir -p "$AT/other$PWD" && mount --bind "$AT/other$PWD" "$AT/other"`;
    const result = await leaves(mirror, harmless, through);
    expect(result.exitCode, transcript(result)).toBe(0);
    paste(`test -e '${served}/new'`, through);
  });
});

test('I2: lock publishes nothing while a process writes whose first thread has ended', async () => {
  const mirror = await oneSnapshot();
  const said = join(mirror.home, 'pid');
  const python = `import ctypes, os, sys, threading, time
os.closerange(3, 64)
file = open(sys.argv[1] + '/file', 'a')
threading.Thread(target=lambda: (time.sleep(60), file.write('late'))).start()
ctypes.CDLL(None).pthread_exit(None)`;
  // The state of the first thread, as a shell can wait for it.
  const script = `cd / && env -i PATH="$PATH" setsid python3 -c "$PYTHON" "$MIRRORLATCH_STAGING" </dev/null >/dev/null 2>&1 & echo $! >'${said}'
    until grep -q '^State:.Z' "/proc/$(cat '${said}')/status"; do sleep 0.05; done; echo >"$MIRRORLATCH_STAGING/new"`;
  const words = ['lock', mirror.root, '--', 'sh', '-c', script];
  const result = await runProgram(words, { env: { PYTHON: python } });
  const pid = Number(readFileSync(said, 'utf8'));
  process.kill(pid, 'SIGKILL');
  expectFailure(result, 125, new RegExp(`could still write to the tree: \\S+ \\(pid ${pid}\\)`));
  expect(mirror.linked('current')).toBe('first');
});

/** Runs a command in the tree of `lock`; `$AT` is a directory outside with a file and two directories. */
async function leaves(
  mirror: SmallMirror,
  script: string,
  through: readonly string[],
): Promise<ProgramResult> {
  const at = join(mirror.home, 'at');
  for (const name of ['it is', 'other']) mkdirSync(join(at, name), { recursive: true });
  writeFileSync(join(at, 'file'), 'outside');
  const words = ['sh', '-c', `cd "$MIRRORLATCH_STAGING" && ${script}`];
  return runProgram(['lock', mirror.root, '--', ...words], { env: { AT: at }, through });
}

/**
 * A mount namespace that lasts as long as the test: another test that makes one for itself would keep
 * a copy of our mounts, and with it a way to the tree.
 *
 * @returns the words that run a command in it.
 */
async function inOwnNamespace({ home }: SmallMirror): Promise<string[]> {
  const namespace = startProcess(['unshare', '--mount', ...inShell('echo made; exec sleep 600')]);
  onTestFinished(async () => {
    namespace.kill('SIGKILL');
    await namespace.result;
    const { stdout } = await execa('losetup', ['--noheadings', '--raw', '-O', 'NAME,BACK-FILE']);
    for (const line of stdout.split('\n').filter((text) => text.includes(home)))
      await execa('losetup', ['-d', line.split(' ')[0] ?? '']);
  });
  await eventually(() => expect(namespace.printedSoFar()).toBe('made\n'));
  return ['nsenter', '--target', String(namespace.pid), '--mount'];
}

/** Runs a command of a message. */
function paste(command: string | undefined, through: readonly string[]): void {
  const script = (command ?? 'false').replace(/^mirrorlatch /, `'${launcher}' `);
  const [file = '', ...words] = [...through, 'sh', '-c', script];
  const { exitCode, stderr } = execaSync(file, words, { reject: false });
  expect(exitCode, `${command}\n${stderr}`).toBe(0);
}
