import { byScale } from './scale.ts';
import type { Action, Point } from './tripwire.ts';

/** A run to kill. */
export interface Kill {
  readonly point: Point;
  readonly action: Action;
}

/** The number of runs of a scenario that the sample kills. */
const SAMPLE = 26;

/**
 * Chooses the runs to kill: every point with every action, or in the sample the points around the
 * publishing moves and one of each other kind (same caller, call and place in the mirror), spread
 * evenly if there are too many kinds. In the sample the actions take turns for each caller.
 */
export function killPlan(
  points: readonly Point[],
  actions: readonly Action[],
  sample: number = SAMPLE,
): readonly Kill[] {
  return byScale({
    all: actions.flatMap((action) => points.map((point) => ({ point, action }))),
    sample: takeTurns(sampleOf(points, sample), actions),
  });
}

/**
 * True for the two renames that move a tree out of staging and make it current, and for those that
 * write the state of a gate.
 */
export function isPublishingMove({ call, path }: Point): boolean {
  return /^rename/.test(call) && / -> .*\/(snapshots\/[^/]+|current|gate\.json)$/.test(path);
}

function sampleOf(points: readonly Point[], count: number): readonly Point[] {
  const chosen = new Set(
    points.filter((_, at) => [at, at - 1].some((near) => isMove(points[near]))),
  );
  const others = oneOfEachKind(points).filter((point) => !chosen.has(point));
  for (const point of evenly(others, Math.max(2, count - chosen.size))) chosen.add(point);
  return points.filter((point) => chosen.has(point));
}

/** Begins with the last action for children, which orphans them. */
function takeTurns(points: readonly Point[], actions: readonly Action[]): readonly Kill[] {
  const turns = new Map<string, number>();
  return points.map((point) => {
    const turn = turns.get(point.chain) ?? (point.chain.includes('/') ? actions.length - 1 : 0);
    turns.set(point.chain, turn + 1);
    return { point, action: actions[turn % actions.length] ?? 'kill-tree' };
  });
}

function isMove(point: Point | undefined): boolean {
  return point !== undefined && isPublishingMove(point);
}

/** The middle point of each kind, in the order of the run. */
function oneOfEachKind(points: readonly Point[]): readonly Point[] {
  const kinds = new Map<string, Point[]>();
  for (const point of points) {
    const kind = [point.chain, point.call, place(point.path)].join(' ');
    kinds.set(kind, [...(kinds.get(kind) ?? []), point]);
  }
  const chosen = new Set([...kinds.values()].map((group) => group[Math.floor(group.length / 2)]));
  return points.filter((point) => chosen.has(point));
}

/** `count` of `all`, spread evenly, including the first and the last. */
function evenly<T>(all: readonly T[], count: number): readonly T[] {
  if (all.length <= count) return all;
  const step = (all.length - 1) / (count - 1);
  return all.filter((_, index) => Math.round(Math.round(index / step) * step) === index);
}

/** The part of the mirror that contains a path, or the target of a rename. */
function place(path: string): string {
  const target = path.split(' -> ').at(-1) ?? path;
  return /\/(\.mirrorlatch\/[^/]+|snapshots|gate|current|previous)/.exec(target)?.[1] ?? '';
}
