import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { collectEarly } from '../system/heap.ts';
import type { Checksum } from './claims.ts';

export interface HashRequest {
  path: Uint8Array;
  algorithms: readonly Checksum['algorithm'][];
}

/** What came of a file; `errno` where it cannot be read. */
export type Hashed = { sums: Checksum[] } | { errno: string };

/** What a thread says of its batch: how much more it has read, and at the end what came of each file. */
export interface HashReport {
  bytes: number;
  hashed: Hashed[] | undefined;
}

/** How files are read. */
export interface Reading {
  /** How many at a time. */
  jobs: number;
  /** Let all other programs have the processors and disks first. */
  isIdle: boolean;
}

/** So many threads: a disk has more than one reader in its queue, and more than a few only fight for it. */
export const MOST_THREADS = Math.min(4, Math.max(2, availableParallelism()));

/** Beside this file, or beside the bundle that it is in. */
const ENTRY = new URL(`./hash-worker${extname(import.meta.url)}`, import.meta.url);

/** The code of a thread in a bundle. It is read now: an upgrade may replace the program before it is needed. */
const CODE = ENTRY.pathname.endsWith('.cjs') ? readFileSync(ENTRY, 'utf8') : undefined;

/** Threads that hash files. Each is started when it is needed first, which takes 20 ms and 6 MB. */
export class HashThreads {
  readonly #idle: Worker[] = [];
  readonly #all: Worker[] = [];
  readonly #reading: Pick<Reading, 'isIdle'>;

  constructor(reading: Pick<Reading, 'isIdle'>) {
    this.#reading = reading;
  }

  /** Hashes some files in a thread of their own. @returns what came of each, in their order. */
  async hash(
    requests: readonly HashRequest[],
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
  ): Promise<Hashed[]> {
    signal.throwIfAborted();
    const worker = this.#idle.pop() ?? this.#start();
    const hashed = await ask(worker, requests, signal, onBytes);
    this.#idle.push(worker);
    return hashed;
  }

  /** Ends all threads, whatever they do. */
  async end(): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.terminate()));
  }

  #start(): Worker {
    const worker = new Worker(CODE ?? ENTRY, {
      eval: CODE !== undefined,
      workerData: this.#reading,
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    });
    worker.once('online', collectEarly);
    this.#all.push(worker);
    return worker;
  }
}

function ask(
  worker: Worker,
  requests: readonly HashRequest[],
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Hashed[]> {
  return new Promise((resolve, reject) => {
    const over = () => {
      signal.removeEventListener('abort', onAbort);
      worker.off('message', onMessage).off('error', onError);
    };
    const onAbort = () => {
      over();
      reject(signal.reason);
    };
    const onError = (error: unknown) => {
      over();
      reject(error);
    };
    const onMessage = ({ bytes, hashed }: HashReport) => {
      onBytes(bytes);
      if (hashed === undefined) return;
      over();
      resolve(hashed);
    };
    signal.addEventListener('abort', onAbort);
    worker.on('message', onMessage).on('error', onError);
    worker.postMessage(requests);
  });
}
