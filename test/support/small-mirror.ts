import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll } from 'vitest';
import { type ProgramOptions, runForJson } from './program.ts';
import { makeScratch, scratchDirectory } from './scratch.ts';

/** Content by path; `null` for what is to go. */
export type Files = Readonly<Record<string, string | Buffer | null>>;

/** A mirror of a few files and its source, for tests in which the tree itself does not matter. */
export interface SmallMirror {
  /** The directory that holds both. */
  readonly home: string;
  readonly source: string;
  readonly root: string;
  /** Writes files into the source, their directories included, and removes others. */
  change(files: Files): void;
  /** Runs a sync of the source that has to end well, and returns what `--json` printed. */
  sync(...options: string[]): Promise<Record<string, unknown>>;
  /** Changes the source and publishes it as the snapshot `id`. */
  publish(id: string, files: Files, ...options: string[]): Promise<void>;
  /** The id that ROOT/`name` leads to; undefined when there is no such link. */
  linked(name: 'current' | 'previous'): string | undefined;
  /** The ids of all snapshots. */
  snapshots(): string[];
  /** A path below ROOT/.mirrorlatch. */
  state(...names: string[]): string;
}

/** How a small mirror differs from an ordinary one. */
export interface SmallMirrorOptions {
  /** The directory that shall hold both; by default a new one of the running test. */
  readonly home?: string;
  /** Where the mirror lies; by default in `home`. */
  readonly root?: string;
  /** How the program is started for `sync` and `publish`. */
  readonly program?: ProgramOptions;
}

/** Makes the source, with two files in it; the mirror comes with the first `sync` or `publish`. */
export function smallMirror(options: SmallMirrorOptions = {}): SmallMirror {
  const mirror = openSmallMirror({ ...options, home: options.home ?? scratchDirectory() });
  mirror.change({ file: 'content', 'below/file': 'content below' });
  return mirror;
}

/**
 * Mirrors with these snapshots, in each of which `file` holds the snapshot's id: see `copiesOf`.
 */
export function mirrorsWith(...ids: readonly string[]): (home?: string) => Promise<SmallMirror> {
  return copiesOf(async (mirror) => {
    for (const id of ids) await mirror.publish(id, { file: id });
  });
}

/**
 * Copies of one mirror that is made before the tests of the file: that is much faster than its
 * syncs for each of them.
 *
 * @returns makes the next copy, by default in a new directory of the running test.
 */
export function copiesOf(
  make: (mirror: SmallMirror) => Promise<void>,
): (home?: string) => Promise<SmallMirror> {
  const scratch = makeScratch();
  const original = join(scratch.path, 'original');
  beforeAll(() => make(smallMirror({ home: original })));
  afterAll(() => scratch.remove());
  return async (home = scratchDirectory()) => {
    await execa('cp', ['-a', '--', `${original}/.`, home]);
    const mirror = openSmallMirror({ home });
    const settings = readFileSync(mirror.state('mirror.json'), 'utf8');
    writeFileSync(mirror.state('mirror.json'), settings.replaceAll(original, home));
    return mirror;
  };
}

function openSmallMirror(options: SmallMirrorOptions & { home: string }): SmallMirror {
  const { home } = options;
  const source = join(home, 'source');
  const root = options.root ?? join(home, 'mirror');
  const change = (files: Files): void => {
    for (const [path, content] of Object.entries(files)) {
      const file = join(source, path);
      rmSync(file, { recursive: true, force: true });
      if (content === null) continue;
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
  };
  const sync = (...words: string[]): Promise<Record<string, unknown>> =>
    runForJson(['sync', source, root, ...words], options.program);
  mkdirSync(source, { recursive: true });
  return {
    home,
    source,
    root,
    change,
    sync,
    publish: async (id, files, ...words) => {
      change(files);
      const { outcome } = await sync('--id', id, ...words);
      if (outcome !== 'published') throw new Error(`${id} was not published: ${outcome}`);
    },
    linked: (name) => {
      const link = join(root, name);
      return existsSync(link) ? readlinkSync(link).replace(/^snapshots\//, '') : undefined;
    },
    snapshots: () => {
      const directory = join(root, 'snapshots');
      return existsSync(directory) ? readdirSync(directory).sort() : [];
    },
    state: (...names) => join(root, '.mirrorlatch', ...names),
  };
}
