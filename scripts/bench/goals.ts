/** A goal of the project, and the measured value; both in `unit`. */
export interface Goal {
  readonly goal: string;
  readonly limit: number;
  /** Whether more is better; otherwise less is. */
  readonly isLeast?: boolean;
  readonly unit: string;
  /** `null` if this run did not measure it. */
  readonly reached: number | null;
}

export function goalLines(measured: readonly Goal[]): string {
  const width = Math.max(...measured.map(({ goal }) => goal.length));
  const lines = measured.map(({ goal, limit, isLeast = false, unit, reached }) => {
    const isMet = reached !== null && (isLeast ? reached >= limit : reached <= limit);
    const verdict =
      reached === null
        ? 'not measured'
        : `${reached.toFixed(2)}${unit}  ${isMet ? 'met' : 'MISSED'}`;
    const bound = `${isLeast ? '>=' : '<='} ${`${limit}${unit}`.padEnd(7)}`;
    return `  ${goal.padEnd(width)}  ${bound} ${verdict}\n`;
  });
  return `Goals\n${lines.join('')}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** A plain-text table. The first and the last column are aligned left, the others right. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [heads, ...rows]
    .map((row) => {
      const cells = row.map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 || column === row.length - 1
          ? cell.padEnd(width)
          : cell.padStart(width);
      });
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}
