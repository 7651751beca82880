import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { currentJson, wrongCurrentJson } from '../support/current-json.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { describeTree, difference, type Tree } from '../support/tree.ts';

/** The tree that each snapshot must equal, by id. */
export type KnownTrees = ReadonlyMap<string, Tree>;

/** The id that the symlink ROOT/`name` points to; undefined if there is no such link. */
export function linkedId(root: string, name: 'current' | 'previous'): string | undefined {
  try {
    return readlinkSync(join(root, name)).replace(/^snapshots\//, '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The ids of all snapshots. */
function snapshotIds(root: string): string[] {
  const directory = join(root, 'snapshots');
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

/**
 * Checks what readers rely on at any instant: `current`, `previous` and `current.json` name snapshots, and every
 * snapshot is as it was published, in content and attributes (I2, I3).
 *
 * @param firstPublication nothing has been published before, so there may be no `current`.
 * @returns a sentence for each fault.
 */
export function wrongForReaders(
  root: string,
  known: KnownTrees,
  firstPublication = false,
): string[] {
  const ids = snapshotIds(root);
  const links = (['current', 'previous'] as const).flatMap((name) => {
    const id = linkedId(root, name);
    if (id === undefined) {
      return name === 'current' && !firstPublication ? ['I3: there is no current'] : [];
    }
    return ids.includes(id) ? [] : [`I3: ${name} names ${id}, which does not exist`];
  });
  const snapshots = ids.flatMap((id) => {
    const expected = known.get(id);
    if (expected === undefined) return [`I3: snapshots/${id} is not one that was published`];
    return difference(expected, describeTree(join(root, 'snapshots', id))).map(
      (sentence) => `I2, I3: in snapshots/${id} ${sentence}`,
    );
  });
  const named = currentJson(root)?.['id'];
  const isNamed = named === undefined || ids.includes(String(named));
  const json = isNamed ? [] : [`I3: current.json names ${named}, which does not exist`];
  return [...links, ...json, ...snapshots];
}

/** What another user can see of unpublished trees (I6); checks nothing unless run as root. */
export function visibleToOthers(root: string): string[] {
  if (!runsAsRoot) return [];
  return ['staging', 'trash']
    .map((name) => join(root, '.mirrorlatch', name))
    .filter((directory) => existsSync(directory) && readdirSync(directory).length > 0)
    .map((directory) => {
      // find(1) fails at the closed gate, as it should.
      const find = `find "$1" -mindepth 1 -print -quit 2>/dev/null || :`;
      return execFileSync(
        'setpriv',
        ['--reuid=65534', '--regid=65534', '--clear-groups', 'sh', '-c', find, 'sh', directory],
        { encoding: 'utf8' },
      ).trimEnd();
    })
    .filter((seen) => seen !== '')
    .map((seen) => `I6: another user sees ${seen}`);
}

/** What a successful command has left behind although it should not (I9), one sentence each. */
export function leftBehind(root: string, mode: 'snapshots' | 'in-place' = 'snapshots'): string[] {
  const [own, ownState] =
    mode === 'snapshots'
      ? [
          ['current.json', 'previous', 'snapshots'],
          ['changes', 'leases'],
        ]
      : [['gate'], ['gate.json', 'gate.flock']];
  const state = join(root, '.mirrorlatch');
  const inside = (...path: string[]) => {
    const directory = join(state, ...path);
    return existsSync(directory) ? readdirSync(directory) : [];
  };
  const unknown = (names: readonly string[], known: readonly string[], where: string) =>
    names.filter((name) => !known.includes(name)).map((name) => `I9: ${where}/${name} was left`);
  const gate = statSync(join(state, 'staging')).mode & 0o7777;
  return [
    ...unknown(readdirSync(root), ['.mirrorlatch', 'current', ...own], 'ROOT'),
    ...unknown(
      inside(),
      [
        'mirror.json',
        'history.jsonl',
        'logs',
        ...ownState,
        'reader',
        'reserve',
        'staging',
        'sums',
        'trash',
        'settings.flock',
        'sync.flock',
        'time-probe',
      ],
      '.mirrorlatch',
    ),
    ...unknown(inside('staging'), ['.spare', '.spare.mark'], 'staging'),
    ...wrongSpare(inside('staging')),
    ...unknown(inside('trash'), [], 'trash'),
    ...unknown(inside('leases'), snapshotIds(root), 'leases'),
    ...unknown(snapshotIds(root), inside('leases'), 'snapshots (without a lease)'),
    ...(mode === 'snapshots' ? wrongCurrentJson(root).map((text) => `I9: ${text}`) : []),
    ...(gate === 0o700 ? [] : [`I6: staging has mode ${gate.toString(8)}`]),
  ];
}

/** Whether one of a tree that is kept to be recycled and its mark is there without the other. */
function wrongSpare(inStaging: readonly string[]): string[] {
  const isWhole = inStaging.includes('.spare') === inStaging.includes('.spare.mark');
  return isWhole ? [] : ['I9: staging has .spare without .spare.mark, or the other way round'];
}

interface HistoryLine {
  readonly event: string;
  readonly id?: string;
  readonly previous?: string | null;
}

/** Skips lines that a power cut tore, as the program does. */
function readHistory(root: string): readonly HistoryLine[] {
  const text = readFileSync(join(root, '.mirrorlatch', 'history.jsonl'), 'utf8');
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as HistoryLine];
    } catch {
      return [];
    }
  });
}

function isFlip({ event }: HistoryLine): boolean {
  return event === 'published' || event === 'rolled-back';
}

/** Counts a flip that is recorded twice in a row once. */
export function withoutRepeats(entries: readonly HistoryLine[]): readonly HistoryLine[] {
  const lastFlip = (index: number) => entries.slice(0, index).findLast(isFlip)?.id;
  return entries.filter((entry, index) => !isFlip(entry) || lastFlip(index) !== entry.id);
}

/**
 * Where the history disagrees with what happened, one sentence each.
 *
 * @param prepare removes entries that are to be ignored.
 */
export function wrongHistory(
  root: string,
  prepare: (entries: readonly HistoryLine[]) => readonly HistoryLine[] = (entries) => entries,
): string[] {
  const entries = prepare(readHistory(root));
  const flips = entries.filter(isFlip);
  const published = entries.filter(({ event }) => event === 'published').map(({ id }) => id);
  const pruned = entries.filter(({ event }) => event === 'pruned').map(({ id }) => id);
  const last = flips.at(-1)?.id;
  return [
    ...flips.flatMap(({ id, previous }, index) => {
      const before = flips[index - 1]?.id ?? null;
      return previous === before ? [] : [`history: ${id} came after ${before}, not ${previous}`];
    }),
    ...published
      .filter((id, index) => published.indexOf(id) !== index)
      .map((id) => `history: ${id} was published twice`),
    ...(last === linkedId(root, 'current') ? [] : [`history: ends at ${last}, not at current`]),
    ...snapshotIds(root)
      .filter((id) => !published.includes(id))
      .map((id) => `history: the publication of ${id} is missing`),
    ...published
      .filter((id) => id !== undefined && !snapshotIds(root).includes(id) && !pruned.includes(id))
      .map((id) => `history: ${id} is gone, but was not recorded as pruned`),
  ];
}
