/**
 * What one of rsync's options means for a snapshot that is made beside the old one:
 * - `plan`: it chooses or transforms entries one by one, so a list of entries can be applied alone;
 * - `whole`: no list of entries can carry it, so rsync must see the whole tree; the text says why;
 * - `said`: mirrorlatch already does the same, so it is not passed on;
 * - `leftOut`: a mirror does not need it, so it is not passed on; the text says why;
 * - `refused`: it would break an invariant; the text says why and what to use instead.
 */
export type Meaning = Use | { refused: string };

/** That of an option that can be used. */
export type Use = 'plan' | 'said' | { whole: string } | { leftOut: string };

export interface Option {
  long?: string;
  short?: string;
  takesValue?: true;
  meaning: Meaning;
}

function because(refused: string): Meaning {
  return { refused };
}

function since(leftOut: string): Meaning {
  return { leftOut };
}

function wholeFor(whole: string): Meaning {
  return { whole };
}

const OUTPUT = since('what rsync prints goes to the log, see also --dry-run, --quiet and --json');
const INVISIBLE = since('readers see nothing of a new tree before it is whole');
const PARTIAL = since('what was transferred is kept for the next sync anyway');

const ONE_LEVEL = wholeFor('a list of entries names directories without what is in them anyway');

const IN_PLACE = because(
  'it writes into files that published snapshots share. Leave it out: staging is private already.',
);
const OTHER_DESTINATION = because(
  'mirrorlatch chooses what a snapshot is linked or copied from. See --strategy and --clone.',
);
const LOOKS_AT_TARGET = because(
  'a snapshot is a new tree, so nothing in the target may decide what is copied. Use --exclude, --max-size or --min-size.',
);
const BATCH = because('a batch has no tree to check. Sync without it.');
const LIST = because('a mirror is a whole tree. Choose entries with --include and --exclude.');
const BACKUP = because('every earlier snapshot is the backup. See --keep-last and --keep-within.');
const NOT_A_SYNC = because('it makes rsync do something other than a sync. Call rsync itself.');

/** Every option of rsync 3.5 (rsync(1), OPTION SUMMARY). */
export const OPTIONS: readonly Option[] = [
  { long: 'verbose', short: 'v', meaning: OUTPUT },
  { long: 'info', takesValue: true, meaning: OUTPUT },
  { long: 'debug', takesValue: true, meaning: OUTPUT },
  { long: 'stderr', takesValue: true, meaning: OUTPUT },
  { long: 'quiet', short: 'q', meaning: OUTPUT },
  { long: 'motd', meaning: 'plan' },
  { long: 'checksum', short: 'c', meaning: 'plan' },
  { long: 'archive', short: 'a', meaning: 'plan' },
  { long: 'recursive', short: 'r', meaning: 'said' },
  { long: 'no-recursive', meaning: ONE_LEVEL },
  { long: 'no-r', meaning: ONE_LEVEL },
  { long: 'inc-recursive', meaning: 'plan' },
  { long: 'i-r', meaning: 'plan' },
  {
    long: 'relative',
    short: 'R',
    meaning: because(
      "a mirror has one source, whose content it is; -R would put that below the source's own path. Mirror the directory above it as the source, and choose with --include and --exclude.",
    ),
  },
  { long: 'implied-dirs', meaning: 'plan' },
  { long: 'backup', short: 'b', meaning: BACKUP },
  { long: 'backup-dir', takesValue: true, meaning: BACKUP },
  { long: 'suffix', takesValue: true, meaning: BACKUP },
  {
    long: 'update',
    short: 'u',
    meaning: since(
      'a snapshot has what its source has, even if the snapshot before has a newer file',
    ),
  },
  { long: 'inplace', meaning: IN_PLACE },
  { long: 'append', meaning: IN_PLACE },
  { long: 'append-verify', meaning: IN_PLACE },
  { long: 'dirs', short: 'd', meaning: ONE_LEVEL },
  { long: 'old-dirs', meaning: ONE_LEVEL },
  { long: 'old-d', meaning: ONE_LEVEL },
  { long: 'mkpath', meaning: 'said' },
  { long: 'links', short: 'l', meaning: 'plan' },
  { long: 'copy-links', short: 'L', meaning: 'plan' },
  { long: 'copy-unsafe-links', meaning: 'plan' },
  { long: 'safe-links', meaning: 'plan' },
  { long: 'insecure-links', meaning: 'plan' },
  { long: 'confine-root', takesValue: true, meaning: 'plan' },
  { long: 'munge-links', meaning: 'plan' },
  { long: 'copy-dirlinks', short: 'k', meaning: 'plan' },
  {
    long: 'keep-dirlinks',
    short: 'K',
    meaning: because('it writes through symlinks that the source controls. Use -k or -L.'),
  },
  { long: 'hard-links', short: 'H', meaning: 'plan' },
  { long: 'perms', short: 'p', meaning: 'plan' },
  { long: 'executability', short: 'E', meaning: 'plan' },
  { long: 'chmod', takesValue: true, meaning: 'plan' },
  { long: 'acls', short: 'A', meaning: 'plan' },
  { long: 'xattrs', short: 'X', meaning: 'plan' },
  { long: 'owner', short: 'o', meaning: 'plan' },
  { long: 'group', short: 'g', meaning: 'plan' },
  { long: 'devices', meaning: 'plan' },
  {
    long: 'copy-devices',
    meaning: wholeFor('a device has no size or time that tells of a change'),
  },
  { long: 'write-devices', meaning: IN_PLACE },
  { long: 'specials', meaning: 'plan' },
  { long: 'drop-D', meaning: 'plan' },
  { short: 'D', meaning: 'plan' },
  { long: 'times', short: 't', meaning: 'plan' },
  {
    long: 'atimes',
    short: 'U',
    meaning: wholeFor('to read a file changes that time at the source'),
  },
  { long: 'open-noatime', meaning: 'plan' },
  {
    long: 'crtimes',
    short: 'N',
    meaning: wholeFor('what a snapshot shares was made in another one'),
  },
  { long: 'omit-dir-times', short: 'O', meaning: 'plan' },
  { long: 'omit-link-times', short: 'J', meaning: 'plan' },
  { long: 'super', meaning: 'plan' },
  { long: 'fake-super', meaning: 'plan' },
  { long: 'sparse', short: 'S', meaning: 'plan' },
  { long: 'preallocate', meaning: 'plan' },
  {
    long: 'dry-run',
    short: 'n',
    meaning: because('a sync has its own: mirrorlatch sync --dry-run'),
  },
  { long: 'whole-file', short: 'W', meaning: 'plan' },
  { long: 'checksum-choice', takesValue: true, meaning: 'plan' },
  { long: 'cc', takesValue: true, meaning: 'plan' },
  { long: 'one-file-system', short: 'x', meaning: 'plan' },
  { long: 'block-size', short: 'B', takesValue: true, meaning: 'plan' },
  { long: 'rsh', short: 'e', takesValue: true, meaning: 'plan' },
  { long: 'rsync-path', takesValue: true, meaning: 'plan' },
  { long: 'existing', meaning: LOOKS_AT_TARGET },
  { long: 'ignore-non-existing', meaning: LOOKS_AT_TARGET },
  { long: 'ignore-existing', meaning: LOOKS_AT_TARGET },
  {
    long: 'remove-source-files',
    meaning: because(
      'a mirror must not empty its source, least of all before it is published. Leave it out.',
    ),
  },
  { long: 'del', meaning: 'said' },
  { long: 'delete', meaning: 'said' },
  { long: 'delete-before', meaning: INVISIBLE },
  { long: 'delete-during', meaning: INVISIBLE },
  { long: 'delete-delay', meaning: INVISIBLE },
  { long: 'delete-after', meaning: INVISIBLE },
  { long: 'delete-excluded', meaning: 'plan' },
  { long: 'no-delete', meaning: because('a sync has its own: mirrorlatch sync --without delete') },
  {
    long: 'ignore-missing-args',
    meaning: because('a missing source must never pass for an empty one. Leave it out.'),
  },
  {
    long: 'delete-missing-args',
    meaning: because('a missing source must never pass for an empty one. Leave it out.'),
  },
  {
    long: 'ignore-errors',
    meaning: because('an entry that cannot be read must never count as deleted. Leave it out.'),
  },
  { long: 'force', meaning: 'said' },
  {
    long: 'max-delete',
    takesValue: true,
    meaning: since('it is a limit of the shrink guard: if more files vanish, nothing is published'),
  },
  { long: 'max-size', takesValue: true, meaning: 'plan' },
  { long: 'min-size', takesValue: true, meaning: 'plan' },
  { long: 'max-alloc', takesValue: true, meaning: 'plan' },
  { long: 'partial', meaning: PARTIAL },
  { long: 'partial-dir', takesValue: true, meaning: PARTIAL },
  { long: 'delay-updates', meaning: INVISIBLE },
  { long: 'prune-empty-dirs', short: 'm', meaning: 'plan' },
  { long: 'numeric-ids', meaning: 'plan' },
  { long: 'usermap', takesValue: true, meaning: 'plan' },
  { long: 'groupmap', takesValue: true, meaning: 'plan' },
  { long: 'chown', takesValue: true, meaning: 'plan' },
  { long: 'timeout', takesValue: true, meaning: 'plan' },
  { long: 'contimeout', takesValue: true, meaning: 'plan' },
  { long: 'ignore-times', short: 'I', meaning: 'plan' },
  { long: 'size-only', meaning: 'plan' },
  { long: 'modify-window', short: '@', takesValue: true, meaning: 'plan' },
  { long: 'temp-dir', short: 'T', takesValue: true, meaning: INVISIBLE },
  { long: 'fuzzy', short: 'y', meaning: 'plan' },
  { long: 'compare-dest', takesValue: true, meaning: OTHER_DESTINATION },
  { long: 'copy-dest', takesValue: true, meaning: OTHER_DESTINATION },
  { long: 'link-dest', takesValue: true, meaning: OTHER_DESTINATION },
  { long: 'compress', short: 'z', meaning: 'plan' },
  { long: 'compress-choice', takesValue: true, meaning: 'plan' },
  { long: 'zc', takesValue: true, meaning: 'plan' },
  { long: 'compress-level', takesValue: true, meaning: 'plan' },
  { long: 'zl', takesValue: true, meaning: 'plan' },
  { long: 'compress-threads', takesValue: true, meaning: 'plan' },
  { long: 'zt', takesValue: true, meaning: 'plan' },
  { long: 'skip-compress', takesValue: true, meaning: 'plan' },
  { long: 'cvs-exclude', short: 'C', meaning: 'plan' },
  { long: 'filter', short: 'f', takesValue: true, meaning: 'plan' },
  { short: 'F', meaning: 'plan' },
  { long: 'exclude', takesValue: true, meaning: 'plan' },
  { long: 'exclude-from', takesValue: true, meaning: 'plan' },
  { long: 'include', takesValue: true, meaning: 'plan' },
  { long: 'include-from', takesValue: true, meaning: 'plan' },
  { long: 'files-from', takesValue: true, meaning: LIST },
  { long: 'from0', short: '0', meaning: LIST },
  { long: 'old-args', meaning: 'plan' },
  { long: 'secluded-args', short: 's', meaning: 'plan' },
  { long: 'protect-args', meaning: 'plan' },
  { long: 'trust-sender', meaning: 'plan' },
  {
    long: 'copy-as',
    takesValue: true,
    meaning: because(
      'that user could not enter the staging of the mirror. Run the sync itself as that user, or set owners with --chown.',
    ),
  },
  { long: 'address', takesValue: true, meaning: 'plan' },
  { long: 'port', takesValue: true, meaning: 'plan' },
  { long: 'sockopts', takesValue: true, meaning: 'plan' },
  { long: 'blocking-io', meaning: 'plan' },
  { long: 'outbuf', takesValue: true, meaning: OUTPUT },
  { long: 'stats', meaning: OUTPUT },
  { long: '8-bit-output', short: '8', meaning: OUTPUT },
  { long: 'human-readable', short: 'h', meaning: OUTPUT },
  { long: 'progress', meaning: OUTPUT },
  { short: 'P', meaning: PARTIAL },
  { long: 'itemize-changes', short: 'i', meaning: OUTPUT },
  { long: 'remote-option', short: 'M', takesValue: true, meaning: 'plan' },
  { long: 'out-format', takesValue: true, meaning: OUTPUT },
  { long: 'log-file', takesValue: true, meaning: 'plan' },
  { long: 'log-file-format', takesValue: true, meaning: 'plan' },
  { long: 'password-file', takesValue: true, meaning: 'plan' },
  { long: 'early-input', takesValue: true, meaning: 'plan' },
  { long: 'list-only', meaning: NOT_A_SYNC },
  { long: 'bwlimit', takesValue: true, meaning: 'plan' },
  { long: 'stop-after', takesValue: true, meaning: 'plan' },
  { long: 'stop-at', takesValue: true, meaning: 'plan' },
  { long: 'fsync', meaning: 'plan' },
  { long: 'write-batch', takesValue: true, meaning: BATCH },
  { long: 'only-write-batch', takesValue: true, meaning: BATCH },
  { long: 'read-batch', takesValue: true, meaning: BATCH },
  { long: 'protocol', takesValue: true, meaning: 'plan' },
  {
    long: 'iconv',
    takesValue: true,
    meaning: wholeFor('rsync prints other names than the source has'),
  },
  { long: 'checksum-seed', takesValue: true, meaning: 'plan' },
  { long: 'ipv4', short: '4', meaning: 'plan' },
  { long: 'ipv6', short: '6', meaning: 'plan' },
  { long: 'version', short: 'V', meaning: NOT_A_SYNC },
  { long: 'help', meaning: NOT_A_SYNC },
  { long: 'daemon', meaning: NOT_A_SYNC },
  { long: 'server', meaning: NOT_A_SYNC },
  { long: 'sender', meaning: NOT_A_SYNC },
  { long: 'config', takesValue: true, meaning: NOT_A_SYNC },
];
