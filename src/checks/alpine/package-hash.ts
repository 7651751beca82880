import { createHash } from 'node:crypto';
import { type FoundFile, linesOf, Malformed, type TreeFiles } from '../tree-files.ts';
import { filesIn, type Part, partsIn } from './parts.ts';

/** The checksums of packages that an index of apk has: of what controls a package, which has that of its data. */
const PACKAGE_HASHES = ['apk-sha1', 'apk-sha256'] as const;

type PackageHash = (typeof PACKAGE_HASHES)[number];

export function isPackageHash(algorithm: string): algorithm is PackageHash {
  return PACKAGE_HASHES.some((one) => one === algorithm);
}

/** What takes a file piece by piece. */
export interface Hasher {
  update(chunk: Buffer): unknown;
  /** In hexadecimal digits, or in words if the file cannot be what any index means. */
  digest(encoding: 'hex'): string;
}

/** Hashes a package as apk does (apk-tools, `apk_sign_ctx_mpart_cb`). */
export async function packageHasher(
  algorithm: PackageHash,
  file: FoundFile,
  files: TreeFiles,
): Promise<Hasher> {
  let control: Part;
  let expected: string | undefined;
  try {
    control = controlOf(file, files);
    expected = await dataHashIn(control);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { update: () => {}, digest: () => `none: ${error.message}` };
  }
  const head = files.startOf(file, control.end).subarray(control.start);
  const hex = createHash(algorithm.slice('apk-'.length)).update(head).digest('hex');
  const data = createHash('sha256');
  let position = 0;
  return {
    update(chunk) {
      data.update(chunk.subarray(Math.max(0, control.end - position)));
      position += chunk.length;
    },
    digest() {
      const isRight = expected === undefined || expected === data.digest('hex');
      return isRight ? hex : `${hex}, but with other data than it names`;
    },
  };
}

/** How much is read to find what controls a package, and the most of it; bytes. */
const FIRST_HEAD = 64 * 1024;
const LONGEST_HEAD = 4 * 1024 ** 2;

function controlOf(file: FoundFile, files: TreeFiles): Part {
  for (let length = FIRST_HEAD; length <= LONGEST_HEAD; length *= 4) {
    const head = files.startOf(file, length);
    const control = partsIn(head).find(({ isSignature }) => !isSignature);
    if (control !== undefined) return control;
    if (head.length < length) break;
  }
  throw new Malformed('no control part');
}

/** The sum that a package has of its data; undefined for none, as in packages of version 1. */
async function dataHashIn(control: Part): Promise<string | undefined> {
  let hash: string | undefined;
  for await (const member of filesIn(control)) {
    if (member.name !== '.PKGINFO') continue;
    for await (const lines of linesOf(member.content))
      for (const line of lines)
        hash = /^datahash = ([0-9a-fA-F]{64})$/.exec(line)?.[1]?.toLowerCase() ?? hash;
  }
  return hash;
}
