import { parseRsyncOptions } from './options.ts';

/**
 * Options under which a list of the source's files says what a tree is to have: they choose all entries, and
 * keep their types, sizes and times.
 */
const FIT: ReadonlySet<string> = new Set([
  ...['archive', 'inc-recursive', 'i-r', 'links', 'hard-links', 'safe-links', 'insecure-links'],
  ...['perms', 'executability', 'chmod', 'acls', 'xattrs', 'owner', 'group', 'times', 'D'],
  ...['devices', 'specials', 'super', 'fake-super', 'numeric-ids', 'usermap', 'groupmap', 'chown'],
  ...['sparse', 'preallocate', 'whole-file', 'no-whole-file', 'block-size', 'fsync', 'fuzzy'],
  ...['open-noatime', 'modify-window', 'no-inc-recursive', 'no-i-r', 'no-perms', 'no-owner'],
  ...['no-group', 'no-acls', 'no-xattrs', 'no-sparse', 'no-fuzzy', 'checksum-choice', 'cc'],
  ...['checksum-seed', 'max-alloc', 'compress', 'compress-choice', 'zc', 'compress-level', 'zl'],
  ...['compress-threads', 'zt', 'skip-compress', 'no-compress', 'timeout', 'contimeout', 'bwlimit'],
  ...['rsh', 'rsync-path', 'address', 'port', 'sockopts', 'blocking-io', 'ipv4', 'ipv6', 'motd'],
  ...['password-file', 'early-input', 'protocol', 'old-args', 'secluded-args', 'protect-args'],
  ...['trust-sender', 'log-file', 'log-file-format', 'delete-excluded', 'implied-dirs'],
]);

/**
 * The first option under which a list of the source's files does not say what a tree is to have, such as a
 * filter rule; undefined if there is none.
 */
export function unlistable(options: readonly string[]): string | undefined {
  const unfit = parseRsyncOptions(options).named.find(({ name }) => !FIT.has(name));
  return unfit?.words[0]?.replace(/^(--[^=]*)=.*$/s, '$1');
}
