import { posix } from 'node:path';

/** As clients ask for a project (PEP 503, normalized names). */
export function normalized(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-');
}

/** What has been uploaded as a release of a project; of the last ones there are old ones only. */
const RELEASE =
  /\.(whl|egg|zip|tgz|tbz|txz|tlz|tar|tar\.(gz|bz2|xz|lz|lzma|Z)|exe|msi|rpm|deb|dmg)$/i;

export function isRelease(file: string): boolean {
  return RELEASE.test(file);
}

export function isReleaseOf(project: string, file: string): boolean {
  return isRelease(file) && normalized(file).startsWith(`${normalized(project)}-`);
}

/** The usual name of the directory of an index. */
const SIMPLE = 'simple';

export function isSimple(directory: string): boolean {
  return posix.basename(directory) === SIMPLE;
}

/** The directory of the index that a project's page belongs to: `simple` of `simple/six`, or of `simple/s/six`. */
export function indexOf(directory: string): string {
  const above = posix.dirname(directory);
  const beyond = posix.dirname(above);
  const isInitial = posix.basename(directory).startsWith(posix.basename(above));
  return posix.basename(above).length === 1 && isInitial && isSimple(beyond) ? beyond : above;
}

/** Where a page of a project may lie in the directory of an index. bandersnatch can sort them by initials (`hash-index`). */
export function placesOf(project: string): string[] {
  const names = [...new Set([project, normalized(project)])];
  return names.flatMap((name) => [name, `${name.slice(0, 1)}/${name}`]);
}
