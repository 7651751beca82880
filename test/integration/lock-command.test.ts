import {
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { guards, runGuarded, startGuarded } from '../support/guards.ts';
import { mayMount } from '../support/privilege.ts';
import {
  type ProgramResult,
  type RunningProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { makeScratch } from '../support/scratch.ts';
import { copiesOf, mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const withTenFiles = copiesOf((mirror) =>
  mirror.publish(
    'first',
    Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`file-${index}`, '0123456789'])),
  ),
);
const scratch = makeScratch();
afterAll(() => scratch.remove());

describe.concurrent('the tree that the command makes', () => {
  test('is published if the command exits with 0, and starts empty the first time', async () => {
    const root = join(home('fresh'), 'mirror');
    await runForJson(['init', root]);
    const script = 'ls -A "$MIRRORLATCH_STAGING"; echo new >"$MIRRORLATCH_STAGING/file"; pwd; env';
    const result = await runProgram(['lock', root, '--', 'sh', '-c', script], { cwd: '/usr' });
    expect(result.exitCode, transcript(result)).toBe(0);
    const [id = ''] = readdirSync(join(root, 'snapshots'));
    expect(result.stderr).toContain(`published ${id}: 1 new, 0 changed, 0 deleted; 1 file in all`);
    const staging = join(root, '.mirrorlatch', 'staging');
    const said = result.stdout.split('\n');
    expect(said[0], 'the tree was empty').toBe('/usr');
    expect(said).toContain(`MIRRORLATCH_ID=${id}`);
    expect(said).toContain(`MIRRORLATCH_ROOT=${root}`);
    expect(said).toContain(`MIRRORLATCH_STAGING=${join(staging, `${id}.command`)}`);
    expect(readFileSync(join(root, 'current', 'file'), 'utf8')).toBe('new\n');
    expect(statSync(join(root, 'current')).mode & 0o777).toBe(0o755);
    expect(withoutHidden(staging)).toEqual([]);
    expect(lastOf(root)).toMatchObject({
      event: 'published',
      id,
      source: 'sh',
      strategy: 'command',
      files: 1,
      bytes: 4,
      newFiles: 1,
      deletedFiles: 0,
    });
    expect(await isHealthy(root)).toBe(true);
  });

  test('I2: starts as a copy, so writing in place changes no published snapshot', async () => {
    const mirror = await oneSnapshot(home('copy'));
    const before = describeTree(mirror.root, { hardLinks: true });
    const first = describeTree(join(mirror.root, 'current'));
    const script = 'cd "$MIRRORLATCH_STAGING" && echo more >>file && chmod 0600 below/file';
    await succeeds(mirror, ['--id', 'second'], script);
    expect(before.size).toBeGreaterThan(0);
    expect(difference(first, describeTree(join(mirror.root, 'snapshots', 'first')))).toEqual([]);
    expect(readFileSync(join(mirror.root, 'current', 'file'), 'utf8')).toBe('firstmore\n');
    expect(mirror.linked('current')).toBe('second');
    expect(mirror.linked('previous')).toBe('first');
  });

  test('shares files with the current snapshot by --hard-links-are-safe', async () => {
    const mirror = await oneSnapshot(home('links'));
    const script = 'cd "$MIRRORLATCH_STAGING" && echo new >new && mv new file';
    await succeeds(mirror, ['--id', 'second', '--hard-links-are-safe'], script);
    expect(inode(mirror, 'second', 'below/file')).toBe(inode(mirror, 'first', 'below/file'));
    expect(readFileSync(join(mirror.root, 'snapshots', 'first', 'file'), 'utf8')).toBe('first');
  });

  test('I2: is not reused without that option if it has hard links, except for its new files', async () => {
    const mirror = await oneSnapshot(home('broken'));
    const first = describeTree(join(mirror.root, 'current'));
    const fails = 'cd "$MIRRORLATCH_STAGING" && echo fetched >new; exit 1';
    await lock(mirror, ['--hard-links-are-safe'], fails);
    await succeeds(
      mirror,
      ['--id', 'second', '--resume'],
      'echo more >>"$MIRRORLATCH_STAGING/below/file"',
    );
    expect(difference(first, describeTree(join(mirror.root, 'snapshots', 'first')))).toEqual([]);
    const current = join(mirror.root, 'current');
    expect(readFileSync(join(current, 'below', 'file'), 'utf8')).toBe('content belowmore\n');
    expect(readFileSync(join(current, 'new'), 'utf8')).toBe('fetched\n');

    const replaces = `cd "$MIRRORLATCH_STAGING" && printf tsrif >x && touch -r file x && mv x file
      touch -r "$MIRRORLATCH_ROOT/current/." .; exit 1`;
    await lock(mirror, ['--hard-links-are-safe'], replaces);
    await succeeds(mirror, ['--id', 'third', '--resume'], 'exit 0');
    expect(readFileSync(join(current, 'file'), 'utf8')).toBe('tsrif');
  });

  test('is not published if it equals the current snapshot', async () => {
    const mirror = await oneSnapshot(home('same'));
    for (const options of [[], ['--hard-links-are-safe']]) {
      const result = await lock(mirror, options, 'exit 0');
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr).toMatch(/unchanged: the tree is the same as first/);
    }
    const refill = 'cp -a "$MIRRORLATCH_ROOT/current/." "$MIRRORLATCH_STAGING"';
    expect((await lock(mirror, ['--empty'], refill)).stderr).toMatch(/unchanged/);
    expect(mirror.snapshots()).toEqual(['first']);
    expect(lastOf(mirror.root)).toMatchObject({ event: 'unchanged', current: 'first' });
    expect(withoutHidden(mirror.state('staging'))).toEqual([]);
  });

  test.for([
    ['a mode', 'chmod 0600 file'],
    ['a time', 'touch -d 2001-01-01 file'],
    ['a directory', 'mkdir new'],
    ['a symlink', 'ln -s file link'],
    ['a removal', 'rm below/file'],
    [
      'content of the same size and times',
      'touch -r file /tmp/ml-$$ && printf tsrif >file && touch -r /tmp/ml-$$ file && rm /tmp/ml-$$',
    ],
  ])('is published if the only difference is %s', async ([what, script]) => {
    const mirror = await oneSnapshot(home(what?.replaceAll(' ', '-') ?? ''));
    const options = ['--id', 'second', '--max-shrink', '100'];
    await succeeds(mirror, options, `cd "$MIRRORLATCH_STAGING" && ${script}`);
    expect(mirror.linked('current')).toBe('second');
  });

  test('prunes old snapshots as a sync does', async () => {
    const mirror = await oneSnapshot(home('pruned'));
    const more = 'echo more >>"$MIRRORLATCH_STAGING/file"';
    const rules = ['--keep-last', '1', '--grace', '0'];
    await succeeds(mirror, ['--id', 'second', ...rules, '--no-prune'], more);
    await succeeds(mirror, ['--id', 'third', ...rules, '--no-prune'], more);
    expect(mirror.snapshots()).toEqual(['first', 'second', 'third']);
    await succeeds(mirror, ['--id', 'fourth', ...rules], more);
    expect(mirror.snapshots()).toEqual(['fourth', 'third']);
  });
});

describe.concurrent('I8: nothing is published', () => {
  test('if the command fails: its code is passed on, and a lock with --resume goes on from its tree', async () => {
    const mirror = await oneSnapshot(home('failed'));
    const result = await lock(mirror, [], 'echo half >"$MIRRORLATCH_STAGING/half"; exit 3');
    expect(result.exitCode, transcript(result)).toBe(3);
    expect(result.stderr).toMatch(/sh ended with 3; nothing was published\. Its tree is kept/);
    const lookFirst =
      'or if you have looked at it and know that it is whole, publish it with: mirrorlatch';
    expect(result.stderr.replaceAll(/\s+/g, ' ')).toContain(lookFirst);
    expect(mirror.linked('current')).toBe('first');
    expect(lastOf(mirror.root)).toMatchObject({ event: 'failed', message: 'sh ended with 3' });
    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout).toMatch(
      /a command whose tree was not published left .*lock --resume goes on from it/,
    );

    await succeeds(mirror, ['--id', 'second', '--resume'], 'cat "$MIRRORLATCH_STAGING/half"');
    expect(readFileSync(join(mirror.root, 'current', 'half'), 'utf8')).toBe('half\n');
    expect(withoutHidden(mirror.state('staging'))).toEqual([]);
  });

  test('if the command fails, and without --resume the next one starts without its tree', async () => {
    const mirror = await oneSnapshot(home('resume'));
    const fails = 'echo half >"$MIRRORLATCH_STAGING/half"; exit 3';
    const list = 'ls "$MIRRORLATCH_STAGING"; exit 4';
    await lock(mirror, [], fails);
    expect((await lock(mirror, ['--resume'], list)).stdout).toBe('below\nfile\nhalf\n');
    const fresh = await lock(mirror, [], list);
    expect(fresh.stdout).toBe('below\nfile\n');
    expect(fresh.stderr).toMatch(/what an earlier command left is discarded: /);
    await lock(mirror, [], fails);
    expect((await lock(mirror, ['--empty'], list)).stdout).toBe('');
    expectFailure(await lock(mirror, ['--empty', '--resume'], list), 125, /contradict each other/);
  });

  test('if the command fails, and its tree is kept for a rollback when another snapshot is current', async () => {
    const mirror = await oneSnapshot(home('rolled back'));
    await mirror.publish('second', { file: 'second' });
    await lock(mirror, [], 'echo half >"$MIRRORLATCH_STAGING/half"; exit 3');
    await runProgram(['rollback', mirror.root]);

    const why = 'it was made from second, and current is now first';
    const back = ['rollback', mirror.root, 'second'];
    const wayOut = `to go on from it, go back first with: mirrorlatch rollback '${mirror.root}' second\n`;
    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout).toContain(`discards it, because ${why}; ${wayOut}`);
    expect(status.stdout).not.toContain('lock --resume goes on');
    const refused = await lock(mirror, ['--resume'], 'true');
    expectFailure(refused, 125, /a command cannot go on from the tree that an earlier one left: /);
    expect(refused.stderr).toContain(why);
    expect(refused.stderr).toContain(`discards it; ${wayOut}`);

    const returned = await runProgram(back);
    expect(returned.exitCode, transcript(returned)).toBe(0);
    await succeeds(mirror, ['--resume'], 'cat "$MIRRORLATCH_STAGING/half"');
    expect(readFileSync(join(mirror.root, 'current', 'half'), 'utf8')).toBe('half\n');
  });

  test('if the command fails, and its tree is dropped after a reboot', async () => {
    const mirror = await oneSnapshot(home('since'));
    const fails = 'echo half >"$MIRRORLATCH_STAGING/half"; exit 3';
    const list = 'ls "$MIRRORLATCH_STAGING"; exit 4';
    await lock(mirror, [], fails);
    const [record = ''] = readdirSync(mirror.state('staging')).filter((name) =>
      name.endsWith('.command.json'),
    );
    const path = mirror.state('staging', record);
    const written = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...written, trusted: `another boot ${written.trusted}` }));
    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout).toContain('discards it, because the machine was restarted since');
    const fresh = await lock(mirror, ['--resume'], list);
    expect(fresh.stdout).toBe('below\nfile\n');
    expect(fresh.stderr).toMatch(/is discarded: \w+, because the machine was restarted since/);
  });

  test('if the command fails, and a sync does not continue with its tree', async () => {
    const mirror = await oneSnapshot(home('sync'));
    await lock(mirror, [], 'echo half >"$MIRRORLATCH_STAGING/half"; exit 3');
    mirror.change({ file: 'changed' });
    const result = await mirror.sync('--id', 'second');
    expect(result).toMatchObject({ outcome: 'published' });
    expect(existsSync(join(mirror.root, 'current', 'half'))).toBe(false);
  });

  test('if the tree has shrunk too much, is empty, or is no longer a directory: 125', async () => {
    const mirror = await withTenFiles(home('shrunk'));
    const shrinks = 'cd "$MIRRORLATCH_STAGING" && rm file-0 file-1 file-2 file-3';
    const refused = await lock(mirror, [], shrinks);
    expectFailure(refused, 125, /the tree has shrunk: 40\.0 % of the files/, /--allow-shrink/);
    expectFailure(await lock(mirror, ['--resume'], 'exit 0'), 125, /the tree has shrunk: 40\.0 %/);
    const pasted = /publish it with: (mirrorlatch lock .* --resume --allow-shrink -- true)$/m;
    expect(refused.stderr).toMatch(pasted);
    await succeeds(mirror, ['--id', 'small', '--resume', '--max-shrink', '40'], 'exit 0');

    const empties = 'cd "$MIRRORLATCH_STAGING" && rm -r ./*';
    expectFailure(await lock(mirror, ['--allow-shrink'], empties), 125, /the tree is empty/);
    expect((await lock(mirror, [], 'ls "$MIRRORLATCH_STAGING"; exit 4')).stdout).toContain('below');

    const outside = join(mirror.home, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'precious'), '');
    const swaps = `rm -r "$MIRRORLATCH_STAGING" && ln -s '${outside}' "$MIRRORLATCH_STAGING"`;
    expectFailure(await lock(mirror, [], swaps), 125, /put something else in the place of its dir/);
    for (const removes of [
      'rm -r "$MIRRORLATCH_STAGING"',
      '(sleep 1; rm -r "$MIRRORLATCH_STAGING") &',
    ])
      expectFailure(await lock(mirror, [], removes), 125, /the command removed its directory/);
    const { stderr } = await lock(mirror, [], 'rm -r "$MIRRORLATCH_STAGING"; exit 4');
    expect(stderr).toMatch(/ended with 4 and removed its tree; nothing was published$/m);
    expect(mirror.linked('current')).toBe('small');
    expect(readdirSync(outside)).toEqual(['precious']);
    await succeeds(mirror, ['--id', 'last'], 'echo new >"$MIRRORLATCH_STAGING/new"');
  });

  test('while a process that the command has started still uses the tree, in whatever way', async () => {
    const mirror = await oneSnapshot(home('daemon'));
    // The second one has closed the inherited descriptors, as daemons do.
    for (const isLocked of [true, false]) {
      const script = `sleep 60 >/dev/null 2>&1 ${isLocked ? '' : '3>&-'} & echo $!; echo $! >"$MIRRORLATCH_STAGING/file"`;
      const result = await lock(mirror, [], script);
      const pid = Number(result.stdout);
      expectFailure(result, 125, /could still write to the tree/, /nothing was published/);
      expect(result.stderr).toContain(`sleep (pid ${pid})`);
      expect(mirror.linked('current')).toBe('first');

      const next = await lock(mirror, ['--resume'], 'exit 0');
      expectFailure(next, 75, new RegExp(`sleep \\(pid ${pid}\\)`));
      const status = await runProgram(['status', mirror.root]);
      if (isLocked) expect(status.stdout).toContain(`held by sleep (pid ${pid})`);
      process.kill(pid, 'SIGKILL');
    }
    await eventually(() => succeeds(mirror, ['--id', 'second', '--resume'], 'exit 0'));
    expect(mirror.linked('current')).toBe('second');
  });

  test.for([
    ['stands in it', 'cd "$tree"', 'sleep 60'],
    ['has a file in it open for writing', 'exec 8>>"$tree/file"; cd /', 'sleep 60'],
    ['has it as its root', 'cd /', 'perl -e \'chroot shift; chdir "/"; sleep 60\' "$tree"'],
    ['runs a program of it', 'cp /bin/sleep "$tree/sleep"; cd /', '"$tree/sleep" 60'],
  ] as const)(
    'I2: while a process that has forgotten where it comes from %s',
    async ([what, opens, stays]) => {
      const mirror = await oneSnapshot(home(what.replaceAll(' ', '-')));
      const forgotten = `tree=$1; ${opens}; echo $$; exec 3>&- 4>&- 5>&- 6>&- 7>&- 9>&-; exec ${stays}`;
      const script = `env -i PATH="$PATH" setsid sh -c '${forgotten.replaceAll("'", String.raw`'\''`)}' sh "$MIRRORLATCH_STAGING" 2>/dev/null </dev/null >"$MIRRORLATCH_STAGING/../pid" &
        until [ -s "$MIRRORLATCH_STAGING/../pid" ]; do sleep 0.1; done; echo whole >"$MIRRORLATCH_STAGING/new"`;
      const result = await lock(mirror, [], script);
      const pid = Number(readFileSync(mirror.state('staging', 'pid'), 'utf8'));
      expectFailure(
        result,
        125,
        new RegExp(`could still write to the tree: \\w+ \\(pid ${pid}\\)`),
      );
      expect(mirror.linked('current')).toBe('first');
      process.kill(pid, 'SIGKILL');
    },
  );

  test.for([
    ['open', 'with open(sys.argv[1], "a") as file: wait()'],
    ['mapped', 'shared(os.open(sys.argv[1], os.O_RDWR)); wait()'],
  ] as const)(
    'I2: while a process has a file %s for writing that the command has linked from elsewhere',
    async ([what, holds]) => {
      const mirror = await oneSnapshot(home(`linked-${what}`));
      const outside = join(mirror.home, 'outside');
      writeFileSync(outside, 'one');
      // Not by the module mmap, which keeps a descriptor of the file.
      const python = `import ctypes, os, sys
def shared(file):
    mmap = ctypes.CDLL(None).mmap
    mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    mmap(None, 1, 3, 1, file, 0)
    os.close(file)
def wait():
    print('held', flush=True); sys.stdin.readline()
${holds}`;
      const holder = execa('python3', ['-c', python, outside], { reject: false });
      let said = '';
      holder.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      await eventually(() => expect(said).toBe('held\n'));
      const result = await lock(mirror, [], `ln '${outside}' "$MIRRORLATCH_STAGING/new"`);
      const named = new RegExp(`could still write to the tree: python\\S* \\(pid ${holder.pid}\\)`);
      expectFailure(result, 125, named, /nothing was published/);
      expect(mirror.linked('current')).toBe('first');
      expectFailure(
        await lock(mirror, ['--resume'], 'exit 0'),
        75,
        /could still write to .*: python/,
      );
      holder.stdin.end();
      await holder;
      await succeeds(mirror, ['--resume'], 'exit 0');
    },
  );

  test('but a process that only reads a file of the tree does not prevent it', async () => {
    const mirror = await oneSnapshot(home('only-reads'));
    const script = `cd "$MIRRORLATCH_STAGING"; echo >new
      env -i PATH="$PATH" setsid sh -c 'cd /; exec sleep 60' 7<file 3>&- </dev/null >/dev/null 2>&1 & echo $!`;
    const result = await lock(mirror, ['--id', 'second'], script);
    process.kill(Number(result.stdout), 'SIGKILL');
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(mirror.linked('current')).toBe('second');
  });

  test('but a daemon that does not use the tree does not prevent it', async () => {
    const mirror = await oneSnapshot(home('agent'));
    const quiet = '>/dev/null 2>&1 3>&- </dev/null';
    const script = `cd / && setsid sleep 60 ${quiet} & echo $! && cd "$MIRRORLATCH_STAGING" && echo >new`;
    const result = await lock(mirror, ['--id', 'second'], script);
    process.kill(Number(result.stdout), 'SIGKILL');
    expect(result.exitCode, transcript(result)).toBe(0);
    const inside = `cd "$MIRRORLATCH_STAGING" && setsid sleep 60 ${quiet} & echo $!`;
    const held = await lock(mirror, ['--id', 'third'], inside);
    process.kill(Number(held.stdout), 'SIGKILL');
    expectFailure(held, 125, /could still write to the tree: sleep/);
  });

  test('if the command exited with 0 only because of a signal to end', async () => {
    const mirror = await oneSnapshot(home('graceful'));
    const script = `process.on('SIGTERM', () => process.exit(0));
      fs.writeFileSync(process.env.MIRRORLATCH_STAGING + '/half', '');
      console.log('ready'); setInterval(() => {}, 1000)`;
    const program = startNode(mirror, script);
    await program.ready;
    program.kill('SIGTERM');
    const result = await program.result;
    expect(result.signal, transcript(result)).toBe('SIGTERM');
    expect(result.stderr).toMatch(/interrupted by SIGTERM; nothing was published/);
    expect(mirror.linked('current')).toBe('first');
    expect(existsSync(mirror.state('sync.lock'))).toBe(false);
  });

  test('if the lock is lost: the command and its children are ended, 125', async () => {
    const mirror = await oneSnapshot(home('lost'));
    const script = `process.on('SIGTERM', () => {});
      const { pid } = child_process.spawn('sleep', ['60']);
      console.log(pid); setInterval(() => {}, 1000)`;
    const program = startNode(mirror, script);
    const sleeper = Number(await program.ready);
    const [token = ''] = readdirSync(mirror.state('sync.lock'));
    renameSync(mirror.state('sync.lock', token), mirror.state('taken-over'));
    const result = await program.result;
    expectFailure(result, 125, /the lock of .* was lost to another host/);
    expect(existsSync(`/proc/${sleeper}`)).toBe(false);
    expect(mirror.linked('current')).toBe('first');
    rmSync(mirror.state('taken-over'), { recursive: true });
  });
});

describe.concurrent('I10: the command', () => {
  test.for(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'gets %s once, whether it is sent to mirrorlatch or to the process group',
    async (name) => {
      const mirror = await oneSnapshot(home(name));
      const script = `let count = 0;
        process.on('${name}', () => {
          console.log('${name}');
          count += 1;
          if (count === 3) setTimeout(() => process.exit(7), 500);
        });
        console.log('ready'); setInterval(() => {}, 1000)`;
      const program = startNode(mirror, script, true);
      await program.ready;
      const heard = (times: number) =>
        eventually(() =>
          expect(program.printedSoFar()).toBe(`ready\n${`${name}\n`.repeat(times)}`),
        );
      program.kill(name);
      await heard(1);
      const [sentinel] = sentinelsOf(program.pid);
      process.kill(-program.pid, name);
      await heard(2);
      // Until then a second signal would count as the same.
      await eventually(() => expect(sentinelsOf(program.pid)).not.toContain(sentinel));
      await eventually(() => expect(sentinelsOf(program.pid)).toHaveLength(1));
      program.kill(name);
      await heard(3);
      const result = await program.result;
      expect(result.stdout).toBe(`ready\n${name}\n${name}\n${name}\n`);
      expect(result.exitCode, transcript(result)).toBe(7);
    },
  );

  test.for(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL', 'SIGSEGV', 'SIGUSR1', 'SIGPIPE'] as const)(
    'dies by %s, and so does mirrorlatch, without leaving a lock',
    async (name) => {
      const mirror = await oneSnapshot(home(`by-${name}`));
      const result = await lock(mirror, [], `kill -${name.slice(3)} $$`);
      expect(result.signal, transcript(result)).toBe(name);
      expect(result.stderr).toContain(`sh was ended by ${name}; nothing was published`);
      expect(existsSync(mirror.state('sync.lock'))).toBe(false);
      expect(mirror.linked('current')).toBe('first');
    },
  );

  test('that cannot be started is reported before anything is made: 127 and 126', async () => {
    const mirror = await oneSnapshot(home('none'));
    const isNot = async (...words: string[]) => {
      const result = await runProgram(['lock', mirror.root, '--', ...words]);
      expect(withoutHidden(mirror.state('staging'))).toEqual([]);
      return result;
    };
    expectFailure(await isNot('no-such-program'), 127, /"no-such-program" was not found/);
    expectFailure(await isNot('/no/such/program'), 127, /"\/no\/such\/program" was not found/);
    expectFailure(await isNot(''), 127, /was not found/);
    const plain = join(mirror.home, 'plain');
    writeFileSync(plain, '');
    expectFailure(await isNot(plain), 126, /\/plain" cannot be executed/);
    expectFailure(await isNot('/'), 126, /cannot be executed/);
    expectFailure(await runProgram(['lock', mirror.root]), 125, /no command was given/);
    expectFailure(await runProgram(['lock', '/no/mirror', '--', 'true']), 125, /no mirror/);
  });

  test('gets arguments and an environment that are not UTF-8 unchanged', async () => {
    const mirror = await oneSnapshot(home('bytes'));
    const given = join(mirror.home, 'given');
    const script = `cd '${mirror.home}' && bytes=$(printf 'a\\351\\n\\nx') && export bytes &&
      '${launcher}' lock mirror --lock-only -- sh -c 'printf "%s|" "$@" "$bytes" >given' sh "$bytes" 'é  ü' '' "$bytes"`;
    await execa('sh', ['-c', script]);
    const bytes = Buffer.from('a\xe9\n\nx|', 'latin1');
    expect(readFileSync(given)).toEqual(
      Buffer.concat([bytes, Buffer.from('é  ü||'), bytes, bytes]),
    );
  });

  test('has the standard streams of its caller', async () => {
    const mirror = await oneSnapshot(home('streams'));
    const program = [launcher, 'lock', mirror.root, '--quiet', '--', 'sh', '-c', 'cat; echo e >&2'];
    const { stdout, stderr } = await execa(program[0] ?? '', program.slice(1), { input: 'typed' });
    expect({ stdout, stderr }).toEqual({ stdout: 'typed', stderr: 'e' });
  });

  test('is stopped and continued together with mirrorlatch by Ctrl-Z and fg', async () => {
    const mirror = await oneSnapshot(home('stopped'));
    const pipe = join(mirror.home, 'pipe');
    await execa('mkfifo', [pipe]);
    const go = openSync(pipe, 'r+');
    // It starts no process: as long as dash does (vfork), it cannot be stopped.
    const command = `echo $$ >"$MIRRORLATCH_STAGING/../pid"; read line <'${pipe}'; exit 7`;
    // Ctrl-Z only stops a group whose leader has a parent in another group of the session.
    const shell = execa(
      'sh',
      [
        ...['-c', 'perl -e "setpgrp; exec @ARGV" -- "$@" & wait $!', 'sh'],
        ...[launcher, 'lock', mirror.root, '--', 'sh', '-c', command],
      ],
      { reject: false, detached: true },
    );
    const file = mirror.state('staging', 'pid');
    const pid = await eventually(() => {
      const text = readFileSync(file, 'utf8');
      expect(text).toMatch(/^\d+\n$/);
      return Number(text);
    });
    const group = Number(statOf(pid)[1]);
    expect(String(group), 'not our own').not.toBe(statOf(process.pid)[1]);
    process.kill(-group, 'SIGTSTP');
    await eventually(() => expect([statOf(pid)[0], statOf(group)[0]]).toEqual(['T', 'T']));
    writeSync(go, '\n');
    await pause(500);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    process.kill(-group, 'SIGCONT');
    expect((await shell).exitCode).toBe(7);
    closeSync(go);
  });
});

describe.concurrent('--lock-only', () => {
  test('holds the lock, even before the first publication, makes nothing, and passes on the exit code', async () => {
    const place = home('only');
    const [root, go] = [join(place, 'mirror'), join(place, 'go')];
    await runForJson(['init', root]);
    const holder = startProgram([
      'lock',
      root,
      '--lock-only',
      '--',
      'sh',
      '-c',
      `env; ${until(go)}; exit 5`,
    ]);
    await eventually(() => expect(holder.printedSoFar()).not.toBe(''));
    const second = await runProgram(['lock', root, '--lock-only', '--no-wait', '--', 'true']);
    expectFailure(second, 75, /is locked: lock by .*, now: running sh/);
    const waiting = startProgram(['lock', root, '--lock-only', '--wait', '1h', '--', 'true']);
    await pause(1_000);
    writeFileSync(go, '');
    const third = await waiting.result;
    expect(third.exitCode, transcript(third)).toBe(0);
    expect(third.stderr).toBe('');
    const first = await holder.result;
    expect(first.exitCode, transcript(first)).toBe(5);
    expect(first.stdout).not.toContain('MIRRORLATCH_STAGING');
    expect(first.stderr).toBe('');
    expect(existsSync(join(root, 'current'))).toBe(false);
    expect(withoutHidden(join(root, '.mirrorlatch', 'staging'))).toEqual([]);
  });

  test('keeps the lock while children of the command run', async () => {
    const mirror = await oneSnapshot(home('left'));
    const left = await lock(mirror, ['--lock-only'], 'sleep 60 >/dev/null 2>&1 & echo $!');
    expect(left.exitCode, transcript(left)).toBe(0);
    const pid = Number(left.stdout);
    expectFailure(
      await runProgram(['sync', mirror.root]),
      75,
      new RegExp(`held by sleep \\(pid ${pid}\\)`),
    );
    process.kill(pid, 'SIGKILL');
  });
});

test('a lock of a mirror that does not exist says how to make one that a command fills', async () => {
  const root = join(home('absent'), "it's missing");
  const result = await runProgram(['lock', root, '--', 'true']);
  expect(result.exitCode, transcript(result)).toBe(125);
  const quoted = root.replace("'", String.raw`'\''`);
  expect(result.stderr).toContain(
    `Check the path, and that its disk is mounted. Make a new one with: mirrorlatch init '${quoted}'\n`,
  );
});

describe.concurrent('I9: after SIGKILL', () => {
  test('I4: the command alone holds the lock, is named, is never ended by a waiting command, and the next can go on from its tree', async () => {
    const mirror = await oneSnapshot(home('killed'));
    const copy = join(mirror.home, 'rsync');
    cpSync('/bin/sleep', copy);
    const script = `exec >/dev/null 2>&1; echo half >"$MIRRORLATCH_STAGING/half"; '${copy}' 600; true`;
    const holder = startProgram(['lock', mirror.root, '--', 'sh', '-c', script]);
    const tree = () => readdirSync(mirror.state('staging')).find((name) => /d$/.test(name)) ?? '';
    await eventually(() => expect(existsSync(mirror.state('staging', tree(), 'half'))).toBe(true));
    holder.kill('SIGKILL');
    await holder.result;
    const left = await runProgram(['status', mirror.root]);
    expect(left.exitCode, transcript(left)).toBe(69);
    expect(left.stdout).toMatch(/^why +the holder of the lock is dead$/m);
    const next = await lock(mirror, ['--wait', '1s'], 'exit 0');
    expectFailure(next, 75, /held by sh \(pid \d+\), rsync \(pid \d+\)/);
    const pid = Number(/rsync \(pid (\d+)\)/.exec(next.stderr)?.[1]);
    expect(existsSync(`/proc/${pid}/exe`), 'it is still there').toBe(true);
    process.kill(pid);
    const waiting = await lock(mirror, ['--wait', '1h', '--id', 'second', '--resume'], 'exit 0');
    expect(waiting.exitCode, transcript(waiting)).toBe(0);
    expect(waiting.stderr).toMatch(/going on from what an earlier command left/);
    expect(readFileSync(join(mirror.root, 'current', 'half'), 'utf8')).toBe('half\n');
  });

  test('nothing is lost between the command and the publication', async () => {
    const mirror = await oneSnapshot(home('before-publish'));
    // A lingering child keeps mirrorlatch from continuing.
    const script = 'exec >/dev/null 2>&1; echo whole >"$MIRRORLATCH_STAGING/new"; sleep 3 &';
    const holder = startProgram(['lock', mirror.root, '--', 'sh', '-c', script]);
    await eventually(() => expect(leftInStaging(mirror, 'new')).toBe(true));
    await pause(500);
    holder.kill('SIGKILL');
    await holder.result;
    await succeeds(mirror, ['--wait', '1h', '--id', 'second', '--resume'], 'exit 0');
    expect(readFileSync(join(mirror.root, 'current', 'new'), 'utf8')).toBe('whole\n');
  });

  test('between the two renames of a publication, a lock with --resume goes on from the recovered tree', async () => {
    const mirror = await oneSnapshot(home('renamed'));
    await lock(mirror, ['--id', 'second'], 'echo whole >"$MIRRORLATCH_STAGING/new"; exit 1');
    // The lease comes first.
    writeFileSync(mirror.state('leases', 'second'), '', { mode: 0o444 });
    renameSync(mirror.state('staging', 'second.command'), join(mirror.root, 'snapshots', 'second'));
    await succeeds(mirror, ['--id', 'third', '--resume'], 'cat "$MIRRORLATCH_STAGING/new"');
    expect(mirror.snapshots()).toEqual(['first', 'third']);
    expect(readFileSync(join(mirror.root, 'current', 'new'), 'utf8')).toBe('whole\n');
    expect(withoutHidden(mirror.state('staging'))).toEqual([]);
  });
});

describe.concurrent('in place', () => {
  test('I6: the gate is closed during the command, open after 0 and dirty after a failure, with its mode restored', async () => {
    const root = join(home('in-place'), 'mirror');
    await runForJson(['init', root, '--in-place']);
    const idle = await runProgram(['lock', root, '--lock-only', '--resume', '--', 'true']);
    expectFailure(idle, 125, /--resume has no effect with --lock-only/);
    const gate = () => JSON.parse(readFileSync(join(root, '.mirrorlatch', 'gate.json'), 'utf8'));
    const mode = () => statSync(join(root, 'gate')).mode & 0o777;
    const say = 'stat -c %a "$MIRRORLATCH_ROOT/gate"; echo "$MIRRORLATCH_STAGING $MIRRORLATCH_ID"';
    const fill = 'for n in 1 2 3; do echo $n >"$MIRRORLATCH_STAGING/$n"; done';
    const run = (script: string, ...words: string[]) =>
      runProgram(['lock', root, ...words, '--', 'sh', '-c', script]);

    const empty = await runProgram(['gate', 'status', root]);
    expect(empty.stdout).toMatch(/inside\. Fill it with: mirrorlatch sync SRC \S+$/m);
    const fresh = await runProgram(['status', root]);
    expect(fresh.stdout).toMatch(/^why +there is no snapshot yet$/m);
    expect(fresh.stdout).not.toMatch(/^left/m);
    const first = await run(`${say}; ${fill}`);
    expect(first.exitCode, transcript(first)).toBe(0);
    expect(first.stdout).toBe(`700\n${join(root, 'gate', 'live')} live\n`);
    expect([gate().state, mode()]).toEqual(['open', 0o755]);
    expect(readFileSync(join(root, 'current', '2'), 'utf8')).toBe('2\n');
    expect(first.stderr).toMatch(/published the tree: 3 new or changed; 3 files in all/);
    const counts = { event: 'published', id: 'live', newFiles: 3, deletedFiles: 0 };
    expect(lastOf(root)).toMatchObject({ ...counts, files: 3, bytes: 6 });

    expect((await run('exit 0')).stderr).toMatch(/unchanged: the tree is the same as before$/m);
    expect([gate().state, mode()]).toEqual(['open', 0o755]);

    const failed = await run('rm "$MIRRORLATCH_STAGING/1"; exit 3');
    expect(failed.exitCode, transcript(failed)).toBe(3);
    expect([gate().state, mode()]).toEqual(['dirty', 0o755]);
    expect(failed.stderr).toMatch(/sh ended with 3; guarded readers wait/);
    expect(gate().reason).toBe('sh ended with 3');
    const dirty = await runProgram(['gate', 'status', root]);
    expect(dirty.stdout, 'it has no source').toMatch(
      `Make the tree whole with: mirrorlatch lock ${root} -- COMMAND, or`,
    );
    const left = await runProgram(['status', root]);
    expect(left.stdout, 'a sync would ask for a source').toMatch(
      `; make the tree whole with: mirrorlatch lock ${root} -- COMMAND, or if you have checked it: mirrorlatch gate open --clean ${root}\n`,
    );

    const shrunk = await run('exit 0');
    expectFailure(shrunk, 125, /the tree has shrunk: 33\.3 % of the files/);
    expect([gate().state, mode()]).toEqual(['dirty', 0o755]);
    const allowed = await run('exit 0', '--allow-shrink');
    expect(allowed.exitCode, transcript(allowed)).toBe(0);
    expect(allowed.stderr).toMatch(
      /published the tree: 0 new or changed, at least 1 deleted; 2 files/,
    );
    expect(lastOf(root)).toMatchObject({ newFiles: 0, deletedFiles: 1 });
    expect([gate().state, mode()]).toEqual(['open', 0o755]);
    const emptied = await run('rm "$MIRRORLATCH_STAGING"/*');
    expectFailure(emptied, 125, /the tree is empty/, /wait until a lock or a sync succeeds/);
    expectFailure(
      await run('exit 0', '--empty'),
      125,
      /--empty cannot be used with an in-place mirror/,
    );
  });

  test('I9: after SIGKILL the next command waits for the first, and restores the gate and its mode', async () => {
    const place = home('in-place-killed');
    const [root, go] = [join(place, 'mirror'), join(place, 'go')];
    await runForJson(['init', root, '--in-place']);
    const script = `exec >/dev/null 2>&1; echo half >"$MIRRORLATCH_STAGING/half"; ${until(go)}`;
    const holder = startProgram(['lock', root, '--', 'sh', '-c', script]);
    await eventually(() => expect(existsSync(join(root, 'gate', 'live', 'half'))).toBe(true));
    holder.kill('SIGKILL');
    await holder.result;
    expect(statSync(join(root, 'gate')).mode & 0o777).toBe(0o700);
    expectFailure(
      await runProgram(['lock', root, '--', 'true']),
      75,
      /held by sh .*; lock by \S+ \(pid \d+ on \S+\) was killed without releasing it/,
      /if it is not to go on, end it with: kill \d+/,
    );
    writeFileSync(go, '');
    const next = await runProgram(['lock', root, '--wait', '1h', '--', 'true']);
    expect(next.exitCode, transcript(next)).toBe(0);
    expect(statSync(join(root, 'gate')).mode & 0o777).toBe(0o755);
    expect(readFileSync(join(root, 'current', 'half'), 'utf8')).toBe('half\n');
  });
});

/** A shell command that waits until this file exists; the waiting process does not hold the lock. */
function until(file: string): string {
  return `while [ ! -e '${file}' ]; do sleep 0.05 3>&-; done`;
}

function lock(
  mirror: SmallMirror,
  options: readonly string[],
  script: string,
): Promise<ProgramResult> {
  return runProgram(['lock', mirror.root, ...options, '--', 'sh', '-c', script]);
}

/** Runs a command under the lock, which must publish. */
async function succeeds(
  mirror: SmallMirror,
  options: readonly string[],
  script: string,
): Promise<void> {
  const result = await lock(mirror, options, script);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr, transcript(result)).toMatch(/published /);
}

/** A command that prints something when it is ready. */
function startNode(
  mirror: SmallMirror,
  script: string,
  ownGroup = false,
): RunningProgram & { ready: Promise<string> } {
  const said = join(mirror.home, 'said');
  const tee = `const log = console.log; console.log = (text) => { log(text); fs.appendFileSync('${said}', text + '\\n'); };`;
  const program = startProgram(
    ['lock', mirror.root, '--', process.execPath, '-e', `${tee} ${script}`],
    { ownGroup },
  );
  const ready = eventually(() => readFileSync(said, 'utf8'));
  return { ...program, ready };
}

/** The processes with which mirrorlatch detects whether a signal was sent to its whole group. */
function sentinelsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter((child) => readFileSync(`/proc/${child}/comm`, 'utf8') === 'cat\n');
}

function leftInStaging(mirror: SmallMirror, name: string): boolean {
  return readdirSync(mirror.state('staging')).some((tree) =>
    existsSync(mirror.state('staging', tree, name)),
  );
}

function withoutHidden(directory: string): string[] {
  return readdirSync(directory).filter((name) => name !== '.partial' && name !== '.boot');
}

function inode(mirror: SmallMirror, id: string, path: string): number {
  return lstatSync(join(mirror.root, 'snapshots', id, path)).ino;
}

function lastOf(root: string): unknown {
  const lines = readFileSync(join(root, '.mirrorlatch', 'history.jsonl'), 'utf8')
    .trim()
    .split('\n');
  return JSON.parse(lines.at(-1) ?? '');
}

async function isHealthy(root: string): Promise<unknown> {
  return (await runForJson(['status', root]))['isHealthy'];
}

/** The state and the process group of a process (proc(5), /proc/pid/stat). */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [state = '', , group = '0'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return [state, group];
}

/** A directory in the scratch of the file, because concurrent tests share their clean-up hooks. */
function home(name: string): string {
  const path = join(scratch.path, name);
  mkdirSync(path);
  return path;
}

describe.concurrent('a guard that would wait for the lock around it ends at once', () => {
  test.each(guards)('before the first snapshot: $name', async (guard) => {
    const root = join(home(`guard of nothing ${guard.name}`), 'mirror');
    await runForJson(['init', root]);
    const words = ['timeout', '20', ...guard.around(root, [], ['true'])];
    for (const around of [
      ['--', ...words],
      ['--', 'env', '-u', 'MIRRORLATCH_STAGING', ...words],
      ...(mayMount ? [['--', 'unshare', '--pid', '--fork', '--mount-proc', ...words]] : []),
      ['--lock-only', '--', ...words],
    ]) {
      expectFailure(
        await runProgram(['lock', root, ...around]),
        125,
        /has no snapshot yet: this guard runs inside `lock` of that mirror, and would wait for itself/,
        /Or run this once `lock` has ended/,
      );
    }
  });

  test('but not for the lock of a process that has ended, and whose variable is still there', async () => {
    const root = join(home('guard after lock'), 'mirror');
    await runForJson(['init', root]);
    const script = 'echo "$MIRRORLATCH_STAGING"; exit 1';
    const failed = await runProgram(['lock', root, '--', 'sh', '-c', script]);
    const result = await runGuarded(guards[0], root, ['true'], {
      options: ['--wait', '0'],
      env: { MIRRORLATCH_STAGING: failed.stdout.trim() },
    });
    expectFailure(result, 75, /has no snapshot yet/);
  });

  test('but not for a later lock than the one whose variable a daemon has kept', async () => {
    const place = home('guard of a daemon');
    const [root, go] = [join(place, 'mirror'), join(place, 'go')];
    await runForJson(['init', root, '--in-place']);
    const fill = 'echo whole >"$MIRRORLATCH_STAGING/file"; echo "$MIRRORLATCH_STAGING"';
    const earlier = await runProgram(['lock', root, '--', 'sh', '-c', fill]);
    const holder = startProgram(['lock', root, '--', 'sh', '-c', `echo in; ${until(go)}`]);
    await eventually(() => expect(holder.printedSoFar()).toBe('in\n'));
    const env = { MIRRORLATCH_STAGING: earlier.stdout.trim() };
    const reading = guards.map((guard) => startGuarded(guard, root, ['cat', 'file'], { env }));
    for (const one of reading)
      await eventually(() =>
        expect(one.saidSoFar()).toMatch(/waiting: .* is closed by its writer/),
      );
    writeFileSync(go, '');
    for (const { result } of [...reading, holder]) {
      const { exitCode } = await result;
      expect(exitCode, transcript(await result)).toBe(0);
    }
  });
});
