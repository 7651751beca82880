import type { Client } from '../../test/support/repositories/client.ts';
import type { Trial } from '../../test/support/repositories/trial.ts';

/** A message to the person who waits. */
export function say(line: string): void {
  process.stderr.write(`clients.sh: ${line}\n`);
}

/** The first rows of a Markdown table. */
export function head(cells: readonly string[]): void {
  row(cells);
  row(cells.map(() => '---'));
}

export function row(cells: readonly (string | number)[]): void {
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
}

/** ok / failed / mixed. */
export function figures({ outcomes: { ok, failed, mixed } }: Trial): string {
  return `${ok} / ${failed} / ${mixed === 0 ? mixed : `**${mixed}**`}`;
}

/** The mean number of flips in a run. */
export function meanFlips({ flips }: Trial): string {
  return (sum(flips) / flips.length).toFixed(1);
}

let troubles = 0;

/** Reports a run of a guarded client that was not ok, and notes that the script has failed. */
export function reportTrouble(how: string, client: Client, account: string): void {
  say(`${client.name}, ${how}: ${account}`);
  troubles += 1;
  process.exitCode = 1;
}

/** Whether a run of a guarded client was not ok. */
export function hasTrouble(): boolean {
  return troubles > 0;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
