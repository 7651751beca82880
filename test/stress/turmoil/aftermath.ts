import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { runProgram, transcript } from '../../support/program.ts';
import { describeTree, difference } from '../../support/tree.ts';
import { leftBehind, withoutRepeats, wrongHistory } from '../mirror-checks.ts';
import type { Mirror } from './mirrors.ts';
import { isExtra, type States } from './states.ts';

/** How long processes that a killed command left may take to notice it; ms. */
const PATIENCE_MS = 20_000;

/**
 * Gives a mirror one sync, which has to repair whatever was left, and checks everything after it.
 *
 * @param source at rest.
 * @returns a sentence for each fault.
 */
export async function wrongAfterwards(
  mirror: Mirror,
  source: string,
  states: States,
): Promise<string[]> {
  const wrong: string[] = [];
  const must = async (...words: string[]): Promise<void> => {
    const result = await runProgram(words);
    if (result.exitCode !== 0) wrong.push(`at the end: ${transcript(result)}`);
  };
  if (mirror.adopted !== undefined) await must(...(await adoption(mirror, mirror.adopted)));
  if (isClosedByHand(mirror)) await must('gate', 'open', mirror.root(), '--wait', '1m');
  await must('sync', source, mirror.root(), '--wait', '1m', '--allow-shrink');
  await must('status', mirror.root());
  return [
    ...wrong,
    ...(await processesLeft(mirror)),
    ...difference(stateOf(source), stateOf(`${mirror.root()}/current`)),
    ...mirror
      .roots()
      .flatMap(treesIn)
      .flatMap((tree) =>
        [states.wrongIn(tree), states.wrongExtrasIn(tree)].flatMap((sentence) =>
          sentence === undefined ? [] : [`${tree}: ${sentence}`],
        ),
      ),
    ...leftBehind(mirror.root(), mirror.name === 'in place' ? 'in-place' : 'snapshots'),
    ...(mirror.name === 'snapshots' ? wrongHistory(mirror.root(), withoutRepeats) : []),
  ].map((sentence) => `${mirror.name}: ${sentence}`);
}

/** The words that adopt the directory again, or finish what was left of an adoption. */
async function adoption(mirror: Mirror, directory: string): Promise<string[]> {
  const words = () => ['init', mirror.root(), '--adopt', directory];
  const { exitCode } = await runProgram(words());
  if (exitCode === 64 && lstatSync(directory).isDirectory()) mirror.beginAnew();
  return words();
}

/** Then no sync opens the gate. */
function isClosedByHand(mirror: Mirror): boolean {
  const record = join(mirror.root(), '.mirrorlatch', 'gate.json');
  if (!existsSync(record)) return false;
  const { state, by } = JSON.parse(readFileSync(record, 'utf8')) as { state: string; by: string };
  return state === 'closed' && by === 'person';
}

/** All published trees of a mirror. */
function treesIn(root: string): string[] {
  return ['snapshots', 'gate'].flatMap((name) => {
    const directory = join(root, name);
    return existsSync(directory) ? readdirSync(directory).map((tree) => join(directory, tree)) : [];
  });
}

function stateOf(tree: string) {
  return describeTree(tree, { leaveOut: isExtra });
}

async function processesLeft(mirror: Mirror): Promise<string[]> {
  const end = performance.now() + PATIENCE_MS;
  while (mirror.processes().length > 0 && performance.now() < end) await pause(50);
  return mirror.processes().map((pid) => `the process ${pid} is left`);
}
