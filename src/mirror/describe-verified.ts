import type { Verified } from './history/history-index.ts';

/** `whole, content included` or `12 entries are damaged` */
export function describeVerified({ damaged, content }: Verified): string {
  if (damaged > 0) return damaged === 1 ? '1 entry is damaged' : `${damaged} entries are damaged`;
  return content ? 'whole, content included' : 'whole, but its content was not read';
}
