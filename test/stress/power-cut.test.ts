import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileWork } from '../support/file-work.ts';
import {
  type FilesystemType,
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
import { isPublishingMove } from './kill-plan.ts';
import { leftBehind, linkedId, wrongForReaders, wrongHistory } from './mirror-checks.ts';
import {
  byScale,
  HOUR_MS,
  scale,
  seededRandom,
  tellProgress,
  tellSummary,
  tellWrong,
} from './scale.ts';
import { makeTripwire } from './tripwire.ts';

const GIB = 1024 ** 3;

/** The number of copies of the disk in one test. */
const CUTS = byScale({ sample: 6, all: 150 });

/** Longer than the commit interval of ext4 here, in ms. */
const JOURNAL_MS = 1500;

const limit = { timeout: byScale({ sample: HOUR_MS / 6, all: HOUR_MS }) };

/** The longest time between two cuts, in ms. */
const LONGEST_PAUSE_MS = 1200;

/** Filesystems with mount options that make the kernel commit names long before content. */
const kinds = [
  // The journal is committed every second, the content of files only half a minute later.
  { type: 'ext4', mount: ['commit=1'], copy: [] },
  // A copy has the same UUID as the mounted original.
  { type: 'xfs', mount: [], copy: ['nouuid'] },
] as const;

/** A copy of the disk at one moment. */
interface Cut {
  readonly image: string;
  /** The newest generation whose sync had ended before the cut. */
  readonly published: number;
  /** The newest generation whose sync had begun when the cut was complete. */
  readonly begun: number;
}

let scratch: Scratch;
let host: LoopFilesystem;

describe.skipIf(whyNoLoopFilesystem !== '')(
  `A power cut during syncs and publications${whyNoLoopFilesystem}`,
  () => {
    beforeEach(async () => {
      scratch = makeScratch();
      // Only a reflink copies a file as it is at a single point in time.
      host = await makeLoopFilesystem('xfs', { size: 16 * GIB });
    });

    afterEach(async () => {
      await unmountImage(join(host.path, 'mounted'));
      await unmountImage(join(host.path, 'cut'));
      await host.remove();
      await scratch.remove();
    });

    describe.each(kinds.map((kind) => [kind.type, kind] as const))('on %s', (type, kind) => {
      it(
        'at any moment leaves whole snapshots, and a state that the next sync recovers',
        limit,
        async () => {
          const camera = await mountCamera(type, kind.mount);
          await cutAtRandomMoments(camera);
          expect(await wrongAfterCuts(camera, kind.copy)).toEqual([]);
        },
      );

      it(
        `leaves them at ${scale === 'all' ? 'each call' : 'the moves'} of a publication, however late the cut`,
        limit,
        async () => {
          const camera = await mountCamera(type, kind.mount);
          await cutAtPublication(camera);
          expect(await wrongAfterCuts(camera, kind.copy)).toEqual([]);
        },
      );
    });
  },
);

/** A mirror on its own disk, and copies of that disk. */
class Camera {
  readonly type: FilesystemType;
  readonly image: string;
  readonly root: string;
  readonly source = join(scratch.path, 'source');
  /** The tree that each snapshot must equal, by id. */
  readonly known = new Map<string, Tree>();
  readonly cuts: Cut[] = [];
  #published = 0;
  #begun = 0;

  constructor(type: FilesystemType, image: string, root: string) {
    this.type = type;
    this.image = image;
    this.root = root;
  }

  /** Publishes another generation with `sync`, which is given the arguments of the program. */
  async publish<T>(sync: (args: readonly string[]) => Promise<T>): Promise<T> {
    this.#begun += 1;
    writeGeneration(this.source, this.#begun);
    this.known.set(id(this.#begun), describeTree(this.source));
    const result = await sync(syncArguments(this.source, this.root, id(this.#begun)));
    this.#published = this.#begun;
    return result;
  }

  /** Copies the disk as it is now. */
  cut(): void {
    const copy = join(host.path, `cut-${this.cuts.length}`);
    const published = this.#published;
    execFileSync('cp', ['--reflink=always', '--', this.image, copy]);
    this.cuts.push({ image: copy, published, begun: this.#begun });
    tellProgress(`cuts on ${this.type}`, this.cuts.length);
  }
}

async function mountCamera(type: FilesystemType, options: readonly string[]): Promise<Camera> {
  const image = join(host.path, 'disk');
  const mounted = join(host.path, 'mounted');
  await makeImage(type, image);
  await mountImage(image, mounted, options);
  return new Camera(type, image, join(mounted, 'mirror'));
}

/** Publishes generations until all cuts are made. */
async function cutAtRandomMoments(camera: Camera): Promise<void> {
  await camera.publish(succeed);
  const random = seededRandom();
  let isCutting = true;
  const cutAll = async () => {
    while (camera.cuts.length < CUTS) {
      await pause(random() * LONGEST_PAUSE_MS);
      camera.cut();
    }
  };
  const allCut = cutAll().finally(() => {
    isCutting = false;
  });
  while (isCutting) await camera.publish(succeed);
  await allCut;
}

/**
 * Publishes one generation for each call in the last part of a sync, and stops before that call
 * until the journal is committed. Names for which no fsync asked are then as far ahead of the
 * content as they can be.
 */
async function cutAtPublication(camera: Camera): Promise<void> {
  const tripwire = makeTripwire(scratch.path);
  await camera.publish(succeed);
  const points = await camera.publish((args) => tripwire.points(args));
  const firstMove = points.findIndex(isPublishingMove);
  if (firstMove < 1) throw new Error('no rename brings a tree out of staging');
  const calls = points.slice(firstMove - 1);
  for (const at of byScale({ all: calls, sample: calls.filter(isPublishingMove) })) {
    await camera.publish(async (args) => {
      const run = tripwire.start(args, { at, action: 'stop-tree' });
      await run.reached;
      await pause(JOURNAL_MS);
      camera.cut();
      run.release();
      const { exitCode, stderr } = await run.result;
      if (exitCode !== 0) throw new Error(`${args.join(' ')} ended with ${exitCode}: ${stderr}`);
    });
  }
}

async function succeed(args: readonly string[]): Promise<void> {
  const result = await runProgram(args);
  if (result.exitCode !== 0) throw new Error(transcript(result));
}

/**
 * Mounts each copy, which replays its journal, and returns what is wrong on it. To the program the
 * other device number is as good as another boot.
 */
async function wrongAfterCuts(
  { type, cuts, known, source }: Camera,
  options: readonly string[],
): Promise<string[]> {
  const wrong: string[] = [];
  for (const [index, cut] of cuts.entries()) {
    const where = join(host.path, 'cut');
    await mountImage(cut.image, where, options);
    const found = await wrongAfter(cut, join(where, 'mirror'), source, known);
    await unmountImage(where);
    fileWork(host.path).remove(`cut-${index}`);
    const told = found.map((sentence) => `cut ${index} on ${type}: ${sentence}`);
    tellWrong(told);
    wrong.push(...told);
    tellProgress(`cuts on ${type} examined`, index + 1, cuts.length);
  }
  tellSummary(`power cut: ${cuts.length} cuts on ${type}, ${wrong.length} wrong`);
  return wrong;
}

/** What is wrong for a reader and the next sync after the cut. */
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
  const knownThen = new Map([...known, ['recovered', describeTree(source)] as const]);
  const recovery = await runProgram(syncArguments(source, root, 'recovered'));
  const again = await runProgram([...syncArguments(source, root, 'once-more'), '--json']);
  return [
    ...cutState,
    ...(recovery.exitCode === 0 ? [] : [`I9: ${transcript(recovery)}`]),
    ...(again.exitCode === 0 && again.json()['outcome'] === 'unchanged'
      ? []
      : [`I9: a second recovery is not idle: ${transcript(again)}`]),
    ...wrongForReaders(root, knownThen),
    ...leftBehind(root),
    ...wrongHistory(root),
  ];
}

/** The sync prunes early, so that some cuts come during a prune. */
function syncArguments(source: string, root: string, snapshot: string): readonly string[] {
  return ['sync', source, root, '--id', snapshot, '--keep-last', '3', '--grace', '0s'];
}

function id(generation: number): string {
  return `generation-${generation}`;
}

/** Makes the source, or changes a third of its files, one of them large, and some names. */
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
