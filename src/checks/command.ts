import { StringDecoder } from 'node:string_decoder';
import { printable } from '../mirror/names.ts';
import type { CheckPolicy } from '../mirror/settings/policy.ts';
import { callersPath } from '../system/callers-path.ts';
import { describeEnd, runLimited } from '../system/limited-job.ts';
import type { Session } from './session.ts';

/** How much of what a command says is kept; characters. */
const KEPT_WORDS = 500;

/**
 * Asks a person's own command whether a tree may be published. It is in the tree, and says no by its exit code.
 *
 * What it leaves running does not keep the mirror locked, since it only reads.
 *
 * @param variables for its environment.
 * @returns whether it took longer than it may.
 * @throws the reason of the signal.
 */
export async function askCommand(
  { command, timeoutMs }: Pick<CheckPolicy, 'command' | 'timeoutMs'>,
  tree: string,
  variables: Readonly<Record<string, string>>,
  { findings, options: { signal } }: Session,
): Promise<boolean> {
  const decoder = new StringDecoder('utf8');
  let words = '';
  const end = await runLimited('/bin/sh', ['-c', command], {
    cwd: tree,
    env: { ...process.env, PATH: callersPath, ...variables },
    onOutput: (chunk) => {
      words = (words + decoder.write(chunk)).slice(-KEPT_WORDS);
    },
    limitMs: timeoutMs,
    signal,
  });
  signal.throwIfAborted();
  const how = describeEnd(end, timeoutMs);
  if (how === undefined) return false;
  const said = printable(words.trim().replaceAll(/\s*\n\s*/g, '; '));
  const found = `${how}${said === '' ? '' : `: ${said}`}`;
  findings.add(Buffer.from(command).toString('latin1'), 'command', 'exit code 0', found);
  return end.endedBy === 'limit';
}
