import Table from 'cli-table3';
import { printLine, strong } from './output.ts';

/** A table for people: light lines on a terminal, plain columns elsewhere. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
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
  });
  table.push(...rows.map((row) => [...row]));
  for (const line of table.toString().split('\n')) printLine(line.trimEnd());
}
