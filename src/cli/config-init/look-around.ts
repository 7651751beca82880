import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { layoutOf } from '../../mirror/layout.ts';
import { findMirror } from '../../mirror/open.ts';
import { crontabs } from '../../operations/doctor/cron.ts';
import { ifAllowed, ifThere, lstatIfThere, readTextIfThere } from '../../system/files.ts';
import { archivesIn } from './apt-sources.ts';
import type { Found } from './proposal.ts';
import { rsyncCallsIn } from './rsync-calls.ts';

/** Where mirrors usually are. */
export const USUAL_PLACES = ['/srv', '/var/www', '/var/lib', '/mnt', '/media', '/data'];

/** How far below a place a mirror is looked for. */
const DEPTH = 3;

const APT_SOURCES = ['/etc/apt/sources.list', '/etc/apt/sources.list.d'];

/** The mirrors below these directories, what crontabs fill by rsync, and what apt reads. Changes nothing. */
export function lookAround(places: readonly string[]): Found[] {
  const mirrors = places.flatMap((place) => mirrorsBelow(place, DEPTH));
  const calls = crontabs().flatMap(({ file, text }) =>
    rsyncCallsIn(text).map((call): Found => ({ kind: 'rsync', call, file })),
  );
  const archives = archivesIn(APT_SOURCES.flatMap(textsAt).join('\n\n'));
  return [...mirrors, ...calls, ...archives.map((archive): Found => ({ kind: 'apt', archive }))];
}

function mirrorsBelow(directory: string, depth: number): Found[] {
  const layout = layoutOf(directory);
  if (ifAllowed(() => lstatIfThere(layout.settings)) !== undefined) {
    const settings = findMirror(directory)?.settings;
    return settings === undefined
      ? []
      : [{ kind: 'mirror', root: directory, settings, path: layout.settings }];
  }
  if (depth === 0) return [];
  const entries =
    ifAllowed(() => ifThere(() => readdirSync(directory, { withFileTypes: true }))) ?? [];
  return entries
    .filter((entry) => entry.isDirectory())
    .sort((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap(({ name }) => mirrorsBelow(join(directory, name), depth - 1));
}

function textsAt(place: string): string[] {
  if (lstatIfThere(place)?.isDirectory() !== true) return [readTextIfThere(place) ?? ''];
  const names = ifAllowed(() => readdirSync(place)) ?? [];
  return names
    .filter((name) => /\.(list|sources)$/.test(name))
    .sort()
    .map((name) => ifAllowed(() => readTextIfThere(join(place, name))) ?? '');
}
