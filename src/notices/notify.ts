import { hostname } from 'node:os';
import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import { lastSuccess, readHistory } from '../mirror/history/history.ts';
import { indexOf } from '../mirror/history/history-index.ts';
import { openMirror } from '../mirror/open.ts';
import { isOlderThan } from '../mirror/units.ts';
import { type Recipients, recipientsIn } from './deliver.ts';
import { type Notice, noticeFor } from './notice.ts';
import { type Condition, planNotices } from './plan-notices.ts';
import { changeTold } from './told-file.ts';

export interface NotifyOptions {
  root: string;
  /** What people call it. */
  name?: string | undefined;
  /** How long ago the last successful sync may be; ms. By default any time. */
  maxAgeMs?: number | undefined;
  to: Recipients;
}

export interface NotifyResult {
  sent: Notice[];
  /** Who did not get it, and why; it is told again at the next look. */
  failed: MirrorlatchError[];
}

/**
 * Looks at a mirror, and tells people what they do not know: that it failed, is stale, or is well again.
 *
 * @throws MirrorlatchError as `openMirror`; PERMISSION for another user than the owner of the mirror.
 */
export async function notify({ root, name, maxAgeMs, to }: NotifyOptions): Promise<NotifyResult> {
  const { layout } = openMirror(root);
  const history = readHistory(layout);
  const last = indexOf(history).lastSync;
  const syncedAt = lastSuccess(history);
  const conditions: Condition[] = [];
  if (last?.event === 'failed')
    conditions.push({ kind: 'failed', code: last.code, since: Date.parse(last.at) });
  if (maxAgeMs !== undefined && isOlderThan(syncedAt, maxAgeMs))
    conditions.push({ kind: 'stale', code: 'STALE', since: Date.parse(syncedAt ?? '') || 0 });
  const subject = {
    name: name ?? layout.root,
    root: layout.root,
    host: hostname(),
    last,
    syncedAt,
  };
  const result: NotifyResult = { sent: [], failed: [] };
  for (const recipient of recipientsIn(to)) {
    // What is about to be sent counts as told already: another process may look at the same time.
    const { notices, before } = changeTold(layout, recipient.key, (told) => {
      const planned = planNotices(told, conditions, Date.now());
      return { told: planned.told, result: { notices: planned.notices, before: told } };
    });
    try {
      for (const planned of notices) {
        const notice = noticeFor(planned, subject);
        await recipient.send(notice);
        result.sent.push(notice);
      }
    } catch (error) {
      result.failed.push(asMirrorlatchError(error, 'a notice cannot be sent'));
      changeTold(layout, recipient.key, () => ({ told: before, result: undefined }));
    }
  }
  return result;
}
