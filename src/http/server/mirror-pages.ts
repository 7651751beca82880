import { currentJson } from '../../mirror/current-json.ts';
import { type Answer, NO_CACHE, nothingThere, text } from '../answers.ts';
import type { ServedMirror } from '../pins/served-mirror.ts';

/** What is below the base of a mirror, or below a strict pin. */
export function basePage(): Answer {
  return text(200, ['current/', 'current.json', 'snapshots/'].join('\n'));
}

export function snapshotsPage(ids: readonly string[]): Answer {
  return text(200, ids.join('\n'), { 'Cache-Control': NO_CACHE });
}

/** `current.json` of a mirror or of a strict pin. @param id of what is current there. */
export function currentJsonPage(mirror: ServedMirror, id: string | undefined): Answer {
  if (id === undefined || mirror.kind === 'in-place') return nothingThere();
  const previous = mirror.previousId() ?? null;
  return {
    status: 200,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': NO_CACHE },
    body: currentJson({ id, previous, publishedAt: mirror.publishedAt(id) }),
  };
}
