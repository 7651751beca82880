import { fromLatin1, inLatin1 } from './latin1.ts';
import { percentDecoded, percentEncoded } from './percent.ts';

/**
 * The id of a tree that another program keeps: its path, in characters that are safe in a URL, a header and a log line, and
 * so that no two trees share one. Below the root, `releases/2026` is `releases~2026`; elsewhere, `/srv/2026` is `~srv~2026`.
 * Other bytes are `+` and two hexadecimal digits. The second tree that lies at a path is `releases~2026~~2`.
 *
 * @param root absolute and real, as `tree`.
 * @param turn the how manieth tree at its path it is.
 */
export function idOfTree(root: string, tree: string, turn = 1): string {
  const path = tree.startsWith(`${root}/`) ? tree.slice(root.length + 1) : tree;
  const id = percentEncoded(inLatin1(path), UNSAFE).replaceAll('%', '+').replaceAll('/', '~');
  return turn === 1 ? id : `${id}~~${turn}`;
}

const UNSAFE = /[^A-Za-z0-9._/-]/g;

/** The path of the tree of an id. Of another text, it is any path. */
export function treeOfId(root: string, id: string): string {
  const encoded = id
    .replace(/~~\d+$/, '')
    .replaceAll('~', '/')
    .replaceAll('+', '%');
  const path = fromLatin1(percentDecoded(encoded));
  return path.startsWith('/') ? path : `${root}/${path}`;
}
