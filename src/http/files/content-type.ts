/** Files of repositories that a person reads, and that have no extension. */
const TEXT_NAMES =
  /^(InRelease|Release|Packages|Sources|README|COPYING|LICEN[CS]E|CHANGELOG|[A-Z0-9]+SUMS?|\.treeinfo|ls-lR)$/i;

/** What a person reads, too, and a table of types does not know, or knows as something else. */
const TEXT_EXTENSIONS =
  /\.(changes|conf|diff|dsc|md5|metadata|patch|repo|sha1|sha256|sha512|sums?)$/i;

const TEXT = 'text/plain; charset=utf-8';

/**
 * The Content-Type of a file that a table by extension misses, or undefined. Most indexes of
 * repositories have no extension, and a browser would save them instead of showing them.
 *
 * @param name the last part of the path.
 */
export function specialContentType(name: string): string | undefined {
  if (TEXT_NAMES.test(name) || TEXT_EXTENSIONS.test(name)) return TEXT;
  return /\.zst$/i.test(name) ? 'application/zstd' : undefined;
}
