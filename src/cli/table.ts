import Table from 'cli-table3';
import { type Part, shownPart, strong } from './output.ts';

/** Prints a table for people, with one line for each row. */
export function printTable(head: readonly string[], rows: readonly (readonly Part[])[]): void {
  const shown = rows.map((row) => row.map(shownPart));
  for (const line of tableText(head, shown).split('\n'))
    process.stdout.write(`${line.trimEnd()}\n`);
}

/**
 * A table without rules, with columns two spaces apart.
 *
 * @param widths the widths of the columns; cells are wrapped to them.
 */
export function tableText(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  widths?: readonly number[],
): string {
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '  ',
  };
  const table = new Table({
    head: head.map((word) => strong(word)),
    chars: none,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    ...(widths === undefined ? {} : { colWidths: [...widths], wordWrap: true }),
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}
