import { closeSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { failureOf, find } from '../../system/find.ts';
import { bytePath } from '../byte-path.ts';
import { eachName, NameRecords, type RecordsSession } from '../name-records.ts';
import { readableName } from '../names.ts';
import { eachLine } from '../trees/lines-apart.ts';
import { addFact, FileListFault, hasControls, openFileList, splitLine } from './file-list.ts';
import { refuseOther } from './listed-check.ts';

/** More entries than these, and the list is none of the tree. */
const MOST_UNLISTED = 100;

const TYPES: Record<string, 'directory' | 'symlink'> = { d: 'directory', l: 'symlink' };

/**
 * Compares a whole tree with a list of it.
 *
 * @param list its name at the top of the tree: what it says of itself is out of date.
 * @param isLeftOut whether an entry of that name never gets into a tree.
 * @param directory where files are made.
 * @returns what the list does not name: other lists at the top, symlinks that lead nowhere.
 * @throws FileListFault if the list denies what the tree has, or has what the tree lacks.
 */
export async function namesUnlisted(
  tree: string,
  list: string,
  isLeftOut: (entry: Pick<Entry, 'name' | 'type'>) => boolean,
  directory: string,
  session: RecordsSession,
): Promise<string[]> {
  const unlisted: string[] = [];
  let unlistable: string | undefined;
  const descriptor = openFileList(bytePath(tree, list));
  const path = join(directory, '.listed-tree');
  const records = new NameRecords(path);
  try {
    await eachLine(descriptor, session.signal, (line) => {
      const { name, fact } = splitLine(line) ?? {};
      if (name !== undefined && fact !== undefined) records.add(name, `list ${fact}`);
    });
    const print = ['-mindepth', '1', '-printf', '%y %s %Ts %P\\0'];
    const result = await find([tree, ...print], session, (line) => {
      const [, fact, name = ''] = /^(. \d+ -?\d+) (.*)$/s.exec(line) ?? [];
      if (hasControls(name)) unlistable ??= name;
      else records.add(name, `tree ${fact}`);
    });
    session.signal.throwIfAborted();
    const failure = failureOf(result);
    if (failure !== undefined)
      throw new MirrorlatchError('IO', `${tree} cannot be read: ${failure}`);
    if (unlistable !== undefined) throw new FileListFault(`cannot have ${shown([unlistable])}`);
    records.close();
    await eachName([records], directory, session, (name, facts) => {
      if (name !== list && isUnlisted(name, facts, isLeftOut)) unlisted.push(name);
      if (unlisted.length > MOST_UNLISTED)
        throw new FileListFault(`lacks ${shown(unlisted)} and more that the tree has`);
    });
  } finally {
    closeSync(descriptor);
    records.close();
    rmSync(path, { force: true });
  }
  return unlisted;
}

/** @throws FileListFault if list and tree do not say the same. */
function isUnlisted(
  name: string,
  records: readonly string[],
  isLeftOut: (entry: Pick<Entry, 'name' | 'type'>) => boolean,
): boolean {
  const listed: Parameters<typeof addFact>[0] = { checksums: [] };
  for (const record of records)
    if (record.startsWith('list ')) addFact(listed, name, record.slice('list '.length));
  const { entry } = listed;
  const [, kind = '', size, modified] =
    /^tree (.) (\d+) (-?\d+)$/.exec(records.find((record) => record.startsWith('tree ')) ?? '') ??
    [];
  if (size === undefined) {
    const mayLack =
      entry === undefined ||
      entry.isRestricted ||
      entry.type === 'symlink' ||
      isLeftOut({ name, type: entry.type });
    if (mayLack) return false;
    throw new FileListFault(`has ${readableName(name).name}, which the tree lacks`);
  }
  const type = TYPES[kind] ?? 'file';
  if (entry !== undefined) {
    const bytes = type === 'symlink' || kind === 'f' ? Number(size) : 0;
    refuseOther(name, { type, size: bytes, modified: Number(modified) }, entry);
    return false;
  }
  if (type === 'directory') throw new FileListFault(`lacks the directory ${shown([name])}`);
  return true;
}

function shown(names: readonly string[]): string {
  return names
    .slice(0, 3)
    .map((name) => readableName(name).name)
    .join(', ');
}
