import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa, execaSync } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { runCheck, wrong } from '../../support/checked.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { rot } from '../../support/flip-bit.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { runForJson, runProgram, startProgram, transcript } from '../../support/program.ts';
import { project } from '../../support/project.ts';
import { runPush } from '../../support/push.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { type SmallMirror, smallMirror } from '../../support/small-mirror.ts';
import { startSshDaemon } from '../../support/sshd.ts';
import { CUT_OFF, checkedMirror, listOf, summedFiles } from '../../support/summed-files.ts';

const inPlace = mirrorsInPlace();

const syncOf = ({ root }: SmallMirror, ...words: string[]) => runProgram(['sync', root, ...words]);

test('what its own list says is wrong is not published, and everybody is told', async () => {
  const mirror = await checkedMirror();
  mirror.change(CUT_OFF);
  const result = await syncOf(mirror, '--retries', '0');
  expectFailure(
    result,
    65,
    /images\/a\.iso: sha256 \w+…, expected sha256 \w+… \(images\/SHA256SUMS\)/,
  );
  expect(mirror.linked('current')).toBe('right');
  expect(mirror.history().at(-1)).toMatchObject({
    event: 'failed',
    code: 'CHECK_FAILED',
    findings: [{ name: 'images/a.iso', kind: 'hash', by: 'images/SHA256SUMS' }],
  });
  const status = await runProgram(['status', mirror.root]);
  expect(status.exitCode).toBe(69);
  expect(status.stdout).toMatch(/images\/a\.iso/);
  const all = await runProgram(['status', mirror.root, mirror.root]);
  expect(all.stdout).toMatch(/a check refused its tree \(images\/a\.iso: hash\)$/m);
  const explained = await runProgram(['explain', mirror.root]);
  expect(explained.stdout).toMatch(/^ {3}images\/a\.iso: sha256 \w+…, expected sha256/m);
  expect(
    explained.stdout.replaceAll(/\s+/g, ' ').match(/nothing (of it )?was published/gi),
  ).toHaveLength(1);
  // What had come is kept, and the next sync is whole.
  mirror.change(summedFiles('third'));
  const checked = { kinds: ['sha256sums'], files: 2, findings: 0 };
  expect(await mirror.sync()).toMatchObject({ outcome: 'published', checked });
  expect(mirror.history().at(-1)).toMatchObject({ checked });
});

test('what its source mends comes again, also where neither size nor time says so', async () => {
  const mirror = await checkedMirror();
  const right = summedFiles('second');
  const aged = (files: Record<string, string>) => {
    mirror.change(files);
    const names = Object.keys(files).map((name) => join(mirror.source, name));
    execaSync('touch', ['--date=2026-11-22 08:00', ...names]);
  };
  aged({ ...right, 'images/a.iso': right['images/a.iso']?.replace('second', 'broken') ?? '' });
  expectFailure(await syncOf(mirror, '--retries', '0'), 65, /images\/a\.iso: sha256/);
  aged(right);
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
});

test('a source that heals while the sync waits is published by the same sync', async () => {
  const mirror = await checkedMirror();
  mirror.change(CUT_OFF);
  const running = startProgram(['sync', mirror.root, '--retries', '9', '--retry-delay', '500ms']);
  await expect.poll(() => running.saidSoFar()).toMatch(/images\/a\.iso: .*try 1 of 9 follows/);
  expect(mirror.linked('current')).toBe('right');
  mirror.change(summedFiles('second'));
  const result = await running.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(mirror.linked('current')).not.toBe('right');
  expect(mirror.history().map(({ event }) => event)).toEqual(['published', 'published']);
});

test('--json names what was found', async () => {
  const mirror = await checkedMirror();
  mirror.change(CUT_OFF);
  const result = await syncOf(mirror, '--retries', '0', '--json');
  expect(result.json()).toMatchObject({
    error: { code: 'CHECK_FAILED', count: 1, findings: [{ name: 'images/a.iso', kind: 'hash' }] },
  });
});

test('--publish-anyway publishes it, and says so', async () => {
  const mirror = await checkedMirror();
  mirror.change(CUT_OFF);
  const result = await syncOf(mirror, '--publish-anyway', '--quiet');
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(/images\/a\.iso: .* It is published all the same/);
  const wrongName = { name: 'images/a.iso', kind: 'hash' };
  const by = userInfo().username;
  expect(mirror.history().at(-1)).toMatchObject({
    checked: { findings: 1, wrong: [wrongName], anyway: { by } },
  });
  for (const verb of ['status', 'explain']) {
    const { stdout } = await runProgram([verb, mirror.root]);
    expect(stdout).toContain(`was published anyway by ${by}, although images/a.iso: sha256`);
  }
  const look = async (verb: string) => (await runProgram([verb, mirror.root])).stdout;
  expect(await look('list')).toMatch(/^right .* -( +-)?\n.* current .* published anyway /m);
  expect(await look('history')).toMatch(/ published {2}.*\n.* published anyway {2}/);
  mirror.change(summedFiles('second'));
  await mirror.sync();
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
});

test('what was published anyway is a problem as long as a channel names it', async () => {
  const mirror = await checkedMirror();
  await mirror.publish('broken', CUT_OFF, '--publish-anyway', '--retries', '0');
  const promoted = await runProgram(['promote', mirror.root, '--to', 'testing']);
  expect(promoted.stderr).toMatch(/warning: broken, which testing names now, was published anyway/);
  const rule = ['--channel', 'next=current'];
  await runForJson(['init', mirror.root, ...rule]);
  const pruned = await runProgram(['prune', mirror.root]);
  expect(pruned.stderr).toMatch(/warning: broken, which next names now, was published anyway/);
  await runForJson(['rollback', mirror.root, 'right']);
  const { stdout } = await runProgram(['status', mirror.root]);
  expect(stdout).toMatch(/broken, which .*testing.* names, was published anyway by /);
  const moved = await runProgram(['prune', mirror.root]);
  expect(moved.stderr).not.toMatch(/published anyway/);
  await runForJson(['promote', mirror.root, 'right', '--to', 'testing']);
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
});

test('what the rules of rsync leave out is not missing, and what they do not is', async () => {
  const mirror = await checkedMirror();
  const content: Record<string, string> = {
    ...summedFiles('second'),
    'images/huge.iso': 'x'.repeat(5000),
  };
  const names = ['a.iso', 'b.iso', 'huge.iso', 'never-there.iso'];
  const files = Object.fromEntries(names.map((name) => [name, content[`images/${name}`] ?? '']));
  mirror.change({ ...content, 'images/SHA256SUMS': listOf(files) });
  const rules = ['--exclude=b.*', '--allow-shrink', '--retries', '0'];
  const result = await syncOf(mirror, ...rules);
  expectFailure(result, 65, /: images\/never-there\.iso is missing/);
  expect(result.stderr).not.toMatch(/(b|huge)\.iso/);
  // A list of checksums has no sizes, so that nobody knows which of these would be too large.
  const bySize = await syncOf(mirror, ...rules, '--', '--max-size=1k');
  expect(bySize.exitCode, transcript(bySize)).toBe(0);
  expect(bySize.stderr).toMatch(/3 missing files may have been left out by their sizes/);
});

test('only what has changed is read again', async () => {
  const mirror = await checkedMirror();
  const current = join(mirror.root, 'current/images/b.iso');
  // As a disk that forgets: neither the size nor the time says so.
  const reference = join(mirror.source, 'images/b.iso');
  writeFileSync(current, 'X'.repeat(statSync(reference).size));
  execaSync('touch', ['-r', reference, current]);
  mirror.change({ other: 'new' });
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  // The verb reads all.
  expect(wrong(await runCheck(mirror.root))).toEqual(['hash images/b.iso']);
  // Without the record of what was right, a sync does, too.
  rmSync(mirror.state('checked'));
  mirror.change({ other: 'newer' });
  expectFailure(await syncOf(mirror, '--retries', '0'), 65, /images\/b\.iso/);
});

test('a file that is as it was is held against what a new list says', async () => {
  const mirror = await checkedMirror();
  const content = readFileSync(join(mirror.source, 'images/b.iso'), 'utf8');
  mirror.change({ 'images/SHA256SUMS': listOf({ 'a.iso': 'first a', 'b.iso': `${content}!` }) });
  expectFailure(await syncOf(mirror, '--retries', '0'), 65, /images\/b\.iso: sha256/);
});

test('a kind that is wanted has to be there', async () => {
  const mirror = smallMirror();
  const words = ['sync', mirror.source, mirror.root, '--check', 'apt', '--retries', '0'];
  const result = await runProgram(words);
  expectFailure(result, 65, /a Release or InRelease/, /If it never has any, take that kind out/);
  expect(mirror.snapshots()).toEqual([]);
});

test('a keyring that cannot be used ends a sync before its transfer', async () => {
  const mirror = smallMirror();
  const words = ['sync', mirror.source, mirror.root, '--check', 'auto'];
  const result = await runProgram([...words, '--check-keyring', '/etc/passwd']);
  expectFailure(result, 78, /the keyring \/etc\/passwd has no public key/);
  expect(mirror.history().at(-1)).toMatchObject({ event: 'failed', code: 'CONFIGURATION' });
  const there = readdirSync(mirror.root, { recursive: true }).map((name) => basename(`${name}`));
  expect(there.filter((name) => readdirSync(mirror.source).includes(name))).toEqual([]);
});

test('a keyring and a command of [defaults] are none where a mirror says so, or for once', async () => {
  const { root, source, home } = smallMirror();
  await runForJson(['init', root]);
  const file = join(home, 'mirrors.toml');
  const configure = (...lines: string[]) => {
    const defaults = ['[defaults]', 'check = "auto"', 'check-command = "false"'];
    const mirror = ['check-keyring = "/nowhere/keys.gpg"', '[mirrors.m]', `root = "${root}"`];
    writeFileSync(file, [...defaults, ...mirror, `source = "${source}/"`, ...lines].join('\n'));
  };
  const sync = (...words: string[]) =>
    runProgram(['sync', 'm', '--retries', '0', ...words], { env: { MIRRORLATCH_CONFIG: file } });
  configure();
  expectFailure(await sync(), 78, /the keyring \/nowhere\/keys.gpg cannot be read/);
  expectFailure(await sync('--no-check-keyring'), 65, /the command/);
  const once = await sync('--no-check-keyring', '--no-check-command');
  expect(once.exitCode, transcript(once)).toBe(0);
  configure('check-keyring = ""', 'check-command = ""');
  writeFileSync(join(source, 'file'), 'anew');
  const result = await sync();
  expect(result.exitCode, transcript(result)).toBe(0);
});

test('a gpgv that is missing ends a sync before its transfer, if a kind needs it', async () => {
  const mirror = smallMirror();
  const keyring = join(mirror.home, 'keys.asc');
  writeFileSync(keyring, '-----BEGIN PGP PUBLIC KEY BLOCK-----\n');
  const programs = join(mirror.home, 'programs');
  mkdirSync(programs);
  const env = { PATH: programs };
  for (const name of ['node', 'rsync', 'flock', 'setpriv', 'sh', 'find', 'sync', 'cp', 'touch'])
    symlinkSync(execaSync('which', [name]).stdout, join(programs, name));
  const { source, root } = mirror;
  const words = ['sync', source, root, '--retries', '0', '--check-keyring', keyring];
  const sync = (kind: string) => runProgram([...words, '--check', kind], { env });
  const result = await sync('auto');
  expectFailure(result, 69, /a check needs gpgv, which is not installed\n.*apt-get install gpgv$/m);
  expect(result.stderr).not.toMatch(/transferring/);
  expectFailure(await sync('sha256sums'), 65, /a list of sha256sum .* is missing/);
});

test('a sync that finds nothing new says once that nothing has checked that', async () => {
  const mirror = smallMirror();
  await mirror.publish('plain', summedFiles('first'));
  const unchecked = /^mirrorlatch: nothing is new, .* To check it: (mirrorlatch check .*)$/m;
  const wanted = ['--check', 'sha256sums'];
  const [, command] = unchecked.exec((await syncOf(mirror, ...wanted)).stderr) ?? [];
  expect(command).toBe(`mirrorlatch check ${mirror.root} --check sha256sums`);
  expect(mirror.history().at(-1)).toMatchObject({ event: 'unchanged', isUnchecked: true });
  expect((await syncOf(mirror, ...wanted)).stderr).not.toMatch(unchecked);
  mirror.change(summedFiles('second'));
  await mirror.sync(...wanted);
  expect((await syncOf(mirror, ...wanted)).stderr).not.toMatch(unchecked);
  const [, more] =
    unchecked.exec((await syncOf(mirror, ...wanted, '--check-content')).stderr) ?? [];
  expect(more).toBe(`mirrorlatch check ${mirror.root} --check sha256sums --check-content`);
});

test('none is refused together with another kind', async () => {
  const { source, root } = smallMirror();
  const result = await runProgram(['sync', source, root, '--check', 'auto', '--check', 'none']);
  expectFailure(result, 64, /none/);
});

test('a command that says no is told as such', async () => {
  const mirror = await checkedMirror();
  mirror.change({ other: 'new' });
  const result = await syncOf(mirror, '--retries', '0', '--check-command', 'exit 9');
  expectFailure(
    result,
    65,
    /the command of the check says no: .* 9.*\n.*check-command.* mirrorlatch explain \S+$/ms,
  );
});

test('check with --check none has nothing to do', async () => {
  const mirror = await checkedMirror();
  expectFailure(
    await runProgram(['check', mirror.root, '--check', 'none']),
    64,
    /nothing to check/,
  );
});

test('--check none turns off what the mirror remembers', async () => {
  const mirror = await checkedMirror();
  await runForJson(['init', mirror.root, '--check-command', 'false']);
  mirror.change(CUT_OFF);
  expect(await mirror.sync('--check', 'none')).toMatchObject({ outcome: 'published' });
});

test('the configuration says what is checked', async () => {
  const { root, source, change, linked } = smallMirror();
  const file = join(scratchDirectory(), 'config.toml');
  writeFileSync(file, `[mirrors.m]\nroot = "${root}"\nsource = "${source}"\ncheck = "auto"\n`);
  const run = (...words: string[]) => runProgram(['--config', file, ...words]);
  change(summedFiles('first'));
  expect((await run('init', 'm')).exitCode).toBe(0);
  expect((await run('sync', 'm', '--id', 'right')).exitCode).toBe(0);
  change(CUT_OFF);
  expectFailure(await run('sync', 'm', '--retries', '0'), 65, /images\/a\.iso/);
  expectFailure(
    await run('lock', 'm', '--', 'sh', '-c', `cp -a ${source}/. "$MIRRORLATCH_STAGING"`),
    125,
    /images\/a\.iso/,
  );
  expect(linked('current')).toBe('right');
});

test('a command says no by its exit code, and is quoted', async () => {
  const mirror = await checkedMirror();
  const asks =
    'echo "$MIRRORLATCH_ID in $PWD"; test "$PWD" = "$MIRRORLATCH_TREE" && test -e wanted';
  await runForJson(['init', mirror.root, '--check-command', asks]);
  mirror.change({ other: 'new' });
  const result = await syncOf(mirror, '--id', 'next', '--retries', '0');
  expectFailure(result, 65, /ended with 1: next in .*staging\/next, expected exit code 0/);
  mirror.change({ wanted: '' });
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
});

test('a sync that is killed in a check leaves what the next one needs', async () => {
  const mirror = await checkedMirror();
  const mark = join(mirror.home, 'asked');
  mirror.change(summedFiles('second'));
  const running = startProgram([
    ...['sync', mirror.root, '--check-command', `: >'${mark}'; exec sleep 600`],
  ]);
  await expect.poll(() => statSync(mark, { throwIfNoEntry: false })).toBeDefined();
  running.kill('SIGKILL');
  await running.result;
  expect(mirror.linked('current')).toBe('right');
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  expect((await runCheck(mirror.root)).isRight).toBe(true);
});

test('I2: what a killed sync leaves running writes to no tree that is published', async () => {
  const mirror = await checkedMirror();
  const mark = join(mirror.home, 'asked');
  onTestFinished(() => rmSync(mark));
  mirror.change(summedFiles('second'));
  // It goes on as long as the mark is there, whatever it gets.
  const command = `trap '' TERM; : >'${mark}'; while test -e '${mark}'; do : >late; sleep 0.05; done`;
  const running = startProgram(['sync', mirror.root, '--check-command', command]);
  await expect.poll(() => statSync(mark, { throwIfNoEntry: false })).toBeDefined();
  running.kill('SIGKILL');
  await running.result;
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  await pause(300);
  expect(readdirSync(join(mirror.root, 'current')).sort()).toEqual(
    readdirSync(mirror.source).sort(),
  );
});

test.each(['checked', 'checked.new'])(
  'a directory in the place of %s keeps nothing back',
  async (name) => {
    const mirror = await checkedMirror();
    rmSync(mirror.state(name), { force: true });
    mkdirSync(mirror.state(name));
    mirror.change(summedFiles('second'));
    const result = await syncOf(mirror);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(new RegExp(`/${name} is not a file`));
  },
);

test('what a command of the check writes is read, whatever time it gives to it', async () => {
  const mirror = await checkedMirror();
  mirror.change({ other: 'new' });
  // The new tree shares this file with the current one; its size and its time stay.
  const file = 'images/a.iso';
  const reference = `'${mirror.home}/reference'`;
  const command = `touch -r ${file} ${reference}; printf 'firsX a' >${file}; touch -r ${reference} ${file}`;
  const result = await syncOf(mirror, '--check-command', command, '--retries', '0');
  expectFailure(result, 65, /images\/a\.iso: sha256 /);
});

test('a command that takes too long is not asked again', async () => {
  const mirror = await checkedMirror();
  mirror.change(summedFiles('second'));
  const command = ['--check-command', `echo >>'${mirror.home}/asked'; sleep 600`];
  const limit = ['--check-timeout', '500ms', '--retries', '2', '--retry-delay', '10ms'];
  expectFailure(await syncOf(mirror, ...command, ...limit), 65, /took longer than 0\.5 s/);
  expect(readFileSync(join(mirror.home, 'asked'), 'utf8')).toBe('\n');
});

test('in place, guarded readers wait until the tree is right', async () => {
  const mirror = await inPlace();
  await runForJson(['init', mirror.root, '--check', 'auto']);
  mirror.change(CUT_OFF);
  expectFailure(await syncOf(mirror, '--retries', '0'), 65, /images\/a\.iso/);
  expect(mirror.record()).toMatchObject({ state: 'dirty' });
  const { stdout } = await runProgram(['explain', mirror.root]);
  expect(stdout).toContain('guarded readers wait, and all others read it as it is');
  expect(stdout).not.toMatch(/Nothing of it was published|left nothing/);
  const words = ['run', mirror.root, '--wait', '0', '--', 'true'];
  const reader = await runProgram(words, { byLauncher: true });
  expect(reader.exitCode, transcript(reader)).toBe(75);
  mirror.change(summedFiles('second'));
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  expect(mirror.record()).toMatchObject({ state: 'open' });
});

test('a push is checked by the host that receives it', async () => {
  const sshd = await startSshDaemon();
  onTestFinished(() => sshd.stop());
  const mirror = await checkedMirror();
  mirror.change(CUT_OFF);
  const refused = await runPush(sshd, mirror, { words: ['--retries', '0'] });
  expectFailure(
    refused,
    65,
    /images\/a\.iso/,
    /^ *A source that is being updated heals by itself/m,
  );
  expect(refused.stderr).toMatch(/: ssh (-p \d+ )?\S+ 'mirrorlatch explain \S+'$/m);
  const foreign = await runPush(sshd, mirror, { words: ['--check-command', 'true'] });
  expectFailure(foreign, 64, /--check-command is not taken from another host/);
  const without = await runPush(sshd, mirror, { words: ['--no-check-keyring'] });
  expectFailure(without, 64, /--no-check-keyring is not taken .* init \S+ --no-check-keyring'?$/ms);
  const anyway = await runPush(sshd, mirror, { words: ['--publish-anyway'] });
  expect(anyway.exitCode, transcript(anyway)).toBe(0);
});

test('a sync goes on although an upgrade replaces the program meanwhile', async () => {
  const mirror = await checkedMirror();
  const copy = scratchDirectory();
  for (const name of ['dist', 'package.json'])
    cpSync(join(project, name), join(copy, name), { recursive: true });
  const file = join(copy, 'm.toml');
  const goes = JSON.stringify(`mv ${copy}/dist ${copy}/old; mkdir ${copy}/dist; ls ${copy}/dist`);
  writeFileSync(file, `[mirrors.m]\nroot = "${mirror.root}"\nbefore-sync = ${goes}\n`);
  mirror.change(summedFiles('second'));
  const sync = ['--config', file, 'sync', 'm', '--retries', '0'];
  const result = await execa(join(copy, 'dist/mirrorlatch'), sync, { reject: false, all: true });
  expect(result.exitCode, result.all).toBe(0);
  expect(mirror.history().at(-1)).toMatchObject({ event: 'published', checked: { findings: 0 } });
  expect(existsSync(join(copy, 'old'))).toBe(true);
});

test('a check of a snapshot that is wrong leads to the command which tells by whom', async () => {
  const mirror = await checkedMirror();
  rot(join(mirror.root, 'current/images/a.iso'));
  const result = await runProgram(['check', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(65);
  const [, ...words] =
    /: mirrorlatch (verify) (\S+) (right) (--bitrot)$/m.exec(result.stdout) ?? [];
  expect(words.slice(1)).toEqual([mirror.root, 'right', '--bitrot']);
  const verified = await runProgram(words);
  expect(verified.exitCode, transcript(verified)).toBe(65);
  expect(verified.stdout).toMatch(/images\/a\.iso/);
});

test('a directory is checked without a mirror', async () => {
  const { source, change } = smallMirror();
  expect(await runCheck(source)).toMatchObject({ isRight: true, kinds: [] });
  change(summedFiles('first'));
  expect(await runCheck(source)).toMatchObject({ isRight: true, files: 2 });
  change({ ...CUT_OFF, 'images/b.iso': null });
  expect(wrong(await runCheck(source))).toEqual(['hash images/a.iso', 'missing images/b.iso']);
  expectFailure(await runProgram(['check', source, 'current']), 64, /is no mirror/);
  expectFailure(
    await runProgram(['check', join(source, 'none')]),
    66,
    /no mirror and no directory/,
  );
});
