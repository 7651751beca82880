import { readdirSync } from 'node:fs';
import { MirrorlatchError } from '../../errors.ts';
import { ifThere, lstatIfThere, readlinkIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import { type Layout, snapshotLink } from '../layout.ts';
import { isInPlace } from '../locks/gate.ts';
import { isChannelName } from '../settings/policy.ts';
import { isSnapshotId } from '../snapshot-id.ts';

/**
 * A channel is a symlink in ROOT to a snapshot, beside `current`: what one class of machines reads. Only
 * `promote`, a rollback of the channel, and its rule move it.
 *
 * The link is all there is: whatever in ROOT has the name of a channel and leads to `snapshots/ID` is one, also if
 * the history of its moves is lost.
 */
export interface Channel {
  readonly name: string;
  /** The snapshot that it names. */
  readonly id: string;
  /** Whether that is there. */
  readonly isWhole: boolean;
}

/** The channels of a mirror, by their names. One in place has none. */
export function channelsOf(layout: Layout): Channel[] {
  if (isInPlace(layout)) return [];
  const names = ifThere(() => readdirSync(layout.root)) ?? [];
  return names
    .filter(isChannelName)
    .sort()
    .flatMap((name) => channelAt(layout, name) ?? []);
}

/** What lies at the name of a channel, if it is one. */
export function channelAt(layout: Layout, name: string): Channel | undefined {
  const id = /^snapshots\/([^/]+)$/.exec(readlinkIfThere(layout.channel(name)) ?? '')?.[1] ?? '';
  if (!isSnapshotId(id)) return undefined;
  return { name, id, isWhole: lstatIfThere(layout.snapshot(id))?.isDirectory() === true };
}

/**
 * The snapshot that a channel names.
 *
 * @throws MirrorlatchError NO_MIRROR when there is no such channel, CONFIGURATION when its snapshot is gone.
 */
export function channelId(layout: Layout, name: string): string {
  for (;;) {
    const channel = channelAt(layout, name);
    if (channel === undefined) throw noChannel(layout, name);
    if (channel.isWhole) return channel.id;
    // It may have been moved since the link was read, and the old snapshot pruned.
    if (readlinkIfThere(layout.channel(name)) !== snapshotLink(channel.id)) continue;
    throw new MirrorlatchError(
      'CONFIGURATION',
      `${layout.channel(name)} leads to the snapshot ${channel.id}, which is gone`,
      { hint: wayToMove(layout, name) },
    );
  }
}

/** The names of the channels of which each names a snapshot, by its id. */
export function channelsById(layout: Layout): ReadonlyMap<string, readonly string[]> {
  const byId = new Map<string, string[]>();
  for (const { name, id } of channelsOf(layout)) byId.set(id, [...(byId.get(id) ?? []), name]);
  return byId;
}

/** The error for a channel that a mirror does not have; it names those that there are. */
export function noChannel(layout: Layout, name: string): MirrorlatchError<'NO_MIRROR'> {
  const names = channelsOf(layout).map((channel) => channel.name);
  const others =
    names.length === 0
      ? `It has none yet; make one with: mirrorlatch promote ${quoteForSh(layout.root)} --to CHANNEL`
      : `It has ${names.join(', ')}.`;
  return new MirrorlatchError(
    'NO_MIRROR',
    `${layout.root} has no channel ${JSON.stringify(name)}`,
    { hint: others },
  );
}

/** What to do about a channel whose snapshot is gone. */
export function wayToMove({ root }: Layout, name: string): string {
  const at = quoteForSh(root);
  return `Move it to what is current with: mirrorlatch promote ${at} --to ${name}; or to another snapshot, from: mirrorlatch list ${at}`;
}
