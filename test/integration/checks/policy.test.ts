import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCheck } from '../../support/checked.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { runForJson, runProgram, startProgram, transcript } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import type { SmallMirror } from '../../support/small-mirror.ts';
import { CUT_OFF, checkedMirror, summedFiles } from '../../support/summed-files.ts';

const syncOf = ({ root }: SmallMirror, ...words: string[]) =>
  runProgram(['sync', root, '--retries', '0', ...words]);

describe('an exception', () => {
  test('lets a constant defect pass, which is told and recorded, until it has gone', async () => {
    const mirror = await checkedMirror();
    await runForJson([
      'init',
      mirror.root,
      '--check-except',
      'images/a.*',
      '--check-except',
      'none',
    ]);
    mirror.change(CUT_OFF);
    const result = await syncOf(mirror);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/check-except images\/a\.\*: 1 finding refuses nothing/);
    expect(mirror.history().at(-1)).toMatchObject({
      checked: { findings: 0, excepted: [{ pattern: 'images/a.*', count: 1 }] },
    });
    const look = async (verb: string) => (await runProgram([verb, mirror.root])).stdout;
    const inForce = /except what is wrong with images\/a\.\*, none/;
    const matched = /check-except images\/a\.\*: 1 finding refuses nothing/;
    expect(await look('status')).toMatch(inForce);
    expect(await look('status')).toMatch(matched);
    expect(await look('explain')).toMatch(inForce);
    expect(await look('explain')).toMatch(/excepted\?\n.*1 finding .*\n.* --no-check-except$/m);
    expect(await runCheck(mirror.root)).toMatchObject({ isRight: true, count: 0 });
    expect(await runCheck(mirror.root, '--no-check-except')).toMatchObject({ count: 1 });
    mirror.change(summedFiles('third'));
    const healed = await syncOf(mirror);
    expect(healed.stderr).toMatch(
      /check-except images\/a\.\*: nothing that is wrong has such a name/,
    );
    expect(await look('status')).not.toMatch(matched);
    expect(await look('explain')).not.toMatch(matched);
  });

  test('lets nothing else pass', async () => {
    const mirror = await checkedMirror();
    mirror.change({ ...CUT_OFF, 'images/b.iso': 'cut off, too' });
    const result = await syncOf(mirror, '--check-except', 'a.iso');
    expectFailure(result, 65, /images\/b\.iso/);
    expect(result.stderr).not.toMatch(/images\/a\.iso/);
  });
});

test.each([
  ['[', /The \[ is not closed/],
  ['../x', /Names begin at the top of the tree/],
  ['!x', /An exception cannot be negated/],
  ['', /Give a pattern on names in the tree/],
])('%j is no exception, on the line or in the configuration', async (pattern, fault) => {
  const home = scratchDirectory();
  expectFailure(await runProgram(['check', home, '--check-except', pattern]), 64, fault);
  const file = join(home, 'mirrorlatch.toml');
  writeFileSync(file, `[mirrors.one]\nroot = '${home}'\ncheck-except = ['${pattern}']\n`);
  expectFailure(await runProgram(['config', 'check', '--config', file]), 78, fault);
});

test('a keyring without a kind of check demands nothing, and every sync and status say so', async () => {
  const home = scratchDirectory();
  const [root, source, keys] = [join(home, 'mirror'), join(home, 'source'), join(home, 'keys')];
  mkdirSync(source);
  const idle =
    /no signature is checked: check-keyring needs a kind of check with signatures, or auto/;
  const made = await runProgram(['init', root, '--source', source, '--check-keyring', keys]);
  expect(made.stdout, transcript(made)).toMatch(idle);
  for (const content of ['first', 'second']) {
    writeFileSync(join(source, 'file'), content);
    const synced = await runProgram(['sync', root, '--quiet']);
    expect(synced.exitCode, transcript(synced)).toBe(0);
    expect(synced.stderr).toMatch(idle);
  }
  expect((await runProgram(['status', root])).stdout).toMatch(idle);
  const checked = await runProgram(['init', root, '--check', 'npm', '--check', 'pypi']);
  expect(checked.stdout).toMatch(idle);
  expect(checked.stdout).toMatch(/a new tree is checked before it is published: npm, pypi$/m);
  for (const choice of ['none', 'auto']) {
    const { stdout } = await runProgram(['init', root, '--check', choice]);
    expect(stdout, choice).not.toMatch(idle);
  }
});

describe('a command', () => {
  test('that takes too long is ended with all that it has started', async () => {
    const mirror = await checkedMirror();
    mirror.change({ other: 'new' });
    const pids = join(mirror.home, 'pids');
    const asks = `sleep 600 & echo "$! $$" > '${pids}'; echo waiting for it; wait`;
    const result = await syncOf(mirror, '--check-command', asks, '--check-timeout', '1s');
    expectFailure(result, 65, /took longer than 1 s, and was ended: waiting for it/);
    for (const pid of readFileSync(pids, 'utf8').trim().split(' ')) expectGone(pid);
    expect(mirror.linked('current')).toBe('right');
  });

  test('is ended with all that it has started by an interruption of the sync', async () => {
    const mirror = await checkedMirror();
    mirror.change({ other: 'new' });
    const pids = join(mirror.home, 'pids');
    const asks = `sleep 600 & echo "$! $$" > '${pids}'; wait`;
    const running = startProgram(['sync', mirror.root, '--check-command', asks]);
    await eventually(() => expect(readIfThere(pids)).toMatch(/^\d+ \d+\n$/));
    running.kill('SIGINT');
    const result = await running.result;
    expect(result.exitCode ?? result.signal, transcript(result)).not.toBe(0);
    for (const pid of readIfThere(pids).trim().split(' ')) expectGone(pid);
    expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  });

  test('that changes a file which a list names is found out', async () => {
    const mirror = await checkedMirror();
    mirror.change(summedFiles('second'));
    const asks = 'rm images/a.iso; echo broken > images/a.iso';
    expectFailure(await syncOf(mirror, '--check-command', asks), 65, /images\/a\.iso: sha256/);
  });
});

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function expectGone(pid: string): void {
  expect(() => process.kill(Number(pid), 0), `process ${pid}`).toThrow('ESRCH');
}
