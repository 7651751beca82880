import { currentJson } from '../../mirror/current-json.ts';
import { type Answer, json, NO_CACHE, nothingThere, text } from '../answers.ts';
import { CONTENT_SECURITY_POLICY, PAGE_END, pageHead, rowWithNote } from '../files/listing-page.ts';
import type { Publication, ServedMirror } from '../pins/served-mirror.ts';
import { type Exchange, headerOf } from './exchange.ts';

/** A cache asks each time, and keeps apart what browsers and scripts get. */
const HEADERS = { 'Cache-Control': NO_CACHE, Vary: 'Accept' };

/**
 * What is below the base of a mirror, or below a strict pin: a page for a browser, or a name a line.
 *
 * @param id of what is current there.
 */
export function basePage(mirror: ServedMirror, id: string | undefined, exchange: Exchange): Answer {
  const isInPlace = mirror.kind === 'in-place';
  if (typeWanted(exchange) !== 'html') {
    const names = ['current/', ...(isInPlace ? [] : ['current.json', 'snapshots/'])];
    return text(200, names.join('\n'), HEADERS);
  }
  const current = publicationOf(mirror, id);
  const time = current && new Date(current.publishedAt);
  const rows = [rowWithNote('current', 'directory', time, current?.id ?? '')];
  if (!isInPlace) {
    rows.push(rowWithNote('snapshots', 'directory', undefined, ''));
    rows.push(rowWithNote('current.json', 'file', undefined, ''));
  }
  return page(pageHead(pathOf(exchange), true, ['Published (UTC)', 'Snapshot']), rows);
}

/**
 * The snapshots of a mirror, or that of a strict pin: a page for a browser, JSON, or an id a line.
 *
 * @param snapshots the newest first.
 * @param id of what is current there.
 */
export function snapshotsPage(
  snapshots: readonly Publication[],
  id: string | undefined,
  exchange: Exchange,
): Answer {
  switch (typeWanted(exchange)) {
    case 'html': {
      const rows = snapshots.map((one) => {
        const note = one.id === id ? 'current' : '';
        return rowWithNote(one.id, 'directory', new Date(one.publishedAt), note);
      });
      return page(pageHead(pathOf(exchange), false, ['Published (UTC)', '']), rows);
    }
    case 'json': {
      const told = snapshots.map((one) => ({ ...one, isCurrent: one.id === id }));
      return json(200, { format: 1, snapshots: told }, HEADERS);
    }
    case 'text':
      return text(200, snapshots.map((one) => one.id).join('\n'), HEADERS);
  }
}

/** `current.json` of a mirror or of a strict pin. @param id of what is current there. */
export function currentJsonPage(mirror: ServedMirror, id: string | undefined): Answer {
  const current = publicationOf(mirror, id);
  if (mirror.kind === 'in-place') return noSnapshotsInPlace();
  if (current === undefined) return nothingThere();
  const isCurrent = id === mirror.currentId();
  const before = isCurrent ? mirror.previousId() : undefined;
  const previous = before === id ? null : (before ?? null);
  return jsonOf({ ...current, previous });
}

function jsonOf(record: Parameters<typeof currentJson>[0]): Answer {
  return {
    status: 200,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': NO_CACHE },
    body: currentJson(record),
  };
}

/** `CHANNEL.json`. @param id what the channel names. */
export function channelJsonPage(mirror: ServedMirror, id: string): Answer {
  const named = publicationOf(mirror, id);
  if (named === undefined) return nothingThere();
  return jsonOf({ ...named, previous: null });
}

/** What is sought in a mirror in place that only snapshots have. */
export function noSnapshotsInPlace(): Answer {
  const what = 'This mirror is written in place: it has no snapshots, pins or current.json.';
  return text(404, `${what} A sync waits for its readers, and they get 503 meanwhile.`, {
    'Cache-Control': NO_CACHE,
  });
}

/** @returns undefined for what is current in a mirror in place, which is no snapshot. */
function publicationOf(mirror: ServedMirror, id: string | undefined): Publication | undefined {
  const [publication] =
    id === undefined || mirror.kind === 'in-place' ? [] : mirror.publications([id]);
  return publication;
}

/** What a client names first. curl and wget take anything, and get text. */
function typeWanted(exchange: Exchange): 'html' | 'json' | 'text' {
  const accept = headerOf(exchange, 'accept') ?? '';
  const [, subtype] = /\b(?:text|application)\/(html|json)\b/i.exec(accept) ?? [];
  if (subtype === undefined) return 'text';
  return subtype.toLowerCase() === 'json' ? 'json' : 'html';
}

/** Percent-encoded. */
function pathOf({ request }: Exchange): string {
  return (request.url ?? '').replace(/[?#].*/s, '');
}

function page(head: string, rows: readonly string[]): Answer {
  return {
    status: 200,
    headers: {
      ...HEADERS,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': CONTENT_SECURITY_POLICY,
    },
    body: `${head}${rows.join('')}${PAGE_END}`,
  };
}
