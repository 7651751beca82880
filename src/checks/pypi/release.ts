import { bestOf, type Checksum } from '../claims.ts';
import { entryOf } from '../json.ts';
import type { Link } from './links.ts';

/** What a page says of one file of a release. */
export interface ReleaseFile {
  link: Link;
  /** bytes */
  size: number | undefined;
  sum: Checksum | undefined;
  /** That of its metadata, which lie beside it; undefined if there are none, `unknown` without a checksum. */
  metadata: Checksum | 'unknown' | undefined;
}

/** What the pages of an index are read for. */
export interface OnPage {
  file(file: ReleaseFile): void;
  /** @param name that of a directory beside the page, or one that is to be normalized. */
  project(name: string): void;
}

/** `sha256=HEX`, as in the fragment of a link. */
export function sumIn(text: string): Checksum | undefined {
  const [, algorithm = '', hex = ''] = /^([\w-]+)=([0-9a-fA-F]+)$/.exec(text) ?? [];
  return bestOf([[algorithm, hex]]);
}

/** Of the attributes `data-core-metadata` (PEP 714) and `data-dist-info-metadata` (PEP 658). */
export function metadataIn(attribute: string | undefined): ReleaseFile['metadata'] {
  if (attribute === undefined || attribute === 'false') return undefined;
  return sumIn(attribute) ?? 'unknown';
}

/** Of the entry `core-metadata` in JSON: whether there are any, or their hashes. */
export function metadataOf(entry: unknown): ReleaseFile['metadata'] {
  if (entry === undefined || entry === null || entry === false) return undefined;
  return sumOf(entry) ?? 'unknown';
}

/** The best of some hashes in JSON. */
export function sumOf(hashes: unknown): Checksum | undefined {
  if (typeof hashes !== 'object' || hashes === null) return undefined;
  return bestOf(
    Object.keys(hashes).flatMap((name) => {
      const hex = entryOf(hashes, name);
      return typeof hex === 'string' ? [[name, hex] as const] : [];
    }),
  );
}
