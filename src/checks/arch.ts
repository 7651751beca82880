import { opendirSync, readlinkSync } from 'node:fs';
import { posix } from 'node:path';
import { bytePath } from '../mirror/byte-path.ts';
import { lstatIfThere } from '../system/files.ts';
import { checksumOf, nameIn } from './claims.ts';
import type { Kind } from './kind.ts';
import type { Session } from './session.ts';
import { faultOfSignature } from './signature.ts';
import { membersOf } from './tar.ts';
import { entryIn, type FoundFile, linesOf, Malformed } from './tree-files.ts';

/** `NAME.db` and `NAME.files`, the archives that they usually lead to, and the signatures of both. */
const DATABASE =
  /^(?<repository>.+)\.(?<list>db|files)(\.tar(\.(gz|bz2|xz|zst|Z|lz4))?)?(?<signature>\.sig)?$/s;

/** Repositories of pacman, as repo-add(8) makes them. */
export const arch: Kind = {
  name: 'arch',
  what: 'database of repo-add',
  patterns: ['*.db', '*.db.sig', '*.db.tar*', '*.files', '*.files.tar*'],
  mayDangle: true,
  begins: (name) => DATABASE.test(name),
  async read(beginnings, session) {
    const read = new Set<string>();
    const repositories = new Set<string>();
    for (const name of beginnings) {
      const { repository = '', list, signature } = DATABASE.exec(name)?.groups ?? {};
      if (signature !== undefined) {
        const signed = name.slice(0, -signature.length);
        if (hasPackages(name, session)) expect(signed, name, session);
        continue;
      }
      const file = session.files.find(name);
      if (typeof file === 'string') {
        if (hasPackages(name, session)) expect(targetOf(name, session), name, session);
        continue;
      }
      // One is usually a link to another.
      const identity = `${file.stats.dev}:${file.stats.ino}`;
      if (read.has(identity)) continue;
      read.add(identity);
      if (!(await readDatabase(name, file, session))) continue;
      repositories.add(repository);
      session.heads.add('arch', databaseOf(name));
      for (const asked of [databaseOf(name), `${repository}.${list}`]) expect(asked, name, session);
    }
    return repositories.size;
  },
};

/** A database has to be there, unless it was left out on purpose. */
function expect(name: string, by: string, session: Session): void {
  if (!session.files.isThere(name))
    session.claim('.', name, { size: undefined, sum: undefined, by });
}

/** Where a symlink leads to, as far as that is in the tree. */
function targetOf(name: string, { options: { tree } }: Session): string {
  const path = bytePath(tree, name);
  if (lstatIfThere(path)?.isSymbolicLink() !== true) return name;
  const target = readlinkSync(path, { encoding: 'buffer' }).toString('latin1');
  return nameIn(posix.dirname(name), target) ?? name;
}

/** Whether packages lie beside a file. */
function hasPackages(name: string, { options: { tree } }: Session): boolean {
  const directory = opendirSync(bytePath(tree, posix.dirname(name)), { encoding: 'latin1' });
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync())
      if (/\.pkg\.tar(\.\w+)?$/.test(entry.name)) return true;
    return false;
  } finally {
    directory.closeSync();
  }
}

/** What other files of the name `*.db` begin with: those of SQLite, and the thumbnails of Windows. */
const FOREIGN = ['SQLite format 3\0', '\xd0\xcf\x11\xe0'];

/** @returns whether it is a database of pacman. */
async function readDatabase(name: string, file: FoundFile, session: Session): Promise<boolean> {
  const start = session.files.startOf(file, 16).toString('latin1');
  if (FOREIGN.some((foreign) => start.startsWith(foreign))) return false;
  const seen = { members: 0, packages: 0 };
  let error: unknown;
  try {
    for await (const { name: path, content } of membersOf(session.files.contentByItself(file))) {
      session.options.signal.throwIfAborted();
      seen.members += 1;
      if (!/^(\.\/)?[^/]+\/desc$/.test(path)) continue;
      seen.packages += 1;
      claimPackage(path, await readFields(content), name, session);
    }
  } catch (caught) {
    error = caught;
  }
  const isWhole = error === undefined;
  const isEmpty = isWhole && seen.members === 0 && session.files.isThere(databaseOf(name));
  const isOne = seen.packages > 0 || isEmpty || (!isWhole && isExpected(name, session));
  if (!isOne && !isWhole && !(error instanceof Malformed)) throw error;
  if (!isOne) return false;
  if (!isWhole) session.unreadable(name, error);
  await checkSignature(name, file, session);
  return true;
}

/** Whether a file has to be a database because of what lies beside it. */
function isExpected(name: string, session: Session): boolean {
  const isDatabase = DATABASE.exec(name)?.groups?.['list'] === 'db';
  return hasPackages(name, session) && (isDatabase || session.files.isThere(databaseOf(name)));
}

/** What pacman asks for. */
function databaseOf(name: string): string {
  return `${DATABASE.exec(name)?.groups?.['repository']}.db`;
}

/** The first line of each field of a `desc`, `%NAME%` above it. */
async function readFields(content: AsyncIterable<Buffer>): Promise<Map<string, string>> {
  const fields = new Map<string, string>();
  let field: string | undefined;
  for await (const lines of linesOf(content)) {
    for (const line of lines) {
      const [, key] = /^%([A-Z0-9]+)%$/.exec(line) ?? [];
      if (key === undefined && field !== undefined && FIELDS.has(field)) fields.set(field, line);
      field = key;
    }
  }
  return fields;
}

const FIELDS: ReadonlySet<string> = new Set(['FILENAME', 'CSIZE', 'SHA256SUM', 'MD5SUM', 'PGPSIG']);

/** Says of a package what it is. As for pacman, it lies beside the database (`_alpm_validate_filename`). */
function claimPackage(
  path: string,
  fields: ReadonlyMap<string, string>,
  by: string,
  session: Session,
): void {
  const file = fields.get('FILENAME') ?? '';
  const size = fields.get('CSIZE') ?? '';
  if (file === '' || /^\.|\/|\0/.test(file)) {
    session.malformed(by, `${JSON.stringify(path)} names ${JSON.stringify(file)}`);
    return;
  }
  const isSized = /^\d{1,15}$/.test(size);
  const { content, keyring } = session.options;
  const sum =
    checksumOf('sha256', fields.get('SHA256SUM') ?? '') ??
    checksumOf('md5', fields.get('MD5SUM') ?? '');
  const directory = posix.dirname(by);
  session.claim(directory, file, {
    size: isSized ? Number(size) : undefined,
    sum: content || !isSized ? sum : undefined,
    by,
  });
  // By default pacman installs no package without one (pacman.conf(5), SigLevel).
  if (keyring !== '' && !fields.has('PGPSIG'))
    session.claim(directory, `${file}.sig`, { size: undefined, sum: undefined, by });
}

/** As for pacman, a database need not be signed, but one that is, or was, has to be so by a key that is known. */
async function checkSignature(name: string, file: FoundFile, session: Session): Promise<void> {
  if (!session.wantsSignatures) return;
  const beside = `${name}.sig`;
  const signature = session.files.find(beside);
  const { base } = session.options;
  const wasSigned = base !== undefined && entryIn(base, beside) !== undefined;
  if (signature === 'missing' && !wasSigned) {
    session.advice.add(`${name} is not signed; the signatures of its packages are not checked`);
    return;
  }
  const fault =
    typeof signature === 'string'
      ? `${signature === 'missing' ? 'no' : 'an unfit'} ${posix.basename(beside)}`
      : await faultOfSignature([signature, file], session);
  const expected = 'a signature by a key of the keyring';
  if (fault !== undefined) session.findings.add(name, 'signature', expected, fault, name);
}
