import type { Answer } from '../answers.ts';
import type { ServedRoot } from '../pins/served-mirror.ts';
import { OWN_PREFIX, type Route } from './routes.ts';

/** What a mirror has beside what is current. */
const BESIDE = /^(pins|snapshots|current|current\.json)(\/|$)/;

/** Whether what is current has a place of its own, and all else of the mirror another. */
export function hasBaseElsewhere({ prefix, content }: Pick<ServedRoot, 'prefix' | 'content'>) {
  return !content.startsWith(prefix);
}

/** The path below which all is that mirror's, but for what it has in another place. */
export function placeOf(mirror: Pick<ServedRoot, 'prefix' | 'content'>): string {
  return hasBaseElsewhere(mirror) ? mirror.content : mirror.prefix;
}

/**
 * Adds to an answer that there is nothing where that is which its request looks for in the wrong place: beside what is current,
 * where a mirror has its base elsewhere, or below `OWN_PREFIX`, where there is no mirror of that name. Pure.
 */
export function withWayToBase(
  answer: Answer,
  route: Route,
  mirrors: readonly ServedRoot[],
): Answer {
  if (answer.status !== 404 && answer.status !== 405) return answer;
  const way = wayToBase(route, mirrors);
  if (way === undefined) return answer;
  return { ...answer, body: `${String(answer.body).trimEnd()} ${way}\n` };
}

function wayToBase(route: Route, mirrors: readonly ServedRoot[]): string | undefined {
  if (route.kind === 'current') {
    const { mirror, name } = route;
    const isSought = hasBaseElsewhere(mirror) && BESIDE.test(name.toString('latin1'));
    return isSought ? `Pins, snapshots and current.json are below ${mirror.prefix}` : undefined;
  }
  if (route.kind !== 'own' || !`/-/${route.path}`.startsWith(OWN_PREFIX)) return undefined;
  const bases = mirrors.filter(hasBaseElsewhere).map(({ prefix }) => prefix);
  return bases.length === 0 ? undefined : `The mirrors are at ${bases.join(', ')}`;
}
