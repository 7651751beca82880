import type { Command } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import { halfAdopted, hintToFinish, isLinked } from '../../mirror/adoption.ts';
import { currentId } from '../../mirror/current.ts';
import { hasSyncedSinceAdoption, readHistory } from '../../mirror/history/history.ts';
import type { Mirror } from '../../mirror/open.ts';
import { checkValues } from '../../mirror/plan/preflight.ts';
import { idleLimits } from '../../mirror/plan/shrink-guard.ts';
import { idleStamps } from '../../mirror/plan/stamps.ts';
import { describeServed, servedDirectory } from '../../mirror/served/served-directory.ts';
import { rememberedBy } from '../../mirror/settings/settings.ts';
import type { Unadopted } from '../../operations/adopt.ts';
import type { InitResult } from '../../operations/init.ts';
import { showOptions } from '../../rsync/join-options.ts';
import { describeNotPassed, passedOptions } from '../../rsync/not-passed.ts';
import { withAbsoluteFiles } from '../../rsync/option-files.ts';
import { absenceWarning, namesakeWarning } from '../../rsync/source.ts';
import { quoteForSh } from '../../system/quote.ts';
import { policyOf } from '../../writer/policy.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { CHANNELS, type ChannelFlags, showRule } from '../options/channels.ts';
import { CHECK, type CheckFlags, describeCheck } from '../options/check.ts';
import { addOptions } from '../options/group.ts';
import { describeProbe, PROBE, type ProbeFlags } from '../options/probe.ts';
import { describeRetention, RETENTION, type RetentionFlags } from '../options/retention.ts';
import { describeShrink, MAX_SHRINK, SHRINK, type ShrinkFlags } from '../options/shrink.ts';
import { printJson, printLine } from '../output.ts';
import { createReporter, printWarning } from '../terminal.ts';

interface Flags extends RetentionFlags, ChannelFlags, ShrinkFlags, CheckFlags, ProbeFlags {
  source?: string;
  inPlace?: boolean;
  adopt?: string;
  /** False for --no-serve-at. */
  serveAt?: string | false;
  unadopt?: string;
  clearOptions?: boolean;
  json?: boolean;
}

export function addInit(program: Command, context: CommandContext): void {
  const command: Command = program
    .command('init')
    .summary('make a mirror, or change its settings')
    .description('Makes a mirror in the directory ROOT, or changes the settings of a mirror.')
    .usage('[ROOT] [options] [-- RSYNC_OPTIONS]')
    .addArgument(new MirrorArgument('[ROOT]'))
    .option('--source <SRC>', 'the source that the mirror is synced from')
    .option('--in-place', 'keep one tree behind a gate, if there is no room for two')
    .option('--adopt <DIR>', 'turn a directory that rsync has filled into the mirror')
    .option('--unadopt <DIR>', 'turn an adopted directory back into a plain directory')
    .option('--serve-at <DIR>', 'also keep a real directory equal to the current snapshot')
    .option('--no-serve-at', 'no longer keep it so; the directory stays as it is');
  addOptions(command, RETENTION, MAX_SHRINK, CHECK, PROBE, CHANNELS)
    .option('--clear-options', 'forget the options of rsync that the mirror remembers')
    .option('--json', 'print the settings')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch init /srv/mirror/debian --source rsync://mirror.example.org/debian/ --keep-last 7',
          'mirrorlatch init --adopt /srv/debian       # makes it a symlink into /srv/debian.mirror',
        ],
        ['USAGE', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'Options after -- replace those that the mirror remembers. Each sync passes them to rsync.',
      ),
    )
    .action(async (root: string | undefined, flags: Flags) => {
      const keepsOptions = context.operands.length === 0 && !flags.clearOptions;
      const settings = {
        source: flags.source,
        rsyncOptions: keepsOptions ? undefined : context.operands,
        retention: RETENTION.read(flags),
        shrink: SHRINK.read(flags),
        check: CHECK.read(flags),
        probe: PROBE.read(flags),
        channels: CHANNELS.read(flags),
        serveAt: flags.serveAt === false ? undefined : flags.serveAt,
      };
      await checkValues(withAbsoluteFiles(context.operands));
      for (const warningOf of [namesakeWarning, absenceWarning]) {
        const warning = flags.source && warningOf(flags.source);
        if (warning && !flags.json) printWarning(warning);
      }
      const { adopt: adopted, unadopt: givenBack, inPlace, json } = flags;
      if (adopted !== undefined && givenBack !== undefined) {
        throw new MirrorlatchError('USAGE', '--adopt cannot be combined with --unadopt', {
          hint: 'The one undoes the other. Leave one of them out.',
        });
      }
      const directory = adopted ?? givenBack;
      if (directory === undefined) {
        if (root === undefined) throw noRoot();
        const operations = await import('../../operations/init.ts');
        const { isFilled } = await import('../scheduled-mirrors.ts');
        const { mirror } = (await context.configuration()).named(root);
        return report(
          operations.init({ root, inPlace, noServeAt: flags.serveAt === false, ...settings }),
          context.operands,
          json,
          mirror !== undefined && isFilled(mirror),
        );
      }
      const { adopt, unadopt } = await import('../../operations/adopt.ts');
      const { onEvent } = createReporter(json ? 'quiet' : 'normal');
      const session = { signal: context.signal(), onEvent };
      if (adopted === undefined) {
        const found = await unadopt({ directory, root, ...session });
        if (json) printJson(found);
        else reportUnadopted(found);
        return;
      }
      const mode = inPlace ? 'in-place' : 'snapshots';
      const mirror = await adopt({ directory, root, mode, settings, ...session });
      if (mirror.wasAdopted && !json)
        printLine(`${mirror.settings.adopted} is already adopted, and nothing in it was changed`);
      report(mirror, context.operands, json);
      if (json) return;
      printLine(whatFollows(mirror));
      if (!hasSyncedSinceAdoption(readHistory(mirror.layout))) printWarning(whatGoes(mirror));
    });
}

function noRoot(): MirrorlatchError {
  return new MirrorlatchError('USAGE', 'ROOT is missing', {
    hint: 'See the options and examples with: mirrorlatch init --help',
  });
}

/** What changes for whoever has synced the directory so far. */
function whatFollows({ layout, settings }: Mirror): string {
  const target = settings.mode === 'in-place' ? 'tree that is being read' : 'published snapshot';
  return `from now on: ${syncOf({ layout, settings })}; an rsync to ${settings.adopted} would write into the ${target}`;
}

/** What the directory has and its source has not, such as a `robots.txt` of one's own. */
function whatGoes({ layout, settings }: Mirror): string {
  return `the first sync deletes what ${settings.adopted} has and its source has not; to see what: ${syncOf({ layout, settings })} --dry-run`;
}

function syncOf({ layout, settings }: Mirror): string {
  const sourceToName = rememberedBy(settings).source === undefined ? 'SRC ' : '';
  return `mirrorlatch sync ${sourceToName}${quoteForSh(layout.root)}`;
}

function reportUnadopted({ directory, root, left, asAdopted, others }: Unadopted): void {
  const rest = left.length === 0 ? 'no snapshot' : left.join(', ');
  printLine(`${directory} is a plain directory again, and does not need the mirror`);
  printLine(
    `no sync of ${root} reaches ${directory} any more: change the commands that still name it`,
  );
  if (left.length > 0) printLine(describeSharing(directory));
  if (asAdopted !== null)
    printLine(`${asAdopted} is ${directory} as it was adopted, with what syncs have deleted since`);
  const holds = `what is left of the mirror holds ${rest}`;
  if (others.length === 0) {
    printLine(`${holds}; to delete it: rm -r ${quoteForSh(root)}`);
    return;
  }
  printLine(holds);
  printLine(
    `what is not the mirror's or may be in use would be deleted with ${root}; see to it first:`,
  );
  for (const path of others) printLine(`  ${quoteForSh(path)}`);
}

/** Of a directory that was a part of a mirror. */
function describeSharing(directory: string): string {
  return `files of ${directory} are hard links to those of snapshots: a program that rewrites a file in place, or changes its mode, changes the snapshot`;
}

function report(
  {
    layout,
    settings,
    isNew,
    released,
    replacedSource,
    replacedOptions = [],
  }: Mirror & Partial<InitResult>,
  given: readonly string[],
  asJson: boolean | undefined,
  isFilled = false,
): void {
  if (asJson) {
    printJson({ root: layout.root, settings });
    return;
  }
  const { source, rsyncOptions } = rememberedBy(settings);
  const inPlaceOf =
    replacedSource === undefined || replacedSource === source
      ? ''
      : `, in place of ${replacedSource}`;
  const of = isFilled
    ? ' that a command of the configuration fills'
    : source === undefined
      ? '; the first sync names its source'
      : ` of ${source}${inPlaceOf}`;
  const isComplete = isLinked(layout);
  const path =
    settings.adopted !== undefined && isComplete
      ? `; ${settings.adopted} is a symlink to its current tree`
      : '';
  printLine(`${layout.root} is a ${isNew ? 'new ' : ''}mirror${of}${path}`);
  const unfinished = isComplete ? undefined : halfAdopted(layout);
  if (unfinished !== undefined)
    printWarning(
      `the adoption of ${unfinished} was interrupted. ${hintToFinish(layout, unfinished)}`,
    );
  const served = servedDirectory(layout);
  if (served !== undefined) printLine(`it serves ${describeServed(served)}`);
  if (released !== undefined) {
    printLine(`${released} stays as it is`);
    printLine(describeSharing(released));
  }
  const isReplaced = replacedOptions.join('\0') !== rsyncOptions.join('\0');
  const before =
    isReplaced && replacedOptions.length > 0 ? `, in place of ${showOptions(replacedOptions)}` : '';
  const passed = passedOptions(rsyncOptions);
  const options = passed.length === 0 ? 'no options' : showOptions(passed);
  if (rsyncOptions.length > 0 || before !== '') printLine(`rsync gets ${options}${before}`);
  const notPassed = describeNotPassed(given, replacedOptions);
  if (notPassed !== undefined) printLine(notPassed);
  if (settings.mode === 'snapshots') printLine(`it keeps ${describeRetention(settings)}`);
  else printLine('it has one tree, which is written in place behind a gate');
  for (const [channel, rule] of Object.entries(settings.channels ?? {}))
    printLine(`its channel ${channel} follows ${showRule(rule)}`);
  const { shrink, probe, check } = policyOf(settings, {});
  printLine(describeShrink(shrink, rsyncOptions));
  for (const line of describeProbe(probe)) printLine(line);
  for (const line of describeCheck(check)) printLine(line);
  const current = currentId(layout);
  if (current !== undefined) {
    const tree = layout.snapshot(current);
    [...idleLimits(tree, shrink), ...idleStamps(tree, probe.paths)].forEach(printWarning);
  }
  if (isNew && (isFilled || source !== undefined))
    printLine(`fill it with: mirrorlatch ${isFilled ? 'lock' : 'sync'} ${quoteForSh(layout.root)}`);
}
