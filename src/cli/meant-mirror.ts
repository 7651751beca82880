import { existsSync } from 'node:fs';
import type { Configuration } from '../config/configuration.ts';
import { hasCode, MirrorlatchError } from '../errors.ts';
import { currentId } from '../mirror/current.ts';
import type { Layout } from '../mirror/layout.ts';
import { commandThere, mirrorMeant } from '../mirror/open.ts';
import { isSnapshotId } from '../mirror/snapshot-id.ts';
import { snapshotAround } from '../mirror/snapshot-path.ts';
import { destinationIn } from '../rsync/source.ts';
import { nearestName } from '../system/nearest.ts';
import { quoteForSh } from '../system/quote.ts';

/**
 * Adds to the error of a path that is no mirror here the command that was meant: the same on the host of
 * the mirror, or for the mirror of which the path is a part.
 */
export function withMeantMirror(
  error: MirrorlatchError,
  words: readonly string[],
): MirrorlatchError {
  const at = words.findIndex((word) => error.message === `there is no mirror in ${word}`);
  if (!hasCode(error, 'NO_MIRROR') || at === -1) return error;
  const hint = commandMeant(words, at);
  if (hint === undefined) return error;
  const { message, cause, details } = error;
  return new MirrorlatchError('NO_MIRROR', message, { hint, cause, details });
}

/**
 * Adds what the configuration knows of it to the error of a mirror that is not there.
 *
 * @param problem why the configuration may not know the name.
 */
export function withNamedMirror(
  error: MirrorlatchError,
  { mirrors, files }: Configuration,
  problem: MirrorlatchError | undefined,
): MirrorlatchError {
  const [, word = ''] = /^there is no mirror in (.*)$/s.exec(error.message) ?? [];
  if (!hasCode(error, 'NO_MIRROR') || word === '') return error;
  const { message, cause, details } = error;
  const { name } = [...mirrors.values()].find(({ root }) => root === word) ?? {};
  if (name !== undefined) {
    const hint = `${name} is in the configuration, but not made yet, or its disk is not mounted. To make it: mirrorlatch init ${name}`;
    return new MirrorlatchError('NO_MIRROR', message, { hint, cause, details });
  }
  if (word.includes('/')) return error;
  if (problem !== undefined) return problem;
  const nearest = nearestName(word, [...mirrors.keys()]);
  if (nearest === undefined) return error;
  const hint = `Did you mean ${nearest}? It is a mirror of ${files.join(', ')}.`;
  return new MirrorlatchError('NO_MIRROR', message, { hint, cause, details });
}

function commandMeant(words: readonly string[], at: number): string | undefined {
  const word = words[at] ?? '';
  const around = mirrorMeant(word);
  if (around !== undefined) {
    const meant = wordsForMirror(words, at, around);
    return meant === undefined
      ? `It is in a snapshot of a mirror. Name the mirror itself: ${quoteForSh(around.root)}`
      : `It is a part of a mirror. Name the mirror itself: ${['mirrorlatch', ...meant].map(quoteForSh).join(' ')}`;
  }
  const destination = destinationIn(word);
  if (destination === undefined || destination === 'server') return undefined;
  return `It is on another host: ${commandThere(destination, words.with(at, destination.root))}`;
}

/**
 * The words with the mirror in place of its part, and with the snapshot that the part names. Undefined if
 * that is not the current one, and the command takes none: it would act on others.
 */
function wordsForMirror(
  words: readonly string[],
  at: number,
  mirror: Layout,
): string[] | undefined {
  const meant = words.with(at, mirror.root);
  const id = snapshotAround(mirror, words[at] ?? '');
  if (id === undefined) return meant;
  const isCurrent = id === currentId(mirror);
  if (words.slice(0, at).includes('rollback')) {
    const others = words.slice(at + 1);
    const isNamed = others.some((word) => word === '--release' || isId(mirror, word));
    // Who stands in the current one, and rolls back, wants to leave it.
    const isLeft = isCurrent && !others.includes('--hold');
    return isNamed || isLeft ? meant : meant.toSpliced(at + 1, 0, id);
  }
  return isCurrent || !isId(mirror, id) ? meant : undefined;
}

function isId(mirror: Layout, word: string): boolean {
  if (['current', 'previous'].includes(word)) return true;
  return isSnapshotId(word) && existsSync(mirror.snapshot(word));
}
