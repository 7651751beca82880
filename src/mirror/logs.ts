import { closeSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { makeOwnDirectory, openOwnFile } from '../system/own-files.ts';
import type { Layout } from './layout.ts';
import { isLackOfSpace } from './reserve.ts';
import { snapshotIds } from './survey.ts';

/** How many logs without a snapshot are kept, so that failures can be looked into. */
const KEPT_LOGS = 20;

/** `logs/ID.log`: the output of the rsync that made a snapshot. */
export interface SyncLog {
  readonly path: string;
  write(bytes: Buffer): void;
  close(): void;
  remove(): void;
}

export function openLog(layout: Layout, id: string): SyncLog {
  makeOwnDirectory(layout.logs, 0o755);
  const path = layout.log(id);
  // Only for the owner: the log names files in directories that others may not enter.
  const descriptor = openOwnFile(path, 0o600);
  return {
    path,
    write: (bytes) => {
      try {
        writeFileSync(descriptor, bytes);
      } catch (error) {
        // What fills the disk has to say so itself: a log alone is no reason to end the sync.
        if (!isLackOfSpace(error)) throw error;
      }
    },
    close: () => closeSync(descriptor),
    remove: () => rmSync(path, { force: true }),
  };
}

/** Removes the logs that were written longest ago, of those whose snapshots are not there. */
export function removeOldLogs(layout: Layout): void {
  const published = new Set(snapshotIds(layout).map((id) => layout.log(id)));
  const others = (ifThere(() => readdirSync(layout.logs)) ?? [])
    .map((name) => join(layout.logs, name))
    .filter((path) => path.endsWith('.log') && !published.has(path))
    .map((path) => ({ path, found: lstatIfThere(path) }))
    .filter(({ found }) => found?.isFile())
    .sort((a, b) => ((a.found?.mtimeNs ?? 0n) < (b.found?.mtimeNs ?? 0n) ? -1 : 1));
  for (const { path } of others.slice(0, -KEPT_LOGS)) rmSync(path, { force: true });
}
