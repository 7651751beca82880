import { bestOf, type Checksum } from '../claims.ts';
import { entryOf, latin1, readJson } from '../json.ts';
import { percentDecoded } from '../percent.ts';
import { Malformed } from '../tree-files.ts';

/** One version of a package in a registry. */
export interface Version {
  /** The path of its tarball in the URL, without the slash before it; one character per byte (latin1). */
  path: string;
  sum: Checksum | undefined;
}

/** What the document of a package is, which a registry has for each: its name and all its versions. */
export class Packument {
  name: string | undefined;
  /** The first versions, by which the place of all is found. */
  readonly first: Version[] = [];
  /** Verdaccio keeps what it knows of its sources beside the versions. */
  isOfVerdaccio = false;
  /** The tarballs that Verdaccio has itself. */
  readonly kept = new Set<string>();

  /** Other files of the same name describe one version. */
  get isOne(): boolean {
    return this.name !== undefined && this.first.length > 0;
  }

  /** What a document lacks that is none of those other files, as damage can leave it; undefined if nothing. */
  get lack(): string | undefined {
    if (this.isOne) return undefined;
    if (this.first.length > 0) return 'it names no package';
    return this.kept.size > 0 ? 'it has tarballs, but no versions' : undefined;
  }

  /** @throws Malformed */
  async read(content: AsyncIterable<Buffer>): Promise<void> {
    const paths = ['$.name', '$.versions.*.dist', '$._distfiles', '$._attachments.*'];
    let length = 0;
    await readJson(content, paths, ([key, file = ''], value) => {
      if (key === 'name' && typeof value === 'string') this.name = latin1(value);
      else if (key === 'versions' && this.first.length < FEW) this.first.push(...versionOf(value));
      else if (key === '_distfiles') this.isOfVerdaccio = true;
      else if (key === '_attachments') {
        this.kept.add(latin1(file));
        length += file.length;
        if (length > LONGEST_ATTACHMENTS)
          throw new Malformed('it has more than 1 MiB of names in _attachments');
      }
    });
  }
}

const FEW = 20;

/** A tarball for each version: as many as of no package; characters. */
const LONGEST_ATTACHMENTS = 1024 ** 2;

/** @throws Malformed */
export async function readVersions(
  content: AsyncIterable<Buffer>,
  onVersion: (version: Version) => void,
): Promise<void> {
  await readJson(content, ['$.versions.*.dist'], (_, value) => {
    versionOf(value).forEach(onVersion);
  });
}

function versionOf(dist: unknown): Version[] {
  const [url, integrity, shasum] = ['tarball', 'integrity', 'shasum'].map((key) =>
    entryOf(dist, key),
  );
  if (typeof url !== 'string' || !URL.canParse(url, SITE)) return [];
  const path = percentDecoded(new URL(url, SITE).pathname).replaceAll(/^\/+/g, '');
  const sums = typeof integrity === 'string' ? sumsIn(integrity) : [];
  if (typeof shasum === 'string') sums.push(['sha1', shasum]);
  return path === '' || path.endsWith('/') ? [] : [{ path, sum: bestOf(sums) }];
}

/** Where a tarball lies that has no more than a path. */
const SITE = 'http://tree.invalid';

/** `sha512-BASE64`, maybe several, maybe with options (W3C Subresource Integrity, the integrity attribute). */
function sumsIn(integrity: string): [algorithm: string, hex: string][] {
  return integrity.split(/\s+/).map((one) => {
    const [, algorithm = '', base64 = ''] = /^(\w+)-([^?]*)/.exec(one) ?? [];
    return [algorithm, Buffer.from(base64, 'base64').toString('hex')];
  });
}
