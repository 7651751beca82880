import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll } from 'vitest';
import { type ProgramOptions, type RunningProgram, startProgram, transcript } from './program.ts';
import type { Files, SmallMirror } from './small-mirror.ts';

/** KiB a second. */
const RATE = 100;

const held = new Set<() => void>();

// Leave none stopped when a test fails. Not at the end of each test: when several run at once,
// vitest does not know which one has ended.
afterAll(() => {
  for (const goOn of held) goOn();
});

/** Deviations from a sync of one file that takes about a minute if it is left alone. */
export interface SlowSyncOptions {
  readonly id?: string;
  /** The mirror is one in place. */
  readonly inPlace?: boolean;
  /** What changes beside the slow file. Names before `slow` are transferred before it. */
  readonly files?: Files;
  /** How long the slow file takes at least; seconds. */
  readonly seconds?: number;
  /** By default the mirror's own. */
  readonly source?: string;
  /** More words before `--`. */
  readonly words?: readonly string[];
  readonly program?: ProgramOptions;
}

/**
 * Starts a sync and gives it back when rsync is in the middle of a file. Its limit is given on this
 * command line only; a mirror that does not exist yet would remember it.
 */
export async function startSlowSync(
  mirror: SmallMirror,
  options: SlowSyncOptions = {},
): Promise<RunningProgram> {
  const { id = 'slow', files = {}, seconds = 60, source = mirror.source, words = [] } = options;
  const { inPlace = false } = options;
  const name = inPlace ? [] : ['--id', id];
  const tree = inPlace ? join(mirror.root, 'gate', 'live') : mirror.state('staging', id);
  mirror.change({ ...files, slow: randomBytes(seconds * RATE * 1024) });
  const sync = startProgram(
    ['sync', source, mirror.root, '--other-source', ...name, ...words, '--', `--bwlimit=${RATE}`],
    options.program,
  );
  let ended = false;
  void sync.result.then(() => {
    ended = true;
  });
  while (!isHalfWritten(tree)) {
    if (ended) throw new Error(`it was not slow: ${transcript(await sync.result)}`);
    await pause(20);
  }
  return sync;
}

/**
 * Stops the rsync processes of a mirror, so that a test can take its time while they are in the
 * middle of their work.
 *
 * @returns a function that continues them.
 */
export function holdRsync(root: string): () => void {
  const pids = rsyncProcesses(root);
  if (pids.length === 0) throw new Error(`no rsync works on ${root}`);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  const goOn = (): void => {
    held.delete(goOn);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        // It has been killed.
      }
    }
  };
  held.add(goOn);
  return goOn;
}

/** The rsync processes whose arguments name a path below `root`, or another text. */
export function rsyncProcesses(root: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [program = '', ...args] = commandLine(pid);
      return program.endsWith('rsync') && args.some((word) => word.includes(root));
    });
}

/** rsync's own temporary file for the slow one. */
function isHalfWritten(tree: string): boolean {
  return existsSync(tree) && readdirSync(tree).some((name) => /^\.slow\.\w{6}$/.test(name));
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
