import { closeSync, mkdirSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { ifThere } from '../system/files.ts';
import type { Layout } from './layout.ts';
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
  mkdirSync(layout.logs, { recursive: true });
  const path = layout.log(id);
  // Only for the owner: the log names files in directories that others may not enter.
  const descriptor = openSync(path, 'a', 0o600);
  return {
    path,
    write: (bytes) => writeFileSync(descriptor, bytes),
    close: () => closeSync(descriptor),
    remove: () => rmSync(path, { force: true }),
  };
}

/** Removes the oldest logs whose snapshots are gone or were never published. */
export function removeOldLogs(layout: Layout): void {
  const published = new Set(snapshotIds(layout));
  const others = (ifThere(() => readdirSync(layout.logs)) ?? [])
    .map((name) => name.replace(/\.log$/, ''))
    .filter((id) => !published.has(id))
    .sort();
  for (const id of others.slice(0, -KEPT_LOGS)) rmSync(layout.log(id), { force: true });
}
