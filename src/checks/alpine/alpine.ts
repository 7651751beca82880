import { posix } from 'node:path';
import { type Checksum, checksumOf, nameIn } from '../claims.ts';
import { A_FILE } from '../finding.ts';
import type { Kind } from '../kind.ts';
import type { Session } from '../session.ts';
import { membersOf } from '../tar.ts';
import { type FoundFile, linesOf, Malformed } from '../tree-files.ts';
import { faultOfIndex } from './index-signature.ts';

const INDEX = 'APKINDEX.tar.gz';

/** Repositories of apk, as `apk index` makes them (https://wiki.alpinelinux.org/wiki/Apk_spec). */
export const alpine: Kind = {
  name: 'alpine',
  what: INDEX,
  patterns: [INDEX],
  begins: () => true,
  async read(beginnings, session) {
    let indexes = 0;
    for (const name of beginnings) {
      await readIndex(name, session);
      session.heads.add('alpine', name);
      indexes += 1;
    }
    return indexes;
  },
};

async function readIndex(name: string, session: Session): Promise<void> {
  const { files, options } = session;
  const file = files.find(name);
  if (typeof file === 'string') {
    session.findings.add(name, file, A_FILE, 'something else');
    return;
  }
  if (files.startOf(file, 3).toString('latin1') === 'ADB') {
    session.notes.add(`${name} is an index of apk 3, which is not read`);
    return;
  }
  try {
    await checkSignature(name, file, session);
    let isIndex = false;
    const members = membersOf(files.contentOf(name, file), { isOpen: true });
    for await (const { name: path, content } of members) {
      if (path !== 'APKINDEX') continue;
      isIndex = true;
      let stanza: Stanza = {};
      for await (const lines of linesOf(content)) {
        options.signal.throwIfAborted();
        for (const line of lines) {
          if (line !== '') stanza = { ...stanza, ...fieldIn(line) };
          else {
            claimPackage(stanza, name, session);
            stanza = {};
          }
        }
      }
      claimPackage(stanza, name, session);
    }
    if (!isIndex) throw new Malformed('it has no APKINDEX');
  } catch (error) {
    session.unreadable(name, error);
  }
}

/** What the index says of a package: its name, version, architecture, size and checksum. */
type Stanza = Partial<Record<'P' | 'V' | 'A' | 'S' | 'C', string>>;

function fieldIn(line: string): Stanza {
  const [, letter, value] = /^([PVASC]):(.*)$/s.exec(line) ?? [];
  return letter === undefined ? {} : { [letter]: value };
}

function claimPackage(stanza: Stanza, by: string, session: Session): void {
  const { P: name, V: version, A: arch = '', S: size = '', C: sum = '' } = stanza;
  if (Object.keys(stanza).length === 0) return;
  if (!name || !version || /[/\0]/.test(name + version)) {
    session.malformed(by, `it names ${JSON.stringify(name)}, ${JSON.stringify(version)}`);
    return;
  }
  const isSized = /^\d{1,15}$/.test(size);
  const checksum = checksumIn(sum);
  if (checksum === undefined)
    session.notes.add(`${by} has checksums of a kind that is not known: only sizes are compared`);
  session.claim('.', placeOf(`${name}-${version}.apk`, arch, by, session), {
    size: isSized ? Number(size) : undefined,
    sum: session.options.content || !isSized ? checksum : undefined,
    by,
  });
}

/**
 * Beside the index, unless one was made without `--rewrite-arch`: then apk looks for a package in the directory of
 * its own architecture.
 */
function placeOf(file: string, arch: string, by: string, { files }: Session): string {
  const directory = posix.dirname(by);
  const beside = posix.join(directory, file);
  if (arch === posix.basename(directory) || !/^\w+$/.test(arch)) return beside;
  const own = nameIn(directory, `../${arch}/${file}`);
  return own !== undefined && !files.isThere(beside) && files.isThere(own) ? own : beside;
}

/** `Q1` and base64, or `X1` and hexadecimal digits; the length tells the kind (apk-tools, `apk_blob_pull_digest`). */
function checksumIn(text: string): Checksum | undefined {
  const bytes = Buffer.from(text.slice(2), text.startsWith('X') ? 'hex' : 'base64');
  const algorithm = ({ 20: 'apk-sha1', 32: 'apk-sha256' } as const)[bytes.length];
  return /^[QX][12]/.test(text) && algorithm !== undefined
    ? checksumOf(algorithm, bytes.toString('hex'))
    : undefined;
}

async function checkSignature(name: string, file: FoundFile, session: Session): Promise<void> {
  if (!session.wantsSignatures) return;
  const fault = await faultOfIndex(file, session);
  const expected = 'a signature by a key of the keyring';
  if (fault !== undefined) session.findings.add(name, 'signature', expected, fault, name);
}
