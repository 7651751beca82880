import { readTextIfThere, writeWhole } from '../../system/files.ts';
import type { Layout } from '../layout.ts';
import { parseJson } from '../settings/records.ts';
import { identityIfThere } from '../trees/identity.ts';

/** What lies in the served directory, as `.mirrorlatch/served` says. */
interface Served {
  path: string;
  /**
   * The clones that the mirror put there, by `identityIfThere`, and the snapshots that they were made
   * of. All else belongs to somebody.
   */
  clones: Readonly<Record<string, string>>;
}

/** The clones that the mirror put at `path`. */
export function knownClones(layout: Layout, path: string): Served['clones'] {
  const record = readServed(layout);
  return record?.path === path ? record.clones : {};
}

/** The snapshot of which `now` is a clone, if the mirror put it at `path`. */
export function madeOf(layout: Layout, path: string, now: string): string | undefined {
  return knownClones(layout, path)[identityIfThere(now) ?? ''];
}

/** A record that is lost or broken knows nothing. */
export function readServed(layout: Layout): Served | undefined {
  const record = parseJson(readTextIfThere(layout.served)) as Partial<Served> | null | undefined;
  const isSound = typeof record?.path === 'string' && typeof record.clones === 'object';
  return isSound ? (record as Served) : undefined;
}

export function writeServed(layout: Layout, record: Served): void {
  writeWhole(layout.served, `${JSON.stringify(record)}\n`);
}
