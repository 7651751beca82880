/**
 * What a path means for the runs of package managers:
 *
 * - `entry`: the document with which a run begins, and which names everything else by hash or version;
 * - `bound`: a document that belongs to the entry document of the same snapshot, or a listing;
 * - `content`: anything else, which an entry document has named.
 *
 * Entry and bound documents have the same names in every generation, so they never come from another
 * snapshot than the entry document before them.
 */
export type DocumentKind = 'entry' | 'bound' | 'content';

/** apt (deb-repository format), rpm-md, pacman, apk, npm and pip, by the name of the document. */
const ENTRIES =
  /^(InRelease|Release|repomd\.xml|.+\.db(\.tar\.\w+)?|APKINDEX\.tar\.gz|index\.(html|json)|packages\.json|index\.yaml)$/;

/** Their signatures, and the lists that have one name in all generations. */
const BOUND =
  /^(Release\.gpg|repomd\.xml\.(asc|key)|.+\.(db|files)(\.tar\.\w+)?\.sig|.+\.files(\.tar\.\w+)?|(Packages|Sources|Index)(\.\w+)?|Contents-.+|Translation-.+|ls-lR(\.\w+)?)$/;

/**
 * Classifies a path below a snapshot. A directory is a simple index of pip or a listing, and a name without
 * a dot is a packument of npm, or its like, unless apt fetches it by its hash.
 *
 * @param path decoded, as a latin1 or UTF-8 text; a trailing slash means a directory.
 */
export function documentKind(path: string): DocumentKind {
  const base = path.slice(path.lastIndexOf('/') + 1);
  if (base === '' || ENTRIES.test(base)) return 'entry';
  if (BOUND.test(base)) return 'bound';
  if (!base.includes('.') && !/(^|\/)by-hash\//.test(path)) return 'entry';
  return 'content';
}
