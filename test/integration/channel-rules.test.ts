import { readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { promote } from '../../src/operations/promote.ts';
import { rollback } from '../../src/operations/rollback.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { copiesOf, type SmallMirror } from '../support/small-mirror.ts';

const DAY = 86_400_000;

/** Lets all that history has happen so many days earlier. */
function daysLater({ history, state }: SmallMirror, days: number): void {
  const lines = history().map(({ at, ...entry }) => {
    const earlier = new Date(Date.parse(String(at)) - days * DAY).toISOString();
    return JSON.stringify({ at: earlier, ...entry });
  });
  writeFileSync(state('history.jsonl'), `${lines.join('\n')}\n`);
}

/** Published five days one after the other; the last a moment ago. */
const mirrorOfFiveDays = copiesOf(async (mirror) => {
  for (const [day, id] of ['first', 'second', 'third', 'fourth', 'fifth'].entries()) {
    if (day > 0) daysLater(mirror, 1);
    await mirror.publish(id, { file: id }, '--no-prune');
  }
});

const named = ({ root }: SmallMirror, channel: string): string =>
  basename(readlinkSync(join(root, channel)));

const KEEP_NOTHING = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];
const RULES = ['--channel', 'testing=current after 1d', '--channel', 'production=testing after 2d'];

async function withRules(): Promise<SmallMirror> {
  const mirror = await mirrorOfFiveDays();
  await runForJson(['init', mirror.root, ...RULES]);
  return mirror;
}

test('a sync that changes nothing, a lock and a prune move the channels by their rules', async () => {
  for (const words of [['sync'], ['lock', '--', 'true'], ['prune']]) {
    const mirror = await mirrorOfFiveDays();
    await runForJson(['init', mirror.root, ...RULES]);
    const [verb = '', ...rest] = words;
    const result = await runProgram([verb, mirror.root, ...rest]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/testing is now fourth, by its rule/);
    expect(named(mirror, 'testing')).toBe('fourth');
  }
});

test('classes of machines lag behind each other, day by day', async () => {
  const mirror = await withRules();
  const seen: string[] = [];
  for (const id of ['sixth', 'seventh', 'eighth']) {
    daysLater(mirror, 1);
    await mirror.publish(id, { file: id }, ...KEEP_NOTHING);
    const { channels } = await runForJson(['status', mirror.root]);
    const links = (channels as { name: string; id: string | null }[]).map(
      (channel) => `${channel.name} ${channel.id}`,
    );
    seen.push(`${mirror.linked('current')}, ${links.reverse().join(', ')}`);
  }
  expect(seen).toEqual([
    'sixth, testing fifth, production null',
    'seventh, testing sixth, production null',
    'eighth, testing seventh, production fifth',
  ]);
  expect(mirror.history().filter(({ event }) => event === 'promoted')).toHaveLength(4);
});

test('prune keeps what a rule will still need, and says when', async () => {
  const mirror = await withRules();
  const prune = ['prune', mirror.root, ...KEEP_NOTHING];
  const dry = await runForJson([...prune, '--dry-run']);
  expect(dry).toMatchObject({ removed: ['first', 'second', 'third'] });
  const reasonOf = (result: Record<string, unknown>, id: string) =>
    (result['kept'] as { id: string; reasons: string[] }[]).find((one) => one.id === id)?.reasons;
  expect(reasonOf(dry, 'fourth')).toContain('will be testing after the next command');
  const { kept } = await runForJson(prune);
  expect(reasonOf({ kept }, 'fourth')).toEqual([
    'is previous',
    'is testing',
    'will be production in 2d',
  ]);
  expect(reasonOf({ kept }, 'fifth')).toContain('will be testing in 24h');
});

test('a snapshot from which current was rolled back is never promoted, and channels go back from it', async () => {
  const mirror = await withRules();
  await runForJson(['sync', mirror.root]);
  expect(named(mirror, 'testing')).toBe('fourth');
  await runForJson(['rollback', mirror.root, 'third', '--hold', 'fourth is broken']);
  await runForJson(['prune', mirror.root]);
  expect(named(mirror, 'testing')).toBe('third');
  daysLater(mirror, 30);
  await runForJson(['prune', mirror.root]);
  expect([named(mirror, 'testing'), named(mirror, 'production')]).toEqual(['third', 'third']);
});

test('a person may move a channel with a rule until the next sync, or hold it', async () => {
  const mirror = await withRules();
  await runForJson(['sync', mirror.root, '--no-prune']);
  const moved = await runProgram(['promote', mirror.root, 'first', '--to', 'testing']);
  expect(moved.stdout).toMatch(
    /^testing is now first; it was fourth\nits rule, current after 1d, moves it on after the next sync or prune; to stay here: mirrorlatch rollback .* --channel testing first --hold /,
  );
  await runForJson(['sync', mirror.root, '--no-prune']);
  expect(named(mirror, 'testing')).toBe('fourth');
  const back = ['rollback', mirror.root, '--channel', 'testing'];
  const held = await runProgram([...back, 'second', '--hold', 'the kernel is bad']);
  expect(held.stdout).toMatch(/it is held: the kernel is bad; .* --channel testing --release\n$/);
  await runForJson(['sync', mirror.root, '--no-prune']);
  expect(named(mirror, 'testing')).toBe('second');
  expectFailure(await runProgram(back), 75, /testing is held by .*the kernel is bad/, /--release/);
  const status = await runProgram(['status', mirror.root]);
  expect(status.stdout).toMatch(/^channel +testing is second, .*; held by .*: the kernel is bad/m);
  await runForJson([...back, '--release']);
  await runForJson(['sync', mirror.root, '--no-prune']);
  expect(named(mirror, 'testing')).toBe('fourth');
});

test('a hold without a snapshot goes back, and stays where the channel has gone back already', async () => {
  const mirror = await mirrorOfFiveDays();
  for (const id of ['first', 'second']) await promote({ root: mirror.root, id, to: 'testing' });
  const hold = { root: mirror.root, channel: 'testing', hold: 'why' };
  expect(await rollback(hold)).toMatchObject({ id: 'first', previous: 'second', hold: 'why' });
  expect(await rollback(hold)).toMatchObject({ id: 'first', previous: 'first', hold: 'why' });
});

test('a rule is remembered, shown, replaced and ended', async () => {
  const mirror = await withRules();
  const init = (rule: string) => runProgram(['init', mirror.root, '--channel', rule]);
  expect((await init('testing=current after 12h')).stdout).toMatch(
    /its channel testing follows current after 12h\n/,
  );
  expect(mirror.settings()['channels']).toEqual({
    testing: { from: 'current', afterMs: DAY / 2 },
    production: { from: 'testing', afterMs: 2 * DAY },
  });
  expectFailure(await init('testing=production'), 64, /in a circle: /);
  for (const wrong of ['testing', 'testing=', 'current=testing', 'testing=current after soon'])
    expectFailure(await init(wrong), 64, /testing after 7d|current after 1d|such as 90s/);
  await init('production=none');
  expect(mirror.settings()['channels']).toEqual({ testing: { from: 'current', afterMs: DAY / 2 } });
  await runForJson(['sync', mirror.root]);
  const remove = ['promote', mirror.root, '--to', 'testing', '--remove'];
  expectFailure(await runProgram(remove), 64, /testing has a rule/, /--channel testing=none/);
  await init('testing=none');
  await runForJson(remove);
  expect(mirror.settings()).not.toHaveProperty('channels');
});

test('a rule of a mirror in place is refused', async () => {
  const mirror = await mirrorOfFiveDays();
  const other = join(mirror.home, 'other');
  const refused = await runProgram(['init', other, '--in-place', '--channel', 'testing=current']);
  expectFailure(refused, 64, /--channel/);
});
