import { percentDecoded, percentEncoded } from '../percent.ts';

/** So many directories above the tree are told from the top of its site. */
const ABOVE = '/above'.repeat(64);

const SITE = 'http://tree.invalid';

/** Where a link of a page leads. */
export interface Link {
  /** `page`: into the tree, as seen from the page; `top`: from the top of a site, which only its server knows. */
  from: 'page' | 'top';
  /** One character per byte (latin1), without slashes at its ends; empty for the top itself. */
  path: string;
  isDirectory: boolean;
  /** What is behind the `#`. */
  fragment: string;
}

/**
 * Follows a link as clients do (WHATWG URL).
 *
 * @param href one character per byte (latin1).
 * @param directory that of the page in the tree, `.` for the top.
 * @param base what the page itself says that its links are relative to.
 * @returns undefined for what lies on another server, or beside the tree.
 */
export function follow(
  href: string,
  directory: string,
  base: string | undefined,
): Link | undefined {
  const below = directory === '.' ? '' : `${percentEncoded(directory, /[^\w./-]/g)}/`;
  const page = `${SITE}${ABOVE}/${below}`;
  const from = base === undefined ? page : urlOf(base, page)?.href;
  const url = from === undefined ? undefined : urlOf(href, from);
  if (url === undefined || url.origin !== SITE) return undefined;
  const isFromPage = url.pathname.startsWith(`${ABOVE}/`);
  if (!isFromPage && url.pathname.startsWith('/above/')) return undefined;
  const path = percentDecoded(isFromPage ? url.pathname.slice(ABOVE.length) : url.pathname);
  return {
    from: isFromPage ? 'page' : 'top',
    path: path.replaceAll(/^\/+|\/+$/g, ''),
    isDirectory: path.endsWith('/'),
    fragment: percentDecoded(url.hash.slice(1)),
  };
}

function urlOf(href: string, base: string): URL | undefined {
  const text = percentEncoded(href, /[\x80-\xff]/g);
  return URL.canParse(text, base) ? new URL(text, base) : undefined;
}
