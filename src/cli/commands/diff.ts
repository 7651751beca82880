import { type Command, Option } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import { nameInLine, readableName } from '../../mirror/names.ts';
import { showBytes } from '../../mirror/units.ts';
import type { SnapshotDiff, SnapshotDifference } from '../../reader/diff.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { unlessInterrupted } from '../interrupt.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printEach, printJsonWithList, printLine, printNames } from '../output.ts';
import { printTable } from '../table.ts';
import { describeChanges, printWarning } from '../terminal.ts';

interface Flags {
  stat?: boolean;
  namesOnly?: boolean;
  null?: boolean;
  checksum?: boolean;
  exitCode?: boolean;
  json?: boolean;
}

const HELP = `A and B are snapshots, by id or path, current, previous or a channel, in either order; without B, A is
compared with current. Both are held meanwhile. A name that leads to the same file (inode) in both is unchanged,
and nothing is read of it. Other files are unchanged if size, time to the nanosecond, mode and owner
agree; --checksum also compares their content. Extended attributes and ACLs are not compared.

The words are those of sync --dry-run: new, changed, attributes (mode, owner, group or time alone),
deleted; and moved, for a file that both snapshots share under different names.`;

export function addDiff(program: Command, context: CommandContext): void {
  program
    .command('diff')
    .summary('show in which files two snapshots differ')
    .description(
      'Compares two snapshots of a mirror, by default the previous and the current one, and lists in what they differ.',
    )
    .addArgument(new MirrorArgument())
    .argument('[A]', 'the older snapshot (default: previous)')
    .argument('[B]', 'the newer snapshot (default: current)')
    .addOption(
      new Option('--stat', 'print a table of the top directories instead of names').conflicts([
        'namesOnly',
        'json',
      ]),
    )
    .addOption(new Option('--names-only', 'print names alone, and no summary').conflicts(['json']))
    .addOption(
      new Option(
        '-0, --null',
        'with --names-only: print names as they are, each with NUL at its end',
      ),
    )
    .option('-c, --checksum', 'also compare the content of files that agree in size and time')
    .option('--exit-code', 'exit with 1 if there is a difference')
    .option('--json', 'print one object: totals, and the list of differences')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch diff /srv/mirror/debian',
          'mirrorlatch diff /srv/mirror/debian 20261122T030000Z --stat',
          'mirrorlatch diff /srv/mirror/debian --names-only -0 | xargs -0 -n1 echo',
        ],
        ['DIFFERENT', 'USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
        HELP,
      ),
    )
    .action(
      async (
        root: string,
        from: string | undefined,
        to: string | undefined,
        flags: Flags,
        self,
      ) => {
        if (flags.null && !flags.namesOnly)
          (self as Command).error('error: --null needs --names-only');
        const { diff } = await import('../../reader/diff.ts');
        const signal = context.signal();
        const { checksum, exitCode } = flags;
        const work = diff({ root, from, to, checksum, signal }, async (found) => {
          await print(found, flags);
          return found;
        });
        const found = await unlessInterrupted(work, signal, context.setExitCode);
        if (found === undefined) return;
        const { unreadDirectories: unread, areEqual } = found;
        if (unread > 0 && !flags.json)
          printWarning(
            `this user may not look into ${unread === 1 ? '1 directory' : `${unread} directories`}, so what is in there is not compared`,
          );
        if (exitCode && !areEqual) context.setExitCode(EXIT_CODES.DIFFERENT);
      },
    );
}

async function print(found: SnapshotDiff, flags: Flags): Promise<void> {
  const { differences, ...others } = found;
  if (flags.json) await printJsonWithList(others, 'differences', map(differences, forJson));
  else if (flags.namesOnly && flags.null) await printNames(map(differences, ({ name }) => name));
  else if (flags.namesOnly)
    await printEach(map(differences, ({ name }) => readableName(name).name));
  else if (flags.stat) printStat(found);
  else {
    await printEach(map(differences, lineFor));
    printLine(summaryOf(found));
  }
}

function* map<Item, Mapped>(items: Iterable<Item>, to: (item: Item) => Mapped): Generator<Mapped> {
  for (const item of items) yield to(item);
}

function forJson({ name, from, ...others }: SnapshotDifference): object {
  const { change, type, ...more } = others;
  const before = from === undefined ? {} : prefixed(readableName(from));
  return { change, type, ...readableName(name), ...before, ...more };
}

function prefixed({ name, bytes }: ReturnType<typeof readableName>): object {
  return { from: name, ...(bytes === undefined ? {} : { fromBytes: bytes }) };
}

function lineFor(difference: SnapshotDifference): string {
  const facts = factsOf(difference);
  const shown = nameInLine(readableName(difference.name).name);
  return `${difference.change.padEnd(10)} ${shown}${facts === '' ? '' : ` (${facts})`}`;
}

function factsOf({
  change,
  type,
  typeBefore,
  size,
  sizeBefore,
  attributes = [],
  from,
}: SnapshotDifference): string {
  if (from !== undefined) return `was ${nameInLine(readableName(from).name)}`;
  if (change === 'attributes') return attributes.join(', ');
  if (typeBefore !== undefined) return `${typeBefore} -> ${type}`;
  if (size !== null && sizeBefore !== null)
    return size === sizeBefore ? showBytes(size) : `${showBytes(sizeBefore)} -> ${showBytes(size)}`;
  const only = size ?? sizeBefore;
  return only === null ? (type === 'directory' ? '' : type) : showBytes(only);
}

function summaryOf({ from, to, areEqual, totals }: SnapshotDiff): string {
  if (areEqual) return `${from} -> ${to}: no difference`;
  const { movedFiles } = totals;
  const moved = movedFiles === 0 ? '' : `, ${movedFiles} moved`;
  const came = showBytes(totals.newBytes + totals.changedBytes);
  const went = showBytes(totals.deletedBytes + totals.changedBytesBefore);
  return `${from} -> ${to}: ${describeChanges(totals)}${moved}; ${came} came, ${went} went`;
}

/** What differs in a directory at the top of the tree, or right there. */
interface Row {
  name: string;
  new: number;
  changed: number;
  deleted: number;
  /** How many entries differ in all. */
  all: number;
  /** bytes */
  came: number;
  went: number;
}

const MOST_ROWS = 40;

/** The width of the longest bar; columns. */
const BAR = 24;

function printStat(found: SnapshotDiff): void {
  const rows = [...rowsOf(found.differences).values()].sort((a, b) => b.all - a.all);
  const most = Math.max(...rows.map(({ all }) => all));
  const shown = rows.slice(0, MOST_ROWS);
  if (shown.length > 0) {
    printTable(
      ['DIRECTORY', 'NEW', 'CHANGED', 'DELETED', 'OTHER', 'CAME', 'WENT', ''],
      shown.map((row) => [
        nameInLine(readableName(row.name).name),
        ...[row.new, row.changed, row.deleted].map(String),
        String(row.all - row.new - row.changed - row.deleted),
        showBytes(row.came),
        showBytes(row.went),
        barOf(row, most),
      ]),
    );
  }
  if (rows.length > shown.length) printLine(`and ${rows.length - shown.length} more directories`);
  printLine(summaryOf(found));
}

function rowsOf(differences: Iterable<SnapshotDifference>): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const { change, type, name, size, sizeBefore } of differences) {
    const top = topOf(name, type);
    let row = rows.get(top);
    if (row === undefined) {
      row = { name: top, new: 0, changed: 0, deleted: 0, all: 0, came: 0, went: 0 };
      rows.set(top, row);
    }
    row.all += 1;
    if (change === 'attributes' || change === 'moved') continue;
    if (size === null && sizeBefore === null) continue;
    row[change] += 1;
    row.came += size ?? 0;
    row.went += sizeBefore ?? 0;
  }
  return rows;
}

/** The directory at the top of the tree in which a name is; `.` for what is there itself. */
function topOf(name: string, type: SnapshotDifference['type']): string {
  const slash = name.indexOf('/');
  if (slash !== -1) return name.slice(0, slash);
  return type === 'directory' ? name : '.';
}

/** As in git: what came, what changed, and what went. */
function barOf(row: Row, most: number): string {
  const width = (count: number) => Math.ceil((count / most) * BAR);
  const other = row.all - row.new - row.changed - row.deleted;
  return (
    '+'.repeat(width(row.new)) +
    '~'.repeat(width(row.changed)) +
    '-'.repeat(width(row.deleted)) +
    '.'.repeat(width(other))
  );
}
