import { statSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { NameWriter, readNames } from '../mirror/name-list.ts';
import { sortInto } from '../mirror/sums/lines.ts';
import { failureOf, find } from '../system/find.ts';
import type { Kind } from './kind.ts';
import type { Session } from './session.ts';

/**
 * The names of the files of a tree that each kind begins with, sorted. They lie in files, because an index of
 * Python packages has one for each of its projects. What lies in a hidden directory is passed over: programs keep
 * there what they work on, such as debmirror(1) its new indexes, and rsync what comes late.
 *
 * @throws MirrorlatchError IO when the tree cannot be read.
 */
export async function findBeginnings(
  kinds: readonly Kind[],
  session: Session,
): Promise<Map<Kind, Iterable<string>>> {
  const { work, inherit, signal } = session.options;
  const lists = kinds.map((kind) => new List(kind, join(work, `begin-${kind.name}`)));
  try {
    if (lists.length > 0) await sortOut(lists, session);
  } finally {
    for (const list of lists) list.names.close();
  }
  const found = new Map<Kind, Iterable<string>>();
  for (const { kind, path } of lists) {
    const sorted = `${path}.sorted`;
    if (statSync(path).size <= SMALL) found.set(kind, [...readNames(path)].sort());
    else {
      await sortInto(sorted, [path], { inherit, signal });
      found.set(kind, { [Symbol.iterator]: () => readNames(sorted) });
    }
  }
  return found;
}

/** The most that is sorted here, which is faster than to start a program for it; bytes. */
const SMALL = 1024 * 1024;

/** What one kind begins with. */
class List {
  readonly kind: Kind;
  readonly path: string;
  readonly names: NameWriter;
  readonly #patterns: readonly RegExp[];

  constructor(kind: Kind, path: string) {
    this.kind = kind;
    this.path = path;
    this.names = new NameWriter(path);
    this.#patterns = kind.patterns.map(expressionOf);
  }

  /** @param base the last part of the name. */
  has(base: string, name: string, isLink: boolean): boolean {
    return this.#patterns.some((one) => one.test(base)) && this.kind.begins(name, isLink);
  }
}

async function sortOut(lists: readonly List[], session: Session): Promise<void> {
  const { tree, inherit, signal } = session.options;
  const patterns = lists.flatMap(({ kind }) => kind.patterns);
  const named = patterns.flatMap((pattern) => ['-o', '-name', pattern]).slice(1);
  const isFile = ['(', '-type', 'f', '-o', '-type', 'l', ')'];
  // The tree itself may have any name.
  const unhidden = ['-mindepth', '1', '-name', '.?*', '-type', 'd', '-prune', '-o'];
  const args = [
    tree,
    '-xdev',
    ...unhidden,
    ...isFile,
    '(',
    ...named,
    ')',
    '-printf',
    '%y\\0%f\\0%P\\0',
  ];
  const parts: string[] = [];
  const ended = await find(args, { inherit, signal }, (text) => {
    if (parts.push(text) < 3) return;
    const [type, base = '', name = ''] = parts.splice(0);
    const isLink = type === 'l';
    // Mirrors have symlinks to what they leave out.
    const isDangling = isLink && session.files.find(name) === 'missing';
    for (const list of lists) {
      if (isDangling && list.kind.mayDangle !== true) continue;
      if (list.has(base, name, isLink)) list.names.write(name);
    }
  });
  signal.throwIfAborted();
  const failure = failureOf(ended);
  if (failure !== undefined) throw new MirrorlatchError('IO', `${tree} cannot be read: ${failure}`);
}

/** @param pattern with no other wildcard than `*`. */
function expressionOf(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's');
}
