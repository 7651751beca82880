import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { mayMount } from '../support/privilege.ts';
import { runForJson } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { copyTree } from './changing-tree.ts';
import { diceOf } from './dice.ts';
import { byScale, givenSeed, HOUR_MS, tellSummary } from './scale.ts';
import { wrongAfterwards } from './turmoil/aftermath.ts';
import { keepCommanding } from './turmoil/commands.ts';
import { type Course, startCourse } from './turmoil/course.ts';
import { type Mirror, mirrorAt } from './turmoil/mirrors.ts';
import { keepMounting, makeOutside } from './turmoil/outside.ts';
import { keepInspecting, keepReading } from './turmoil/readers.ts';
import { keepChanging, makeSource } from './turmoil/source.ts';
import { knownStates } from './turmoil/states.ts';
import { keepMeddling } from './turmoil/stranger.ts';

const DURATION_MS = byScale({ sample: 25_000, all: HOUR_MS / 6 });
const WRITERS = byScale({ sample: 1, all: 2 });
const READERS = byScale({ sample: 3, all: 6 });

const whySkipped = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';
const scratch = makeScratch();
let isToKeep = false;

afterAll(async () => {
  if (!isToKeep) await scratch.remove();
});

describe.skipIf(whySkipped !== '')(`Everything at once${whySkipped}`, () => {
  it('No reader sees a mix, each published tree is one state of the source, and nothing outside changes, while commands of all kinds run, are killed and stopped, another user meddles, and other disks are mounted below the trees', {
    timeout: DURATION_MS + HOUR_MS / 6,
  }, async () => {
    isToKeep = true;
    const within = (name: string) => join(scratch.path, name);
    mkdirSync(within('mirrors'), { mode: 0o755 });
    const states = knownStates();
    const outside = makeOutside(within('outside'));
    const make = (name: string) => makeSource(within(name), outside.path, states, diceOf(name));
    const source = make('source');
    const trees = ['tree-1', 'tree-2', 'tree-3'].map((name) => make(name).path);
    const mirrors = await makeMirrors(within('mirrors'), source.path);
    const names = readdirSync(scratch.path).sort();

    const course = startCourse(within('journal'));
    const supplies = { source: source.path, trees };
    const times = (number: number) => Array.from({ length: number }, (_, index) => index);
    await togetherIn(course, [
      keepChanging(source, course, diceOf('changes')),
      keepMounting(outside, mirrors, course, diceOf('mounts')),
      keepMeddling(mirrors, course, diceOf('stranger')),
      keepInspecting(mirrors, states, course, diceOf('inspector')),
      ...times(READERS).map((n) => keepReading(mirrors, course, diceOf(`reader ${n}`))),
      ...mirrors.flatMap((mirror) =>
        times(WRITERS).map((n) =>
          keepCommanding(mirror, supplies, course, diceOf(`${mirror.name} ${n}`)),
        ),
      ),
      endInTime(course, mirrors),
    ]);

    if (course.faults.length === 0) {
      const wrong = await Promise.all(
        mirrors.map((mirror) => wrongAfterwards(mirror, source.path, states)),
      );
      for (const sentence of wrong.flat()) course.fault('at the end', sentence);
    }
    for (const sentence of outside.changes()) course.fault('outside', sentence);
    const added = readdirSync(scratch.path).filter((name) => !['journal', ...names].includes(name));
    for (const name of added) course.fault('outside', `${name} is new beside the mirrors`);
    outside.remove();

    tellSummary(`turmoil: ${course.faults.length} faults, seed ${givenSeed()}`);
    for (const line of course.table()) tellSummary(`turmoil: ${line}`);
    isToKeep = course.faults.length > 0;
    expect(course.faults, circumstances(course)).toEqual([]);
  });
});

/** A mirror of each kind, all of them of one state of the source. */
async function makeMirrors(home: string, source: string): Promise<Mirror[]> {
  const adopted = join(home, 'known');
  copyTree(source, adopted);
  const mirrors = [
    mirrorAt('snapshots', join(home, 'snapshots')),
    mirrorAt('in place', join(home, 'in place')),
    mirrorAt('adopted', `${adopted}.mirror`, adopted),
  ];
  const [snapshots, inPlace, other] = mirrors.map((mirror) => mirror.root());
  await runForJson(['init', String(other), '--adopt', adopted, '--source', source]);
  await runForJson(['init', String(inPlace), '--in-place', '--source', source]);
  for (const root of [snapshots, inPlace]) await runForJson(['sync', source, String(root)]);
  return mirrors;
}

/** Waits for all actors; if one of them throws, the others come to their end. */
async function togetherIn(course: Course, actors: readonly Promise<void>[]): Promise<void> {
  await Promise.all(
    actors.map((actor) =>
      actor.catch((error: unknown) => {
        course.fault('the test', error instanceof Error ? String(error.stack) : String(error));
      }),
    ),
  );
}

/**
 * Ends the run when its time is over and something has been done; on a slow machine that takes
 * longer. A fault ends it before.
 */
async function endInTime(course: Course, mirrors: readonly Mirror[]): Promise<void> {
  const end = performance.now() + DURATION_MS;
  const isEnough = () =>
    performance.now() > end &&
    course.counts('sync', '0') > 0 &&
    mirrors.every(({ name }) => course.counts(`read ${name}`, 'whole') > 0);
  while (!course.isOver() && !isEnough()) await pause(50);
  course.end();
}

/** What is needed to find the cause of a fault. */
function circumstances(course: Course): string {
  return [
    `seed ${givenSeed()}, all that was is kept in ${scratch.path}, and the journal ends with:`,
    course.lastLines(),
    ...course.table(),
  ].join('\n');
}
