import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import { type Part, shownPart, strong } from './output.ts';

/** Prints a table for people, with one line for each row. */
export function printTable(head: readonly string[], rows: readonly (readonly Part[])[]): void {
  const shown = rows.map((row) => row.map(shownPart));
  process.stdout.write(`${tableLines(head, shown).join('\n')}\n`);
}

/** Prints a table of names, values and their places. A value that leaves no room beside it has its place below it. */
export function printWithPlaces(
  head: readonly string[],
  rows: readonly (readonly [name: string, value: string, place: string])[],
): void {
  const shown = rows.map((row) => row.map(shownPart));
  const widest = (column: number) => Math.max(0, ...shown.map((row) => row[column]?.length ?? 0));
  const indent = ' '.repeat(widest(0) + 2);
  const room = (process.stdout.columns || USUAL_WIDTH) - indent.length - widest(2) - 2;
  const isLong = (value: string) => value.length > room;
  const beside = shown.map(([name = '', value = '', place = '']) =>
    isLong(value) ? [name, '', ''] : [name, value, place],
  );
  const [first = '', ...others] = tableLines(head, beside);
  const lines = others.flatMap((line, at) => {
    const [, value = '', place] = shown[at] ?? [];
    return isLong(value) ? [line.padEnd(indent.length) + value, indent + place] : [line];
  });
  process.stdout.write(`${[first, ...lines].join('\n')}\n`);
}

/** The width of what is no terminal; columns. */
const USUAL_WIDTH = 80;

/** The lines of a table, each without spaces at its end. */
export function tableLines(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const lines = asciiLines([head.map((word) => strong(word)), ...rows]);
  return (lines ?? tableText(head, rows).split('\n')).map((line) => line.trimEnd());
}

/**
 * The lines of a table that is all in ASCII, in which each character takes one column. cli-table3 measures
 * any script, but takes 0.1 ms a cell, half a second for a few hundred snapshots.
 */
function asciiLines(rows: readonly (readonly string[])[]): string[] | undefined {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      const text = stripVTControlCharacters(cell);
      if (!/^[ -~]*$/.test(text)) return undefined;
      widths[column] = Math.max(widths[column] ?? 0, text.length);
    }
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const codes = cell.length - stripVTControlCharacters(cell).length;
        return cell.padEnd((widths[column] ?? 0) + codes);
      })
      .join('  '),
  );
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
