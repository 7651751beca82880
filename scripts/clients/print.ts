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

/** The mean number of flips in a run, of each trial. */
export function meanFlips(trials: readonly Trial[]): string {
  return trials.map(({ flips }) => (sum(flips) / flips.length).toFixed(1)).join(' · ');
}

/** Reports each run of a guarded client that was not ok, and notes that the script has failed. */
export function reportTrouble(how: string, { client, accounts }: Trial): void {
  for (const account of accounts) {
    say(`${client.name}, ${how}: ${account}`);
    process.exitCode = 1;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
