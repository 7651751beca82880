/**
 * The widths of a table's columns: those of their widest cells if they fit. Otherwise the widest
 * columns are narrowed, but never below their longest words. Pure.
 *
 * @param rows plain text, without escape codes.
 * @param room the width for the cells of one row; terminal columns.
 * @returns undefined when the longest words alone do not fit.
 */
export function columnWidths(
  rows: readonly (readonly string[])[],
  room: number,
): number[] | undefined {
  const columns = (rows[0] ?? []).map((_, at) => rows.map((row) => row[at] ?? ''));
  const least = columns.map((cells) =>
    Math.max(1, ...cells.flatMap((cell) => cell.split(' ').map((word) => word.length))),
  );
  const widths = columns.map((cells) => Math.max(1, ...cells.map((cell) => cell.length)));
  const total = widths.reduce((sum, width) => sum + width, 0);
  for (let excess = total - room; excess > 0; excess -= 1) {
    const shrinkable = widths.map((width, at) => (width > (least[at] ?? 0) ? width : 0));
    const widest = shrinkable.indexOf(Math.max(...shrinkable));
    if (shrinkable[widest] === 0) return undefined;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}
