import { byScale } from './scale.ts';
import type { Action, Point } from './tripwire.ts';

/** One run that is to be killed. */
export interface Kill {
  readonly point: Point;
  readonly action: Action;
}

/** How many runs of a scenario are killed in the sample. */
const SAMPLE = 24;

/**
 * Which runs to kill: each point with each action, or in the sample one point of each kind (the
 * same caller, call and place in the mirror), the actions taking turns; evenly chosen if there are
 * more kinds than the sample takes.
 */
export function killPlan(points: readonly Point[], actions: readonly Action[]): readonly Kill[] {
  return byScale({
    all: actions.flatMap((action) => points.map((point) => ({ point, action }))),
    sample: evenly(oneOfEachKind(points), SAMPLE).map((point, index) => ({
      point,
      action: actions[index % actions.length] ?? 'kill-tree',
    })),
  });
}

/** The middle one of each kind, in the order of the run. */
export function oneOfEachKind(points: readonly Point[]): readonly Point[] {
  const kinds = new Map<string, Point[]>();
  for (const point of points) {
    const kind = [point.chain, point.call, place(point.path)].join(' ');
    kinds.set(kind, [...(kinds.get(kind) ?? []), point]);
  }
  const chosen = new Set([...kinds.values()].map((group) => group[Math.floor(group.length / 2)]));
  return points.filter((point) => chosen.has(point));
}

/** `count` of `all`, the first and the last among them. */
export function evenly<T>(all: readonly T[], count: number): readonly T[] {
  if (all.length <= count) return all;
  const step = (all.length - 1) / (count - 1);
  return all.filter((_, index) => Math.round(Math.round(index / step) * step) === index);
}

/** Which part of the mirror a path, or the target of a rename, is in. */
function place(path: string): string {
  const target = path.split(' -> ').at(-1) ?? path;
  return /\/(\.mirrorlatch\/[^/]+|snapshots|current|previous)/.exec(target)?.[1] ?? '';
}
