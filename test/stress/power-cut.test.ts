import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileWork } from '../support/file-work.ts';
import {
  type LoopFilesystem,
  makeImage,
  makeLoopFilesystem,
  mountImage,
  unmountImage,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { runProgram, transcript } from '../support/program.ts';
import { makeScratch, type Scratch } from '../support/scratch.ts';
import { describeTree, type Tree } from '../support/tree.ts';
import { leftBehind, linkedId, wrongForReaders, wrongHistory } from './mirror-checks.ts';
import { byScale, HOUR_MS, seededRandom, tellProgress, tellSummary, tellWrong } from './scale.ts';

const GIB = 1024 ** 3;

/** Copies of the disk taken in one test. */
const CUTS = byScale({ sample: 8, all: 150 });

/** How long the syncs run on between two cuts at most; ms. */
const LONGEST_PAUSE_MS = 1200;

/** What keeps the kernel from writing everything at once, and commits names before content. */
const kinds = [
  // The journal is committed each second, the content of files only half a minute later.
  { type: 'ext4', mount: ['commit=1'], copy: [] },
  // A copy has the same UUID as the original, which is mounted.
  { type: 'xfs', mount: [], copy: ['nouuid'] },
] as const;

/** The disk at one moment. */
interface Cut {
  readonly image: string;
  /** Number of the newest generation whose sync had ended before the cut. */
  readonly published: number;
  /** Number of the newest generation whose sync had begun when the cut was over. */
  readonly begun: number;
}

let scratch: Scratch;
let host: LoopFilesystem;

describe.skipIf(whyNoLoopFilesystem !== '')(
  `A power cut during syncs and publications${whyNoLoopFilesystem}`,
  () => {
    beforeEach(async () => {
      scratch = makeScratch();
      // Only a filesystem with reflinks copies a file at one true point in time.
      host = await makeLoopFilesystem('xfs', { size: 16 * GIB });
    });

    afterEach(async () => {
      await unmountImage(join(host.path, 'mounted'));
      await unmountImage(join(host.path, 'cut'));
      await host.remove();
      await scratch.remove();
    });

    it.each(kinds.map((kind) => [kind.type, kind] as const))(
      'leaves on %s whole published snapshots, and what the next sync recovers',
      { timeout: byScale({ sample: HOUR_MS / 6, all: HOUR_MS }) },
      async (type, { mount, copy }) => {
        const image = join(host.path, 'disk');
        const mounted = join(host.path, 'mounted');
        await makeImage(type, image);
        await mountImage(image, mounted, mount);
        const source = join(scratch.path, 'source');
        const { cuts, known } = await cutWhileSyncing(image, join(mounted, 'mirror'), source);
        await unmountImage(mounted);

        const wrong: string[] = [];
        for (const [index, cut] of cuts.entries()) {
          const where = join(host.path, 'cut');
          await mountImage(cut.image, where, copy);
          const found = await wrongAfter(cut, join(where, 'mirror'), source, known);
          await unmountImage(where);
          fileWork(host.path).remove(`cut-${index}`);
          const told = found.map((sentence) => `cut ${index}: ${sentence}`);
          tellWrong(told);
          wrong.push(...told);
          tellProgress(`cuts on ${type} examined`, index + 1, cuts.length);
        }
        tellSummary(`power cut: ${cuts.length} cuts on ${type}, ${wrong.length} wrong`);
        expect(wrong).toEqual([]);
      },
    );
  },
);

/** Syncs one generation after the other until all cuts are taken. */
async function cutWhileSyncing(
  image: string,
  root: string,
  source: string,
): Promise<{ cuts: readonly Cut[]; known: ReadonlyMap<string, Tree> }> {
  const known = new Map<string, Tree>();
  let published = 0;
  let begun = 0;
  const syncNext = async () => {
    writeGeneration(source, begun + 1);
    known.set(id(begun + 1), describeTree(source));
    begun += 1;
    const result = await runProgram(syncArguments(source, root, id(begun)));
    if (result.exitCode !== 0) throw new Error(transcript(result));
    published = begun;
  };
  await syncNext();

  const cuts: Cut[] = [];
  const random = seededRandom();
  const cutAll = async () => {
    while (cuts.length < CUTS) {
      await pause(random() * LONGEST_PAUSE_MS);
      const copy = join(image, '..', `cut-${cuts.length}`);
      const publishedBefore = published;
      execFileSync('cp', ['--reflink=always', '--', image, copy]);
      cuts.push({ image: copy, published: publishedBefore, begun });
      tellProgress('cuts', cuts.length, CUTS);
    }
  };
  let isCutting = true;
  const allCut = cutAll().finally(() => {
    isCutting = false;
  });
  while (isCutting) await syncNext();
  await allCut;
  return { cuts, known };
}

/** What a reader and the next sync find on the disk after the cut. */
async function wrongAfter(
  { published, begun }: Cut,
  root: string,
  source: string,
  known: ReadonlyMap<string, Tree>,
): Promise<string[]> {
  const current = linkedId(root, 'current');
  const allowed = Array.from({ length: begun - published + 1 }, (_, index) =>
    id(published + index),
  );
  const cutState = [
    ...(allowed.includes(current ?? '')
      ? []
      : [`durability: current names ${current}, not one of ${allowed.join(', ')}`]),
    ...wrongForReaders(root, known),
  ];
  const last = describeTree(source);
  const known2 = new Map([...known, ['recovered', last] as const]);
  const recovery = await runProgram(syncArguments(source, root, 'recovered'));
  const again = await runProgram([...syncArguments(source, root, 'once-more'), '--json']);
  return [
    ...cutState,
    ...(recovery.exitCode === 0 ? [] : [`I9: ${transcript(recovery)}`]),
    ...(again.exitCode === 0 && again.json()['outcome'] === 'unchanged'
      ? []
      : [`I9: a second recovery is not idle: ${transcript(again)}`]),
    ...wrongForReaders(root, known2),
    ...leftBehind(root),
    ...wrongHistory(root),
  ];
}

/** Prunes early, so that cuts fall into prunes as well. */
function syncArguments(source: string, root: string, snapshot: string): readonly string[] {
  return ['sync', source, root, '--id', snapshot, '--keep-last', '3', '--grace', '0s'];
}

function id(generation: number): string {
  return `generation-${generation}`;
}

/** Makes or changes the source: a third of the files, one of them large, and some names. */
function writeGeneration(source: string, generation: number): void {
  const work = fileWork(source);
  if (generation === 1) {
    mkdirSync(source, { mode: 0o755 });
    work.directory('files');
  }
  for (let file = 0; file < 30; file += 1) {
    if (generation > 1 && (file + generation) % 3 !== 0) continue;
    const size = file === 0 ? 2_000_000 : 500 * (file + 1);
    work.write(`files/${file}`, Buffer.alloc(size, `generation ${generation} of file ${file}, `));
  }
  work.write(`only in generation ${generation}`, String(generation));
  if (generation > 1) work.remove(`only in generation ${generation - 1}`);
}
