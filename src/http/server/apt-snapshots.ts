/**
 * apt 2.7 and newer asks for a mirror as it was at a time, by an id that is the time (`apt -S ID`; sources.list(5), Snapshot).
 * There need not be a snapshot of just that second.
 */

/** apt's form, and the day alone, which snapshot.debian.org takes as well: it means the day's beginning. */
const TIME = /^(\d{8})(?:T(\d{6})Z)?$/;

/** The form of a `timestampId`. The number tells those apart that began in the same second. */
const TIMED = /^(\d{8}T\d{6}Z)(?:-(\d+))?$/;

/** Where apt looks for the snapshots of a server that has several archives, see `aptConfig`. */
export const APT_PREFIX = '/-/apt/';

/** Where a mirror is. */
export interface MirrorAt {
  /** The path of the mirror: `/debian/`. */
  readonly prefix: string;
  /** The path of what is current: `/debian/current/`. */
  readonly content: string;
}

/**
 * The snapshot of this id, or else the last one that began before the time that the id is. A snapshot that a user
 * has named stands for no time: it is found by its name alone. Pure.
 *
 * @returns undefined if there is none so old, or `wanted` is no time.
 */
export function nearestSnapshot(ids: readonly string[], wanted: string): string | undefined {
  if (ids.includes(wanted)) return wanted;
  const [, day, time = '000000'] = TIME.exec(wanted) ?? [];
  if (day === undefined) return undefined;
  return timedIn(ids)
    .filter(({ began }) => began <= `${day}T${time}Z`)
    .reduce<Timed | undefined>((last, one) => (isLater(one, last) ? one : last), undefined)?.id;
}

/**
 * Says that there is no snapshot of this id, and where the first is that a time leads to. Pure.
 *
 * @param place of all of them.
 */
export function noSnapshotNear(ids: readonly string[], wanted: string, place: string): string {
  const [first, ...others] = timedIn(ids);
  if (first === undefined || !TIME.test(wanted)) {
    return `There is no snapshot ${JSON.stringify(wanted)}. See ${place}`;
  }
  const oldest = others.reduce((last, one) => (isLater(last, one) ? one : last), first);
  return `No snapshot that began by ${wanted} is there. The oldest is ${oldest.id}: see ${place}`;
}

/**
 * Where a request below `APT_PREFIX` is to be redirected: `/-/apt/debian/current/20261127T010203Z/dists/…` leads to
 * `/debian/snapshots/20261127T010203Z/dists/…`, and that to the nearest. Of an archive in a directory of the mirror, that
 * directory comes before the id: `/-/apt/linux/current/debian/20261127T010203Z/dists/…`. Pure.
 *
 * @param path the path of the request, as it was written.
 * @returns undefined if it is that of no mirror.
 */
export function aptLocation(path: string, mirrors: readonly MirrorAt[]): string | undefined {
  for (const { prefix, content } of mirrors) {
    const live = `${APT_PREFIX}${content.slice(1)}`;
    if (!path.startsWith(live) || path === live) continue;
    const segments = path.slice(live.length).split('/');
    // The name that a user has given to a snapshot is taken for one at the top.
    const at = Math.max(0, segments.findIndex(isTime));
    const [place, id = '', rest] = [segments.slice(0, at), segments[at], segments.slice(at + 1)];
    return `${prefix}snapshots/${[id, ...place, ...rest].join('/')}`;
  }
  return undefined;
}

function isTime(segment: string): boolean {
  return TIME.test(segment) || TIMED.test(segment);
}

interface Timed {
  readonly id: string;
  readonly began: string;
  readonly number: number;
}

function timedIn(ids: readonly string[]): Timed[] {
  return ids.flatMap((id) => timed(id) ?? []);
}

function timed(id: string): Timed | undefined {
  const [, began, number = '1'] = TIMED.exec(id) ?? [];
  return began === undefined ? undefined : { id, began, number: Number(number) };
}

function isLater(one: Timed, other: Timed | undefined): boolean {
  if (other === undefined || one.began !== other.began) return one.began > (other?.began ?? '');
  return one.number > other.number;
}
