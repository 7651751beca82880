import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { bytePath, parentsOf } from '../../mirror/byte-path.ts';
import { lstatIfThere } from '../../system/files.ts';
import { nameIn } from '../claims.ts';
import type { Kind } from '../kind.ts';
import type { Session } from '../session.ts';
import { entryIn } from '../tree-files.ts';
import { addTo, parseRelease, type Release, type ReleaseFile } from './release.ts';
import { checkSigned } from './signed.ts';
import { Stanzas } from './stanzas.ts';

/** Archives of Debian packages, as apt reads them (https://wiki.debian.org/DebianRepository/Format). */
export const apt: Kind = {
  name: 'apt',
  what: 'Release or InRelease',
  patterns: ['Release', 'InRelease', 'Release.gpg', 'Packages', 'Packages.gz', 'Packages.xz'],
  begins: (name) => isRelease(name) || /(^|\/)dists\//.test(name),
  async read(beginnings, session) {
    const names = [...beginnings];
    const releases = names.filter(isRelease);
    missReleases(names, releases, session);
    /** Indexes of packages, and their suites. */
    const indexes = new Map<string, string>();
    for (const name of releases)
      for (const index of await readRelease(name, session)) indexes.set(index, posix.dirname(name));
    for (const [index, suite] of indexes) await readIndex(index, suite, session);
    return suitesOf(releases).size;
  },
};

function isRelease(name: string): boolean {
  return /(^|\/)(In)?Release$/.test(name);
}

/** Each architecture of a suite may have a file of that name, which lists nothing. */
const OF_PART = /(^|\/)(binary-[^/]+|source)\/Release$/;

/** The directories of the suites that have a Release. */
function suitesOf(releases: readonly string[]): Set<string> {
  return new Set(releases.filter((name) => !OF_PART.test(name)).map((name) => posix.dirname(name)));
}

/** Without its Release, nothing would say what is in a suite. */
function missReleases(
  beginnings: readonly string[],
  releases: readonly string[],
  session: Session,
): void {
  const suites = suitesOf(releases);
  const missed = new Set<string>();
  for (const name of beginnings) {
    const isSigned = name.endsWith('/Release.gpg') && !releases.includes(name.slice(0, -4));
    const above = [...parentsOf(name), '.'];
    if (isSigned) missed.add(name.slice(0, -4));
    else if (!above.some((directory) => suites.has(directory)))
      missed.add(`${/^(?:.*\/)?dists\/[^/]+/.exec(name)?.[0] ?? posix.dirname(name)}/Release`);
  }
  for (const name of missed) session.miss(name);
}

/** In what an index may be compressed; what takes the least to undo first. */
const FORMS = ['', '.gz', '.zst', '.xz', '.lzma', '.bz2'];

const INDEX = /(^|\/)(Packages|Sources)$/;

/** @returns the indexes of packages to be read. */
async function readRelease(name: string, session: Session): Promise<string[]> {
  const lines = await session.readHead(name);
  const release = parseRelease(lines);
  const suite = posix.dirname(name);
  if (release.files.length === 0) {
    if (OF_PART.test(name)) return [];
    const isOne = /(^|\/)dists\//.test(name) || session.files.isThere(`${name}.gpg`);
    if (isOne || name.endsWith('InRelease')) session.malformed(name, 'it lists no files');
    else session.notes.add(`${name} is no Release of apt`);
    return [];
  }
  if (!OF_PART.test(name)) session.heads.add('apt', name);
  const [unread] = release.unread;
  if (unread !== undefined)
    session.malformed(name, `the line ${JSON.stringify(unread.slice(0, 80))}`);
  checkAge(name, release, session);
  await checkSigned(name, lines, session);
  const groups = new Map<string, ReleaseFile[]>();
  for (const file of release.files) {
    const path = nameIn('.', file.path);
    if (path === undefined) {
      session.malformed(name, `it names ${JSON.stringify(file.path)}`);
      continue;
    }
    const plain = withoutForm(path);
    addTo(groups, plain, file);
  }
  const found: string[] = [];
  let absent = 0;
  for (const [plain, files] of groups) {
    // One that is there but no file is not just another form that was left out.
    const there = files.filter(
      (file) => session.files.find(posix.join(suite, file.path)) !== 'missing',
    );
    if (there.length === 0) {
      // One of them is enough, and of these the usual one is what is missed.
      const missed = files.find(({ path }) => path.endsWith('.xz')) ?? files.at(-1);
      if (missed !== undefined && isExpected(suite, plain, files, session))
        claim(name, suite, missed, session);
      else absent += 1;
    }
    for (const file of there) {
      claim(name, suite, file, session);
      // Clients take a smaller form where there is one, and no Release but that of the suite.
      const isAsked = there.length === 1 || file.path !== plain;
      if (isAsked && !isRelease(plain)) claimByHash(name, suite, file, release, session);
    }
    if (!INDEX.test(plain)) continue;
    const form = FORMS.find(
      (end) =>
        there.some(({ path }) => path === plain + end) &&
        session.files.isThere(posix.join(suite, plain + end)),
    );
    if (form !== undefined) found.push(posix.join(suite, plain + form));
  }
  if (absent > 0 && !session.options.isComplete)
    session.notes.add(
      `${name} names ${absent === 1 ? 'an index that is' : `${absent} indexes that are`} not there; nobody knows whether that was left out on purpose`,
    );
  return found;
}

/**
 * Whether an index that is not there in any of its forms should be. A Release may name architectures that only
 * another archive has, as that of Ubuntu does; so one that readers have never had is missed only beside what
 * belongs to it.
 */
function isExpected(
  suite: string,
  plain: string,
  files: readonly ReleaseFile[],
  { options: { tree, base, isComplete } }: Session,
): boolean {
  if (!isComplete) return false;
  const isIn = (directory: string, path: string) =>
    entryIn(directory, posix.join(suite, path)) !== undefined;
  if (base !== undefined && files.some(({ path }) => isIn(base, path))) return true;
  return INDEX.test(plain) && isIn(tree, posix.dirname(plain));
}

function withoutForm(path: string): string {
  const end = FORMS.find((form) => form !== '' && path.endsWith(form)) ?? '';
  return end === '' ? path : path.slice(0, -end.length);
}

function claim(by: string, suite: string, { path, size, sum }: ReleaseFile, session: Session) {
  session.claim(suite, path, { size, sum, by });
}

/** Clients ask for an index by its hash first, so that they get the one that their Release names. */
function claimByHash(
  by: string,
  suite: string,
  file: ReleaseFile,
  { fields, hashDirectory }: Release,
  session: Session,
): void {
  if (fields.get('acquire-by-hash')?.toLowerCase() !== 'yes' || hashDirectory === undefined) return;
  const place = posix.join(posix.dirname(file.path), 'by-hash', hashDirectory);
  const directory = posix.join(suite, place);
  const { tree, base } = session.options;
  const isIn = (one: string) => entryIn(one, directory) !== undefined;
  // A mirror that debmirror keeps has none, although its Release says so; apt then takes the usual names.
  if (!isIn(tree) && (base === undefined || !isIn(base))) return;
  claim(by, suite, { ...file, path: posix.join(place, file.sum.hex) }, session);
}

/** A Release that readers have already gets no worse by a publication, and keeps none back. */
function checkAge(name: string, { fields }: Release, session: Session): void {
  const until = fields.get('valid-until');
  if (until === undefined) return;
  const time = Date.parse(until);
  if (Number.isNaN(time)) session.malformed(name, `Valid-Until: ${until}`);
  else if (time < session.options.now) {
    const found = `valid until ${new Date(time).toISOString()}`;
    if (isSameAsBefore(name, session)) session.notes.add(`${name} has expired: it was ${found}`);
    else session.findings.add(name, 'expired', 'a time to come in Valid-Until', found, name);
  }
}

function isSameAsBefore(name: string, { options: { base }, files }: Session): boolean {
  const path = base === undefined ? undefined : bytePath(base, name);
  const file = files.find(name);
  if (path === undefined || typeof file === 'string') return false;
  const before = lstatIfThere(path);
  if (!before?.isFile() || before.size !== file.stats.size) return false;
  return readFileSync(path).equals(readFileSync(file.path));
}

/** Says of each file that an index names what it is. */
async function readIndex(name: string, suite: string, session: Session): Promise<void> {
  const { content } = session.options;
  let top: string | undefined;
  const stanzas = new Stanzas(({ path, size, sum }) => {
    top ??= topOf(suite, path, session);
    const isRead = content || size === undefined;
    session.claim(top, path, { size, sum: isRead ? sum : undefined, by: name });
  });
  await session.readList(name, (text) => stanzas.add(text));
  stanzas.end();
}

/**
 * The directory that the names in an index are relative to: that above `dists`, or for an archive without, one
 * above the suite, which only its clients know.
 */
function topOf(suite: string, example: string, { files }: Session): string {
  const [, above = ''] = /^(.*?)(?:^|\/)dists(?:\/|$)/.exec(suite) ?? [];
  if (/(^|\/)dists(\/|$)/.test(suite)) return above === '' ? '.' : above;
  for (let directory = suite; ; directory = posix.dirname(directory)) {
    const name = nameIn(directory, example);
    if (name !== undefined && files.find(name) !== 'missing') return directory;
    if (directory === '.') return suite;
  }
}
