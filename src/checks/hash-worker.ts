/** A thread of `HashThreads`: it hashes files, a batch at a time. */
import { spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { basename } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { errnoOf } from '../errors.ts';
import { hashFile, PIECE } from './hash-file.ts';
import type { Hashed, HashReport, HashRequest, Reading } from './hash-threads.ts';

const buffer = new Uint8Array(PIECE);

if ((workerData as Pick<Reading, 'isIdle'>).isIdle) giveWay();

/** Takes the lowest priorities, of this thread alone: sched(7), ioprio_set(2). A host without ionice(1) goes without. */
function giveWay(): void {
  setPriority(constants.priority.PRIORITY_LOW);
  const thread = basename(readlinkSync('/proc/thread-self'));
  spawnSync('ionice', ['--class', '3', '--ignore', '--pid', thread]);
}

parentPort?.on('message', (requests: readonly HashRequest[]) => {
  let bytes = 0;
  const report = (what: HashReport) => parentPort?.postMessage(what);
  const onBytes = (more: number) => {
    bytes += more;
    if (bytes < REPORT_BYTES) return;
    report({ bytes, hashed: undefined });
    bytes = 0;
  };
  const hashed = requests.map(({ path, algorithms }): Hashed => {
    try {
      return { sums: hashFile(path, algorithms, buffer, onBytes) };
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      return { errno };
    }
  });
  report({ bytes, hashed });
});

/** Somebody looks at the progress of a file of many GB. */
const REPORT_BYTES = 64 * 1024 ** 2;
