import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { mountPointsWithin } from '../system/mounts.ts';
import { channelsOf } from './channels/channels.ts';
import { isForeign } from './current-file.ts';
import { readHistory } from './history/history.ts';
import { type Layout, ownNames } from './layout.ts';
import { earlierClones } from './served/earlier-clones.ts';
import { findLeftovers } from './staging.ts';
import { isOfPerson, snapshotIds } from './survey.ts';

/**
 * What would be lost with ROOT although the mirror could do without it: other things in ROOT, trees that a
 * person put into `snapshots`, trees that commands of `lock` left, what is mounted, and the clones that were
 * served before, which processes may use or have put something into. Call `forgetUnused` first.
 */
export function pathsNotOurs(layout: Layout): string[] {
  const channels = channelsOf(layout).map(({ name }) => name);
  const announced = ['current', ...channels];
  const ours = [
    ...ownNames(layout),
    ...channels,
    ...announced.map((name) => basename(layout.announcement(name))),
  ];
  const others = readdirSync(layout.root).filter((name) => !ours.includes(name));
  const isPersons = isOfPerson(layout, readHistory(layout));
  return [
    ...others.map((name) => join(layout.root, name)),
    ...announced.filter((name) => isForeign(layout, name)).map(layout.announcement),
    ...snapshotIds(layout).filter(isPersons).map(layout.snapshot),
    ...findLeftovers(layout).commands,
    ...mountPointsWithin(layout.root),
    ...earlierClones(layout).map(({ path }) => path),
  ];
}
