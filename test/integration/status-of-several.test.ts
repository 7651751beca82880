import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { nobody } from '../support/privilege.ts';
import {
  endWithTest,
  nobodyRunsTheProgram,
  type ProgramOptions,
  type ProgramResult,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');
const twoSnapshots = mirrorsWith('first', 'second');

const HEAD = /^MIRROR +STATE +FRESH +WHOLE +SYNCED +CURRENT +AGE +READERS +LOCK +WHY$/;

/** A row for each mirror, by its path. */
async function rowsOf(
  words: readonly string[],
  exitCode: number,
  options: ProgramOptions = {},
): Promise<string[]> {
  const result = await runProgram(['status', ...words], options);
  expect(result.exitCode, transcript(result)).toBe(exitCode);
  const [head, ...rows] = result.stdout.trimEnd().split('\n');
  expect(head).toMatch(HEAD);
  return rows;
}

async function fail({ root }: SmallMirror): Promise<void> {
  await runProgram(['sync', '/nowhere', root, '--other-source', '--id', 'lost']);
}

test('status of several mirrors has a line for each, in their order, and ends with 0 if all are healthy', async () => {
  const [one, other] = [await oneSnapshot(), await twoSnapshots()];
  const age = String.raw`\d+m?s`;
  expect(await rowsOf([other.root, one.root], 0)).toEqual([
    expect.stringMatching(`^${other.root} +healthy +- +yes +${age} +second +${age} +0 +free$`),
    expect.stringMatching(`^${one.root} +healthy +- +yes +${age} +first +${age} +0 +free$`),
  ]);
});

test('a mirror that cannot be looked at is a line with its error, and hinders no other', async () => {
  const [good, failed, broken] = [await oneSnapshot(), await oneSnapshot(), await oneSnapshot()];
  await fail(failed);
  writeFileSync(broken.state('mirror.json'), 'no settings');
  const [first, second, third, fourth] = await rowsOf(
    ['/nowhere', good.root, failed.root, broken.root],
    78,
  );
  expect(first).toMatch(/^\/nowhere +unknown .* there is no mirror in \/nowhere$/);
  expect(second).toMatch(/ healthy /);
  expect(third).toMatch(/ attention +- +yes .* the last sync or lock failed$/);
  expect(fourth).toMatch(/ unknown .*mirror\.json does not hold valid settings/);
  await rowsOf([good.root, failed.root], 69);
  await rowsOf([good.root, '/nowhere'], 66);
});

test('with --json it is an array, with what one alone would print, and errors in their places', async () => {
  const [one, other] = [await oneSnapshot(), await twoSnapshots()];
  const result = await runProgram(['status', one.root, '/nowhere', other.root, '--json']);
  expect(result.exitCode, transcript(result)).toBe(66);
  expect(JSON.parse(result.stdout)).toMatchObject([
    { root: one.root, current: { id: 'first' }, isHealthy: true, isWhole: true, isFresh: null },
    { root: '/nowhere', error: { code: 'NO_MIRROR', exitCode: 66 } },
    { root: other.root, current: { id: 'second' }, isHealthy: true },
  ]);
  expect(await runForJson(['status', one.root])).toMatchObject({ root: one.root });
});

test('--max-age counts for all of them', async () => {
  const [fresh, stale] = [await oneSnapshot(), await oneSnapshot()];
  const [line = ''] = stale.history().map((entry) => JSON.stringify({ ...entry, at: before(48) }));
  writeFileSync(stale.state('history.jsonl'), `${line}\n`);
  const [first, second] = await rowsOf([fresh.root, stale.root, '--max-age', '26h'], 69);
  expect(first).toMatch(/ healthy +yes +yes /);
  expect(second).toMatch(/ attention +no +yes +2d .* it is stale$/);
});

const before = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString();

test('it shows who reads, who writes, and that a tree in place is not whole', async () => {
  const [read, written, inPlace] = [await oneSnapshot(), await oneSnapshot(), smallMirror()];
  await runForJson(['init', inPlace.root, '--in-place']);
  const reader = startProgram(['run', read.root, '--', 'sh', '-c', 'echo; exec sleep 60'], {
    byLauncher: true,
  });
  endWithTest(reader);
  const writer = startProgram(['lock', written.root, '--', 'sh', '-c', 'echo; exec sleep 60']);
  endWithTest(writer, 'SIGTERM');
  for (const running of [reader, writer]) {
    await expect.poll(running.printedSoFar, { timeout: 30_000 }).toBe('\n');
  }
  const rows = await rowsOf([read.root, written.root, inPlace.root], 69);
  expect(rows[0]).toMatch(/ first +\S+ +[1-9]\d* +free$/);
  expect(rows[1]).toMatch(/ 0 +lock$/);
  expect(rows[2]).toMatch(/ attention +- +no +never /);
});

test('--all shows all mirrors of the configuration by their names, each with its own limit', async () => {
  const [fresh, stale] = [await oneSnapshot(), await oneSnapshot()];
  const file = join(scratchDirectory(), 'config.toml');
  writeFileSync(
    file,
    `[mirrors.debian]\nroot = "${fresh.root}"\n[mirrors.old]\nroot = "${stale.root}"\nmax-age = "1ms"\n`,
  );
  const rows = await rowsOf(['--all', '--config', file], 69);
  expect(rows[0]).toMatch(/^debian +healthy +- /);
  expect(rows[1]).toMatch(/^old +attention +no /);
  const metrics = await metricsOf('--all', '--config', file);
  expect(metrics).toContain('mirror_stale{mirror="old"} 1\n');
  expect(metrics).not.toContain('mirror_stale{mirror="debian"}');
  expect(metrics).toContain('mirror_up{mirror="debian"} 1\n');
  const none = join(scratchDirectory(), 'none.toml');
  writeFileSync(none, '');
  expectFailure(await runProgram(['status', '--all', '--config', none]), 64, /has no mirror/);
  expectFailure(await runProgram(['status']), 64, /MIRROR is missing/, /status MIRROR\.\.\./);
  expectFailure(await runProgram(['status', fresh.root, '--all']), 64, /cannot be combined/);
});

test.skipIf(!nobodyRunsTheProgram)('another user gets the same lines', async () => {
  const [one, other] = [await oneSnapshot(), await twoSnapshots()];
  const rows = await rowsOf([one.root, other.root], 0, { user: nobody });
  expect(rows[0]).toMatch(/ healthy .* first +\S+ +\? +free$/);
});

const whyNot = whyNotInstalled('promtool');

const check = (input: string) => execa('promtool', ['check', 'metrics'], { input, all: true });

async function metricsOf(...words: string[]): Promise<string> {
  const result: ProgramResult = await runProgram(['status', ...words, '--prometheus']);
  expect(result.exitCode, transcript(result)).toBe(0);
  return result.stdout;
}

test.skipIf(whyNot !== '')(
  `--prometheus prints what promtool finds nothing to improve in, and ends with 0 whatever it tells${whyNot}`,
  async () => {
    const [one, failed] = [
      await twoSnapshots(),
      smallMirror({ root: join(scratchDirectory(), 'big') }),
    ];
    await failed.sync('--id', 'first');
    await fail(failed);
    const text = await metricsOf(one.root, failed.root, '/nowhere', '--max-age', '26h');
    expect((await check(text)).all).toBe('');
    const value = (figure: string, mirror: string) =>
      Number(
        new RegExp(`^mirrorlatch_mirror_${figure}\\{mirror="${mirror}"\\} (.*)$`, 'm').exec(
          text,
        )?.[1],
      );
    const synced = Date.parse(String(one.history().at(-1)?.['at']));
    expect(value('last_success_timestamp_seconds', 'mirror')).toBe(synced / 1000);
    expect(value('snapshots', 'mirror')).toBe(2);
    expect(value('stale', 'mirror')).toBe(0);
    expect(value('leases', 'mirror')).toBe(0);
    expect(value('sync_running', 'mirror')).toBe(0);
    expect(value('needs_attention', 'mirror')).toBe(0);
    expect(value('needs_attention', 'big')).toBe(1);
    expect(value('consecutive_failures', 'big')).toBe(1);
    expect(value('up', 'big')).toBe(1);
    expect(value('up', 'nowhere')).toBe(0);
    expect(value('needs_attention', 'nowhere')).toBe(1);
    expect(text).not.toMatch(/http_requests|process_|pins/);
  },
);

test('mirrors whose paths end alike have the whole paths in the metrics', async () => {
  const [one, other] = [await oneSnapshot(), await oneSnapshot()];
  const text = await metricsOf(one.root, other.root);
  for (const { root } of [one, other]) {
    expect(text).toContain(`mirrorlatch_mirror_up{mirror="${root}"} 1\n`);
  }
  const both = await runProgram(['status', one.root, '--prometheus', '--json']);
  expect(both.exitCode).toBe(64);
  expect(both.json()).toMatchObject({ error: { code: 'USAGE' } });
});

test.skipIf(whyNot !== '')(
  'the line of its help for a crontab replaces the file as a whole',
  async () => {
    const mirror = await oneSnapshot();
    const home = scratchDirectory();
    const directory = join(home, 'node-exporter');
    mkdirSync(directory);
    const config = join(home, 'config.toml');
    writeFileSync(config, `[mirrors.debian]\nroot = "${mirror.root}"\n`);
    const { stdout } = await runProgram(['status', '--help']);
    const [, line = ''] = /^ *\*\/5 \* \* \* \* +(.*)$/m.exec(stdout) ?? [];
    const bin = join(home, 'bin');
    mkdirSync(bin);
    writeFileSync(
      join(bin, 'mirrorlatch'),
      `#!/bin/sh\nexec '${launcher}' "$@" --config '${config}'\n`,
      { mode: 0o755 },
    );
    const script = line.replaceAll('/var/lib/prometheus/node-exporter', directory);
    await execa('sh', ['-c', script], { env: { PATH: `${bin}:${process.env['PATH']}` } });
    rmSync(bin, { recursive: true });
    const { stdout: files } = await execa('ls', [directory]);
    expect(files).toBe('mirrorlatch.prom');
    const { stdout: text } = await execa('cat', [join(directory, 'mirrorlatch.prom')]);
    expect(text).toContain('mirrorlatch_mirror_up{mirror="debian"} 1');
  },
);
