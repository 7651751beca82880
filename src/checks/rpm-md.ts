import { posix } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { type Checksum, checksumOf } from './claims.ts';
import { attributeOf, elementsIn } from './elements.ts';
import type { Kind } from './kind.ts';
import type { Session } from './session.ts';
import { faultOfSignature } from './signature.ts';
import { Malformed } from './tree-files.ts';

/** Repositories of RPM packages, as dnf and zypper read them (createrepo_c(8)). */
export const rpmMd: Kind = {
  name: 'rpm-md',
  what: 'repodata/repomd.xml',
  patterns: ['repomd.xml', '*primary.xml', '*primary.xml.*'],
  begins: (name) => /(^|\/)repodata\/[^/]+$/.test(name),
  async read(beginnings, session) {
    const tops = new Set([...beginnings].map((name) => posix.dirname(posix.dirname(name))));
    for (const top of tops) await readRepository(top, session);
    return tops.size;
  },
};

async function readRepository(top: string, session: Session): Promise<void> {
  const name = posix.join(top, 'repodata/repomd.xml');
  const lines = await session.readHead(name);
  if (lines.length === 0) {
    const file = session.files.find(name);
    // What else keeps it from being read is a finding already.
    if (typeof file === 'object' && file.stats.size === 0n) session.malformed(name, 'it is empty');
    return;
  }
  const text = lines.join('\n');
  session.heads.add('rpm-md', name);
  const isCutOff = !text.trimEnd().endsWith('</repomd>');
  if (isCutOff) session.malformed(name, 'it is cut off');
  await checkSignature(name, session);
  const lists = new Map<string, string>();
  for (const list of elementsIn(text, 'data')) {
    const type = attributeOf(list, 'type') ?? '';
    const place = placeIn(list.body);
    const [checksum] = elementsIn(list.body, 'checksum');
    const [size] = elementsIn(list.body, 'size');
    const sum = checksum && checksumOf(attributeOf(checksum, 'type') ?? '', checksum.body.trim());
    if (place === undefined || sum === undefined) session.malformed(name, `its list ${type}`);
    else if (!place.isElsewhere) {
      const { href } = place;
      session.claim(top, href, { size: sizeIn(size?.body), sum, by: name });
      if (!lists.has(type)) lists.set(type, posix.join(top, href));
    }
  }
  const primary = lists.get('primary');
  const zchunk = lists.get('primary_zck');
  if (primary !== undefined) await readPackages(primary, top, session);
  else if (zchunk !== undefined) await readZchunk(zchunk, top, name, session);
  else if (!isCutOff) session.malformed(name, 'it names no list of packages');
}

/** Few machines have a program for zchunk, and few repositories nothing else. */
async function readZchunk(list: string, top: string, name: string, session: Session) {
  try {
    await readPackages(list, top, session);
  } catch (error) {
    if (!(error instanceof MirrorlatchError && error.code === 'UNAVAILABLE')) throw error;
    session.notes.add(
      `${name} names its packages in a list of zchunk alone, which is not read: unzck is not installed`,
    );
  }
}

async function checkSignature(name: string, session: Session): Promise<void> {
  if (!session.wantsSignatures) return;
  const beside = `${name}.asc`;
  const [file, signature] = [session.files.find(name), session.files.find(beside)];
  if (typeof file === 'string') return;
  const expected = 'a signature by a key of the keyring';
  const fault =
    typeof signature === 'string'
      ? `${signature === 'missing' ? 'no' : 'an unfit'} repomd.xml.asc`
      : await faultOfSignature([signature, file], session);
  if (fault !== undefined) session.findings.add(name, 'signature', expected, fault, name);
}

const END = '</package>';

/** All that a package provides and requires is in it, and some of its files; characters. */
const LONGEST_PACKAGE = 8 * 1024 ** 2;

/** Says of each package that the list of a repository names what it is. */
async function readPackages(name: string, top: string, session: Session): Promise<void> {
  if (!session.files.isThere(name)) return;
  let begun: string[] = [];
  let length = 0;
  const isWhole = await session.readList(name, (text) => {
    const [first = '', ...others] = text.split(END);
    begun.push(first);
    length += first.length + 1;
    for (const next of others) {
      readPackage(begun.join('\n'), name, top, session);
      begun = [next];
      length = next.length + 1;
    }
    if (length > LONGEST_PACKAGE) throw new Malformed('it has a package of more than 8 MiB');
  });
  const isCutOff = isWhole && !begun.some((text) => text.includes('</metadata>'));
  if (isCutOff) session.findings.doubt(name, 'it is cut off');
}

function readPackage(text: string, name: string, top: string, session: Session): void {
  const place = placeIn(text);
  if (place === undefined) {
    session.findings.doubt(name, 'it has a package without a place');
    return;
  }
  if (place.isElsewhere) return;
  const [sized] = elementsIn(text, 'size');
  const size = sizeIn(sized && attributeOf(sized, 'package'));
  const isRead = session.options.content || size === undefined;
  session.claim(top, place.href, { size, sum: isRead ? sumOfPackage(text) : undefined, by: name });
}

function sumOfPackage(text: string): Checksum | undefined {
  for (const checksum of elementsIn(text, 'checksum'))
    if (attributeOf(checksum, 'pkgid') === 'YES')
      return checksumOf(attributeOf(checksum, 'type') ?? '', checksum.body.trim());
  return undefined;
}

/** Where a list or a package lies: in the repository, or on another server. */
function placeIn(text: string): { href: string; isElsewhere: boolean } | undefined {
  const [location] = elementsIn(text, 'location');
  const href = location && attributeOf(location, 'href');
  if (location === undefined || href === undefined) return undefined;
  return { href, isElsewhere: attributeOf(location, 'xml:base') !== undefined };
}

function sizeIn(digits: string | undefined): number | undefined {
  return /^\d+$/.test(digits ?? '') ? Number(digits) : undefined;
}
