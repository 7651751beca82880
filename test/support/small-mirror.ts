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

/** Content by path; `null` removes the entry. */
export type Files = Readonly<Record<string, string | Buffer | null>>;

/** A mirror of a few files and its source, for tests that do not depend on the tree. */
export interface SmallMirror {
  /** The directory that contains both. */
  readonly home: string;
  readonly source: string;
  readonly root: string;
  /** Writes files into the source with their directories, and removes others. */
  change(files: Files): void;
  /** Syncs the source and returns what `--json` printed; throws if the sync fails. */
  sync(...options: string[]): Promise<Record<string, unknown>>;
  /** Changes the source and publishes it as the snapshot `id`. */
  publish(id: string, files: Files, ...options: string[]): Promise<void>;
  /** The id that ROOT/`name` points to; undefined if there is no such link. */
  linked(name: 'current' | 'previous'): string | undefined;
  /** The ids of all snapshots. */
  snapshots(): string[];
  /** The lines of the history. */
  history(): Record<string, unknown>[];
  /** The contents of `mirror.json`. */
  settings(): Record<string, unknown>;
  /** A path below ROOT/.mirrorlatch. */
  state(...names: string[]): string;
}

/** Deviations from an ordinary small mirror. */
export interface SmallMirrorOptions {
  /** The directory for both. Default: a new scratch directory of the running test. */
  readonly home?: string;
  /** ROOT. Default: `mirror` in `home`. */
  readonly root?: string;
  /** How the program is started for `sync` and `publish`. */
  readonly program?: ProgramOptions;
}

/** Makes a source with two files; the first `sync` or `publish` makes the mirror. */
export function smallMirror(options: SmallMirrorOptions = {}): SmallMirror {
  const mirror = openSmallMirror({ ...options, home: options.home ?? scratchDirectory() });
  mirror.change({ file: 'content', 'below/file': 'content below' });
  return mirror;
}

/** Mirrors with these snapshots, in which `file` contains the snapshot's id: see `copiesOf`. */
export function mirrorsWith(...ids: readonly string[]): (home?: string) => Promise<SmallMirror> {
  return copiesOf(async (mirror) => {
    for (const id of ids) await mirror.publish(id, { file: id });
  });
}

/**
 * Makes a mirror once before the tests of a file, which then copy it: that is much faster than
 * running its syncs for each test.
 *
 * @returns a function that makes a copy, by default in a new scratch directory of the running test.
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
  const state = (...names: string[]): string => join(root, '.mirrorlatch', ...names);
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
    history: () =>
      readFileSync(state('history.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    settings: () => JSON.parse(readFileSync(state('mirror.json'), 'utf8')),
    state,
  };
}
