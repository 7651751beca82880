import { printable } from '../mirror/names.ts';
import { runProgram } from '../system/process.ts';
import type { Findings } from './finding.ts';

/** How much of what a command says is kept; characters. */
const KEPT_WORDS = 500;

/**
 * Asks a person's own command whether a tree may be published. It is in the tree, and says no by its exit code.
 *
 * What it leaves running does not keep the mirror locked, since it only reads.
 *
 * @param env what it finds in its environment.
 */
export async function askCommand(
  command: string,
  tree: string,
  env: Readonly<Record<string, string>>,
  findings: Findings,
  signal: AbortSignal,
): Promise<void> {
  let words = '';
  const keep = (chunk: Buffer): void => {
    words = (words + chunk.toString()).slice(-KEPT_WORDS);
  };
  const how = { cwd: tree, env, signal, onStdout: keep, onStderr: keep };
  const { exitCode } = await runProgram('sh', ['-c', command], { ...how, endWithParent: true });
  signal.throwIfAborted();
  if (exitCode === 0) return;
  const said = printable(words.trim().replaceAll(/\s*\n\s*/g, '; '));
  const found = `exit code ${exitCode}${said === '' ? '' : `: ${said}`}`;
  findings.add(Buffer.from(command).toString('latin1'), 'command', 'exit code 0', found);
}
