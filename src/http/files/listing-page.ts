import { createHash } from 'node:crypto';
import { showBytes } from '../../mirror/units.ts';
import { percentDecoded, percentEncoded } from '../percent.ts';

/** An entry of a directory, as a listing shows it. */
export interface Row {
  /** One character per byte (latin1), without a slash. */
  readonly name: string;
  /** `other` cannot be fetched: a symlink that leads nowhere or out of the snapshot, a fifo, a device. */
  readonly kind: 'directory' | 'file' | 'other';
  readonly bytes: bigint;
  /** Undefined if it cannot be known. */
  readonly modified: Date | undefined;
}

/** The heads of the columns after the name. */
const COLUMNS = ['Modified (UTC)', 'Size'] as const;

const STYLE = `:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.25rem;overflow-wrap:anywhere}
table{width:100%;border-collapse:collapse}
th{text-align:left;border-bottom:1px solid GrayText}
td,th{padding:.1rem 1rem .1rem 0;vertical-align:top}
td:first-child{overflow-wrap:anywhere}
td+td,th+th{white-space:nowrap;font-variant-numeric:tabular-nums}
td:last-child,th:last-child{text-align:right;padding-right:0}
a{text-decoration:none}a:hover,a:focus{text-decoration:underline}
tbody tr:hover{background:color-mix(in srgb,currentColor 8%,transparent)}
@media(max-width:32rem){td:nth-child(2),th:nth-child(2){display:none}}`;

/** Lets the page load nothing, not even what a name in it might ask for, and no style but its own. */
export const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;

/**
 * @param url the path of the directory, percent-encoded.
 * @param isTop whether nothing above it belongs to the mirror.
 */
export function pageHead(
  url: string,
  isTop: boolean,
  [second, third]: readonly [string, string] = COLUMNS,
): string {
  const title = `Index of ${shown(Buffer.from(percentDecoded(url), 'latin1'))}`;
  const parent = isTop ? '' : '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n';
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${title}</h1>
<table>
<thead><tr><th>Name</th><th>${second}</th><th>${third}</th></tr></thead>
<tbody>
${parent}`;
}

export const PAGE_END = '</tbody>\n</table>\n</body>\n</html>\n';

/** One line for each entry. Those that cannot be fetched are no links, so wget -r passes them by. */
export function pageRow({ name, kind, bytes, modified }: Row): string {
  const size =
    kind === 'file' ? `<td title="${bytes} bytes">${showBytes(bytes)}</td>` : '<td></td>';
  return lineOf(name, kind, modified, size);
}

/** The line of an entry that is no file of a snapshot. @param note text for the last column. */
export function rowWithNote(
  name: string,
  kind: 'directory' | 'file',
  time: Date | undefined,
  note: string,
): string {
  return lineOf(name, kind, time, `<td>${shown(Buffer.from(note))}</td>`);
}

function lineOf(name: string, kind: Row['kind'], time: Date | undefined, last: string): string {
  const slash = kind === 'directory' ? '/' : '';
  const label = `${shown(Buffer.from(name, 'latin1'))}${slash}`;
  const entry =
    kind === 'other' ? label : `<a href="${percentEncoded(name, UNSAFE)}${slash}">${label}</a>`;
  return `<tr><td>${entry}</td><td>${shownTime(time)}</td>${last}</tr>\n`;
}

/** To the minute. A filesystem may hold times that no Date can. */
function shownTime(time: Date | undefined): string {
  if (time === undefined || Number.isNaN(time.getTime())) return '';
  return time.toISOString().replace(/T(\d\d:\d\d).*/, ' $1');
}

/** In a relative reference to a name no byte may look like a scheme, a slash, a query or an escape. */
const UNSAFE = /[^A-Za-z0-9._~+@=,-]/g;

/** Bytes as a person reads them; what is not UTF-8, or would not be seen, becomes a replacement character. */
function shown(name: Buffer): string {
  return name
    .toString('utf8')
    .replace(/\p{Cc}|\p{Cf}/gu, '\u{fffd}')
    .replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
