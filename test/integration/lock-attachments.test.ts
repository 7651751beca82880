import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { mayMount } from '../support/privilege.ts';
import { type ProgramResult, runProgram, transcript } from '../support/program.ts';
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
    'the file of a loop device that is mounted is in it',
    'truncate -s 2M new && mkfs.ext4 -q new && mount -o loop new "$AT/it is"',
    /could still be written to through the loop device \/dev\/loop\d/,
  ],
];

describe.skipIf(!mayMount)(`I2: lock publishes no tree that could still change${why}`, () => {
  test.for(attached)('because %s', async ([, script, said]) => {
    const mirror = await oneSnapshot();
    const refused = await leaves(mirror, script);
    expectFailure(refused, 125, said);
    expect(mirror.linked('current')).toBe('first');
    const again = await runProgram(['lock', mirror.root, '--resume', '--', 'true']);
    expect(again.exitCode, transcript(again)).toBe(125);

    paste(/(?:Unmount|Detach) it with: (.*?)\. Then/.exec(refused.stderr)?.[1]);
    paste(/Then publish what is there with: (.*)$/m.exec(refused.stderr)?.[1]);
    expect(existsSync(join(mirror.root, 'current', 'new'))).toBe(true);
    expect(mirror.linked('current')).not.toBe('first');
  });

  test.for([attached[0], attached[3]] as const)('nor in place, because %s', async (one) => {
    const [, script, said] = one ?? ['', '', /^$/];
    const mirror = await inPlace();
    const refused = await leaves(mirror, script);
    expectFailure(refused, 125, said);
    expect(mirror.record().state).toBe('dirty');
    paste(/(?:Unmount|Detach) it with: (.*?)\. Then/.exec(refused.stderr)?.[1]);
    paste(/Then publish what is there with: (.*)$/m.exec(refused.stderr)?.[1]);
    expect(mirror.record().state).toBe('open');
  });

  test('but a tree in place that was mounted elsewhere before, and what is read-only, prevent nothing', async () => {
    const mirror = await inPlace();
    const served = join(mirror.home, 'served');
    mkdirSync(served);
    unmountAtEnd(mirror);
    execaSync('mount', ['--bind', mirror.tree(), served]);
    const bound = 'echo >new && mount --bind -o ro . "$AT/it is"';
    const result = await leaves(mirror, bound);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readFileSync(join(served, 'new'), 'utf8')).toBe('\n');
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

/** Runs a command in the tree of `lock`; `$AT` is a directory outside with a file and a directory. */
async function leaves(mirror: SmallMirror, script: string): Promise<ProgramResult> {
  const at = join(mirror.home, 'at');
  mkdirSync(join(at, 'it is'), { recursive: true });
  execaSync('sh', ['-c', 'echo outside >"$1"', 'sh', join(at, 'file')]);
  unmountAtEnd(mirror);
  const words = ['sh', '-c', `cd "$MIRRORLATCH_STAGING" && ${script}`];
  return runProgram(['lock', mirror.root, '--', ...words], { env: { AT: at } });
}

/** Detaches what a failed test left below its directory. */
function unmountAtEnd({ home }: SmallMirror): void {
  onTestFinished(async () => {
    const { stdout } = await execa('findmnt', ['--list', '--noheadings', '--output', 'TARGET']);
    const mounted = stdout.split('\n').filter((path) => path.startsWith(home));
    for (const path of mounted.toReversed()) await execa('umount', ['-l', path]);
    const loops = await execa('losetup', ['--noheadings', '--raw', '--output', 'NAME,BACK-FILE']);
    for (const line of loops.stdout.split('\n').filter((text) => text.includes(home))) {
      await execa('losetup', ['-d', line.split(' ')[0] ?? '']);
    }
    rmSync(home, { recursive: true, force: true });
  });
}

/** Runs a command of a message. */
function paste(command = 'false'): void {
  const script = command.replace(/^mirrorlatch /, `'${launcher}' `);
  const { exitCode, stderr } = execaSync('sh', ['-c', script], { reject: false });
  expect(exitCode, `${command}\n${stderr}`).toBe(0);
}
