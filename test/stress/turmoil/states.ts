import { createHash } from 'node:crypto';
import { describeTree, difference, type Tree } from '../../support/tree.ts';

/**
 * What a sync may leave out by an option of its own, or what is mounted over: it belongs to no state,
 * but has content of the source wherever it is.
 */
const EXTRAS = ['extra', 'large', 'turning'];

/** Whether a path belongs to the extras of the source. */
export function isExtra(path: string): boolean {
  return EXTRAS.includes(path.split('/')[0] ?? '');
}

/** The file that names the generation of a tree and all files of its pool. */
export const INDEX = 'zz/index';

/** All that a published tree may be: the states of the sources, each with all attributes. */
export interface States {
  /** Adds what a source holds at this moment. */
  record(source: string): void;
  /** What distinguishes a tree from the state that is nearest to it; undefined if it is a state. */
  wrongIn(tree: string): string | undefined;
  /** The extras in a tree that no source ever held; undefined if there are none. */
  wrongExtrasIn(tree: string): string | undefined;
}

/** Begins with no state. */
export function knownStates(): States {
  const known = new Map<string, Tree>();
  const extras = new Set<string>();
  const extraKeys = (tree: Tree) =>
    [...tree].filter(([path]) => isExtra(path)).map((entry) => JSON.stringify(entry));
  return {
    record: (source) => {
      const state = describeTree(source, { leaveOut: isExtra });
      known.set(keyOf(state), state);
      for (const extra of extraKeys(describeTree(source))) extras.add(extra);
    },
    wrongIn: (path) => {
      const tree = describeTree(path, { leaveOut: isExtra });
      return known.has(keyOf(tree)) ? undefined : nearestDifference(tree, known.values());
    },
    wrongExtrasIn: (path) => {
      const foreign = extraKeys(describeTree(path)).filter((extra) => !extras.has(extra));
      return foreign.length === 0
        ? undefined
        : `holds what no source ever held: ${foreign.join(', ')}`;
    },
  };
}

function keyOf(tree: Tree): string {
  const entries = [...tree].sort(([one], [other]) => (one < other ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(entries)).digest('hex');
}

function nearestDifference(tree: Tree, states: Iterable<Tree>): string {
  const index = tree.get(INDEX)?.['sha256'];
  const all = [...states];
  const ofGeneration = all.filter((state) => state.get(INDEX)?.['sha256'] === index);
  return (ofGeneration.length === 0 ? all : ofGeneration)
    .map((state) => difference(state, tree))
    .reduce((nearest, sentences) => (sentences.length < nearest.length ? sentences : nearest))
    .join(', ');
}
