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
}

/**
 * The metrics of mirrors for the textfile collector of Prometheus's node_exporter, as `serve` has them. One that
 * cannot be read is not up.
 *
 * @param maxAgeMs how old the last success may be.
 */
export function textfile(
  mirrors: readonly NamedMirror[],
  maxAgeMs: number | undefined,
): Promise<string> {
  const roots = mirrors.map(({ root }) => realPathToBe(resolve(root)));
  const lookedAt = roots.map((root, at): LookedAt => {
    const isAlone = roots.filter((other) => basename(other) === basename(root)).length === 1;
    const name = mirrors[at]?.name ?? (isAlone ? basename(root) : root);
    return { name, prefix: '/', content: '/', root, kind: kindOf(root) };
  });
  return mirrorMetrics(new StatusReporter(lookedAt, { maxAgeMs }).report());
}

function kindOf(root: string): LookedAt['kind'] {
  try {
    return findMirror(root)?.settings.mode ?? 'snapshots';
  } catch {
    // The report says why.
    return 'snapshots';
  }
}
