import { openMirror } from '../mirror/open.ts';
import { runProgram } from '../system/process.ts';
import { coalesce, type TriggerOutcome } from './coalesce.ts';

export interface TriggerOptions {
  root: string;
  /** The words that sync it, the program first. */
  sync: readonly string[];
  signal?: AbortSignal | undefined;
}

export interface TriggerResult {
  outcome: TriggerOutcome;
  /** How the last sync ended; null for none. */
  exitCode: number | null;
  /** What it said. */
  said: string;
}

/**
 * Syncs a mirror because somebody wishes it, in a process of its own; see `coalesce`.
 *
 * @throws MirrorlatchError as `openMirror` and `coalesce`.
 */
export async function trigger({ root, sync, signal }: TriggerOptions): Promise<TriggerResult> {
  const { layout } = openMirror(root);
  const [program = '', ...words] = sync;
  const last: { exitCode: number | null; said: string } = { exitCode: null, said: '' };
  const outcome = await coalesce(layout, async () => {
    signal?.throwIfAborted();
    const { exitCode, stderr } = await runProgram(program, words, { signal });
    Object.assign(last, { exitCode, said: stderr.trim() });
  });
  return { outcome, ...last };
}
