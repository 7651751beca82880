import { createInterface } from 'node:readline/promises';
import { printCode } from '../output.ts';
import type { Proposal } from './proposal.ts';

/**
 * Asks a person at a terminal which of the proposals to take, and whether to write them.
 *
 * @param signal ends the questions.
 * @returns undefined if nothing is to be written.
 */
export async function choose(
  proposals: readonly Proposal[],
  file: string,
  signal: AbortSignal,
): Promise<Proposal[] | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  // At the end of the input, no answer comes any more.
  const ended = new AbortController();
  terminal.once('close', () => ended.abort());
  const isYes = async (question: string) => {
    const answer = await terminal.question(`${question} [Y/n] `, {
      signal: AbortSignal.any([signal, ended.signal]),
    });
    return !/^\s*n/i.test(answer);
  };
  try {
    const taken: Proposal[] = [];
    for (const proposal of proposals) {
      printCode(`\n${proposal.lines.join('\n')}`);
      if (await isYes(`Take ${proposal.title}?`)) taken.push(proposal);
    }
    return taken.length > 0 && (await isYes(`\nWrite that to ${file}?`)) ? taken : undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (ended.signal.aborted) return undefined;
    throw error;
  } finally {
    terminal.close();
  }
}
