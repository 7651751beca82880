import { asMirrorlatchError, hasCode, type MirrorlatchError } from '../errors.ts';
import { appendHistory, readHistory } from '../mirror/history/history.ts';
import { indexOf } from '../mirror/history/history-index.ts';
import type { CheckFailure, HistoryEntry } from '../mirror/history/history-line.ts';
import { freshId } from '../mirror/snapshot-id.ts';
import { recordsOf } from './checking.ts';
import type { WantedName } from './making.ts';
import type { Writer } from './writer.ts';

/**
 * Records that the making of a snapshot failed, and tells the hooks.
 *
 * Best effort: what failed is thrown anyway, and the disk may be full.
 */
export function recordFailure(
  { layout, hooks }: Pick<Writer, 'layout' | 'hooks'>,
  id: string,
  error: MirrorlatchError,
): void {
  const { code, message } = error;
  // The mirror is another host's now, and so is its history. A wrong command line is no failed sync.
  if (code === 'LOCK_LOST' || code === 'USAGE') return;
  const found = findingsOf(error);
  const entry = {
    event: 'failed',
    at: new Date().toISOString(),
    id,
    code,
    message,
    ...found,
  } as const;
  for (const report of [() => appendHistory(layout, entry), () => hooks.afterFailure(entry)]) {
    try {
      report();
    } catch {
      // Nothing more can be done here.
    }
  }
}

function findingsOf(error: MirrorlatchError): CheckFailure {
  if (!hasCode(error, 'CHECK_FAILED') || error.details.findings === undefined) return {};
  const { count = 0, isOfHook } = error.details;
  const findings = recordsOf(error.details.findings);
  return {
    findings,
    ...(count > findings.length ? { count } : {}),
    ...(isOfHook ? { isOfHook } : {}),
  };
}

/** Records that the making of a snapshot failed before the work had begun. */
export function recordFailedStart(
  mirror: Pick<Writer, 'layout' | 'hooks'>,
  { id, at }: WantedName,
  error: unknown,
  failure: string,
): void {
  const name = id ?? freshId(at ?? new Date(), () => false);
  recordFailure(mirror, name, asMirrorlatchError(error, failure));
}

/** The last line of history about a sync, if that has failed. */
export function failureBefore({
  layout,
}: Writer): Extract<HistoryEntry, { event: 'failed' }> | undefined {
  const { lastSync } = indexOf(readHistory(layout));
  return lastSync?.event === 'failed' ? lastSync : undefined;
}
