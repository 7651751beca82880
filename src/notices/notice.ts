import type { HistoryEntry } from '../mirror/history/history.ts';
import { printable } from '../mirror/names.ts';
import { showTime } from '../mirror/units.ts';
import { quoteForSh } from '../system/quote.ts';
import type { NoticeKind, PlannedNotice } from './plan-notices.ts';

/** What is sent; times are ISO 8601, UTC. */
export interface Notice {
  readonly event: NoticeKind;
  readonly mirror: string;
  readonly root: string;
  readonly host: string;
  /** That of the error; for a recovery, of the one that is over. */
  readonly code: string;
  /** One line. */
  readonly subject: string;
  /** For people, several lines. */
  readonly text: string;
  readonly since: string;
}

/** What a notice is about. */
export interface Subject {
  /** The name in the configuration, or else the path. */
  readonly name: string;
  readonly root: string;
  readonly host: string;
  /** The last sync. */
  readonly last: HistoryEntry | undefined;
  /** When a sync has succeeded last; null if none has. */
  readonly syncedAt: string | null;
}

/** Puts a planned notice into words. */
export function noticeFor(planned: PlannedNotice, subject: Subject): Notice {
  const { kind: event, code } = planned;
  const { name: mirror, root, host } = subject;
  const since = new Date(planned.since).toISOString();
  const [what, ...lines] = wordsFor(planned, subject);
  const look = `To see its state: mirrorlatch status ${quoteForSh(mirror)}`;
  return {
    event,
    mirror,
    root,
    host,
    code,
    subject: printable(`${mirror} on ${host} ${what}`),
    text: [...lines, '', look].map(printable).join('\n'),
    since,
  };
}

function wordsFor({ kind, code, since }: PlannedNotice, subject: Subject): string[] {
  const { root, last, syncedAt } = subject;
  const time = showTime(new Date(since).toISOString());
  const synced =
    syncedAt === null
      ? 'No sync has succeeded yet.'
      : `The last sync that succeeded was at ${showTime(syncedAt)}.`;
  switch (kind) {
    case 'failed': {
      const message = last?.event === 'failed' ? last.message : `It failed with ${code}.`;
      return [`has failed: ${code}`, `The sync of ${root} failed at ${time}:`, message, '', synced];
    }
    case 'stale':
      return ['is stale', `${root} is older than it may be.`, synced];
    case 'recovered':
      return [
        'is well again',
        `${root} is well again. What is over: ${code === 'STALE' ? 'it was stale' : code}, since ${time}.`,
        synced,
      ];
  }
}
