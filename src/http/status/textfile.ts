import { basename, resolve } from 'node:path';
import { findMirror } from '../../mirror/open.ts';
import { realPathToBe } from '../../system/files.ts';
import { mirrorMetrics } from './metrics.ts';
import { StatusReporter } from './reporter.ts';
import type { LookedAt } from './status-report.ts';

export interface NamedMirror {
  root: string;
  /** By default the last part of its path, or all of it where another mirror has the same. */
  name?: string | undefined;
  /** How old its last success may be; ms. */
  maxAgeMs?: number | undefined;
}

/**
 * The metrics of mirrors for the textfile collector of Prometheus's node_exporter, as `serve` has them. One that
 * cannot be read is not up.
 */
export function textfile(mirrors: readonly NamedMirror[]): Promise<string> {
  const roots = mirrors.map(({ root }) => realPathToBe(resolve(root)));
  const lookedAt = roots.map((root, at): LookedAt => {
    const isAlone = roots.filter((other) => basename(other) === basename(root)).length === 1;
    const name = mirrors[at]?.name ?? (isAlone ? basename(root) : root);
    return { name, prefix: '/', content: '/', root, kind: kindOf(root) };
  });
  const limits = new Set(mirrors.map(({ maxAgeMs }) => maxAgeMs));
  const reports = [...limits].map((maxAgeMs) => {
    const alike = lookedAt.filter((_, at) => mirrors[at]?.maxAgeMs === maxAgeMs);
    return new StatusReporter(alike, { maxAgeMs }).report();
  });
  return mirrorMetrics(reports);
}

function kindOf(root: string): LookedAt['kind'] {
  try {
    return findMirror(root)?.settings.mode ?? 'snapshots';
  } catch {
    // The report says why.
    return 'snapshots';
  }
}
