import { closeSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { makeOwnDirectory, openOwnFile } from '../../system/own-files.ts';
import type { Layout } from '../layout.ts';
import { isLackOfSpace } from '../reserve.ts';
import { snapshotIds } from '../survey.ts';

/** How many logs without a snapshot are kept, so that failures can be looked into. */
export const KEPT_LOGS = 20;

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

/** A log that is there. */
export interface LogFile {
  id: string;
  path: string;
  bytes: number;
  /** ns since the epoch. */
  writtenNs: bigint;
}

const ENDING = '.log';

/** The logs that are there, those that were written longest ago first. */
export function logFiles(layout: Layout): LogFile[] {
  return (ifThere(() => readdirSync(layout.logs)) ?? [])
    .filter((name) => name.endsWith(ENDING))
    .flatMap((name) => {
      const path = join(layout.logs, name);
      const found = lstatIfThere(path);
      if (!found?.isFile()) return [];
      const id = name.slice(0, -ENDING.length);
      return [{ id, path, bytes: Number(found.size), writtenNs: found.mtimeNs }];
    })
    .sort((a, b) => (a.writtenNs < b.writtenNs ? -1 : 1));
}

/** Removes the logs that were written longest ago, of those whose snapshots are not there. */
export function removeOldLogs(layout: Layout): void {
  const published = new Set(snapshotIds(layout));
  const others = logFiles(layout).filter(({ id }) => !published.has(id));
  for (const { path } of others.slice(0, -KEPT_LOGS)) rmSync(path, { force: true });
}
