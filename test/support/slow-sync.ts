import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type ProgramOptions, type RunningProgram, startProgram, transcript } from './program.ts';
import type { Files, SmallMirror } from './small-mirror.ts';

/** In KiB per second. */
const RATE = 100;

/** Deviations from a sync of one file that takes about eight seconds. */
export interface SlowSyncOptions {
  readonly id?: string;
  /** For an in-place mirror. */
  readonly inPlace?: boolean;
  /** Other changes. Names that sort before `slow` are transferred before it. */
  readonly files?: Files;
  /** The least time that the slow file takes, in seconds. */
  readonly seconds?: number;
  /** Default: the mirror's own. */
  readonly source?: string;
  /** Options of mirrorlatch. */
  readonly words?: readonly string[];
  readonly program?: ProgramOptions;
}

/**
 * Starts a sync, and resolves when rsync is in the middle of a file. An existing mirror does not
 * remember the bandwidth limit; a new one would.
 */
export async function startSlowSync(
  mirror: SmallMirror,
  options: SlowSyncOptions = {},
): Promise<RunningProgram> {
  const { id = 'slow', files = {}, seconds = 8, source = mirror.source, words = [] } = options;
  const { inPlace = false } = options;
  const name = inPlace ? [] : ['--id', id];
  const tree = inPlace ? join(mirror.root, 'gate', 'live') : mirror.state('staging', id);
  mirror.change({ ...files, slow: randomBytes(seconds * RATE * 1024) });
  const sync = startProgram(
    ['sync', source, mirror.root, ...name, ...words, '--', `--bwlimit=${RATE}`],
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

/** The pids of rsync processes with `root`, or another text, in their arguments. */
export function rsyncProcesses(root: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [program = '', ...args] = commandLine(pid);
      return program.endsWith('rsync') && args.some((word) => word.includes(root));
    });
}

/** Looks for rsync's temporary file of the slow file. */
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
