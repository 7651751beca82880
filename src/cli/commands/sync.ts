import { type Command, Option } from 'commander';
import type { Configuration, ConfiguredMirror } from '../../config/configuration.ts';
import { isMirrorName } from '../../config/values.ts';
import { MirrorlatchError } from '../../errors.ts';
import { findMirror } from '../../mirror/open.ts';
import { timestampId } from '../../mirror/snapshot-id.ts';
import {
  CLONE_CHOICES,
  type CloneChoice,
  STRATEGIES,
  type Strategy,
  UNCLEAN_POLICIES,
  type UncleanPolicy,
} from '../../operations/sync/context.ts';
import type { SyncResult } from '../../operations/sync/sync.ts';
import type { SyncOptions } from '../../operations/sync/work.ts';
import type { PushOptions } from '../../push/push.ts';
import { DEFAULT_NAMES, type DefaultName } from '../../rsync/arguments.ts';
import { namesakeWarning, parseDestination } from '../../rsync/source.ts';
import { nearestName } from '../../system/nearest.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { withConfigured } from '../mirror-names.ts';
import { CHECK_BEFORE, type CheckFlags } from '../options/check.ts';
import { DRAIN, type DrainFlags } from '../options/drain.ts';
import { addOptions } from '../options/group.ts';
import { HOOKS, type HookFlags } from '../options/hooks.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { PROBE, type ProbeFlags } from '../options/probe.ts';
import { RETENTION, type RetentionFlags } from '../options/retention.ts';
import { RETRY, type RetryFlags } from '../options/retry.ts';
import { SHRINK, type ShrinkFlags } from '../options/shrink.ts';
import { printJson, printLine } from '../output.ts';
import { tellPeople } from '../recipients.ts';
import type { Job } from '../sync-many.ts';
import { type Plan, printPlan, printPlanAsJson, sentenceFor } from '../sync-report.ts';
import { createReporter } from '../terminal.ts';

import { count, pointInTime, someOf, tagsOf } from '../values.ts';

interface Flags
  extends LockFlags,
    RetryFlags,
    ShrinkFlags,
    CheckFlags,
    RetentionFlags,
    DrainFlags,
    ProbeFlags,
    HookFlags {
  strategy: Strategy;
  clone: CloneChoice;
  without: DefaultName[];
  otherSource?: boolean;
  dryRun?: boolean;
  id?: string;
  tag?: string[];
  at?: Date;
  unclean: UncleanPolicy;
  prune: boolean;
  json?: boolean;
  quiet?: boolean;
  mail: boolean;
  remoteProgram?: string;
  all?: boolean;
  jobs?: number;
}

const RSYNC_HELP = `SRC is a directory, host:path (ssh), host::module/path or rsync://host/module/path. The mirror always
gets the contents of SRC, with or without a trailing slash. Options of rsync may stand anywhere in the
line, as for rsync itself, or after --. The first sync remembers them together with SRC, and a later one
adds its own for that run. Options that a mirror does not need are left out, and those that would damage
a published snapshot are refused, each with the reason. By default
mirrorlatch calls rsync with --archive --delete --modify-window=-1 --safe-links --timeout=600 and
excludes temporary files of the upstream's own syncs; --without turns these off one by one.
It adds --delete-excluded: what options exclude goes from the mirror. In place, or from a directory
that was adopted, it goes only if you give that option yourself; otherwise the sync ends with 65.

ROOT may be on another host that also has mirrorlatch: ssh://[user@]host[:port]/ROOT or host:ROOT. Then
SRC is a directory of this host, and the sync runs on the other host, over one ssh session. If the
session is cut off, nothing is published and what was transferred is kept. As with rsync, -e
or RSYNC_RSH sets the ssh command.`;

export function addSync(program: Command, context: CommandContext): void {
  const command = program
    .command('sync')
    .summary('bring a mirror up to date with its source, in one step for readers')
    .description('Makes a whole new snapshot of SRC in staging and publishes it in one rename.')
    .usage('[options] [RSYNC_OPTIONS] [SRC] ROOT')
    .argument(
      '[paths...]',
      'SRC and ROOT; ROOT alone, if its source is already set; or names of the configuration',
    )
    .option('--all', 'sync all mirrors of the configuration that have a source')
    .option('--jobs <n>', 'of several mirrors, sync so many at once (default: 1)', count(1))
    .option('-n, --dry-run', 'print what would change, and change nothing')
    .option('--other-source', 'take the tree of SRC, although the mirror remembers another source')
    .option('--id <name>', 'name the new snapshot (default: the UTC time)')
    .option('--tag <tag>', 'give the snapshot this tag, see --keep-tag; repeatable', tagsOf)
    .option('--at <time>', 'start at this time, and name the snapshot by it', (text) =>
      pointInTime(text),
    );
  addOptions(
    command,
    ...[SHRINK, CHECK_BEFORE, PROBE, LOCK, RETRY, RETENTION, DRAIN, HOOKS],
    new Option(
      '--strategy <name>',
      'plan: transfer only what differs; link-dest: a single pass of rsync; copy: share no files',
    )
      .choices(STRATEGIES)
      .default(STRATEGIES[0]),
    new Option('--clone <method>', 'how the new tree gets the files that did not change')
      .choices(CLONE_CHOICES)
      .default(CLONE_CHOICES[0]),
    new Option('--without <default>', `turn a default off: ${DEFAULT_NAMES.join(', ')}`)
      .argParser(someOf(DEFAULT_NAMES))
      .default([], 'none'),
    new Option('--unclean <policy>', 'what to do if the filesystem is not clean (ext2 to ext4)')
      .choices(UNCLEAN_POLICIES)
      .default(UNCLEAN_POLICIES[0]),
  )
    .option('--no-prune', 'do not remove old snapshots at the end')
    .option('--no-mail', 'leave the mail of notices to a later notify')
    .option(
      '--remote-program <command>',
      'the command that starts mirrorlatch on the other host (default: mirrorlatch)',
    )
    .option('--json', 'print one object about the result')
    .option('--quiet', 'print only what went wrong')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch sync rsync://mirror.example.org/debian/ /srv/mirror/debian',
          'mirrorlatch sync /srv/mirror/debian --quiet          # every night, from cron',
          'mirrorlatch sync /srv/mirror/debian --probe auto     # every few minutes',
          'mirrorlatch sync -aH --exclude=/iso/ --bwlimit=5m /srv/upstream/ /srv/mirror/x',
          'mirrorlatch sync ./public ssh://web@www.example.org/srv/mirror/site',
        ],
        [
          'USAGE',
          'SHRUNKEN_SOURCE',
          'CHECK_FAILED',
          'NO_MIRROR',
          'UNAVAILABLE',
          'HOOK_FAILED',
          'IO',
          'BUSY',
          'PERMISSION',
          'CONFIGURATION',
        ],
        RSYNC_HELP,
      ),
    )
    .action(async (words: string[], { all }: Flags) => {
      const configuration = await context.configuration();
      const known = configuration.read();
      const { mirrors } = known;
      const flagsFor = (root: string) =>
        withConfigured(command, configuration.flagsFor(root)) as unknown as Flags;
      const named = words.flatMap((word) => mirrors.get(word) ?? []);
      if (all || (named.length > 1 && named.length === words.length)) {
        const problem = configuration.problem();
        if (problem !== undefined) throw problem;
        if (all && words.length > 0) command.error('error: --all is for all mirrors: name none');
        const { isFilled, sourceOf } = await import('../scheduled-mirrors.ts');
        const { upstreamHost } = await import('../sync-many.ts');
        const wanted = (all ? [...mirrors.values()] : named).flatMap((mirror) => {
          try {
            const source = sourceOf(mirror);
            return all && (source === undefined || isFilled(mirror))
              ? []
              : { mirror, host: upstreamHost(source) };
          } catch {
            // What is wrong with it hurts no other: its own sync says what.
            return { mirror, host: undefined };
          }
        });
        context.setExitCode(await syncNamed(wanted, known, flagsFor, command, context));
        return;
      }
      if (mirrors.has(words[0] ?? '')) refuseStrangers(words.slice(1), mirrors);
      const paths = words.map((word, at) =>
        // What comes before another word is a source.
        at === words.length - 1 ? (mirrors.get(word)?.root ?? word) : word,
      );
      const flags = flagsFor(paths.at(-1) ?? '');
      if (paths.length === 0)
        command.error("error: missing required argument 'paths'", {
          code: 'commander.missingArgument',
        });
      if (flags.jobs !== undefined) command.error('error: --jobs is for several mirrors');
      if (paths.length > 2)
        command.error(`error: expected SRC and ROOT, but got ${paths.length} paths`);
      const reporter = createReporter(flags.quiet || flags.json ? 'quiet' : 'normal');
      const [first = '', root = first] = paths;
      if (paths.length === 2) {
        const { refuseSwapped } = await import('../../operations/sync/swapped.ts');
        refuseSwapped(first, root);
      }
      const source = paths.length === 2 ? paths[0] : undefined;
      const options = {
        ...optionsOf(flags),
        rsyncOptions: context.operands,
        signal: context.signal(),
        onEvent: reporter.onEvent,
      };
      for (const [at, path] of paths.entries()) {
        const message = namesakeWarning(path, at === paths.length - 1);
        if (message !== undefined) reporter.onEvent({ kind: 'warning', message });
      }
      const { mirror } = configuration.named(root);
      (await import('../scheduled-mirrors.ts')).refuseFilled(mirror);
      const { remoteProgram, dryRun } = flags;
      const isPush = parseDestination(root) !== undefined;
      if (!isPush && remoteProgram !== undefined)
        command.error('error: --remote-program needs a ROOT on another host');
      if (isPush && !flags.hooks)
        command.error(
          'error: --no-hooks needs a ROOT on this host: the other one has its own hooks',
        );
      try {
        const result = await (isPush
          ? syncThere({ ...options, source, destination: root, remoteProgram }, dryRun)
          : syncHere({ ...options, source, root }, dryRun));
        reporter.stop();
        if (result.outcome === 'planned') await (flags.json ? printPlanAsJson : printPlan)(result);
        else if (flags.json) printJson(result);
        else if (!flags.quiet) printLine(sentenceFor(result, flags.id));
      } finally {
        reporter.stop();
        if (!dryRun)
          await tellPeople(mirror, (message) => reporter.onEvent({ kind: 'problem', message }), {
            withMail: flags.mail,
          });
      }
    });
}

/**
 * After the name of a mirror come others. Taken for a source, the first would fill a mirror of a misspelt name.
 *
 * @throws MirrorlatchError USAGE for a word that could be a name, and is none.
 */
function refuseStrangers(words: readonly string[], mirrors: Configuration['mirrors']): void {
  const stranger = words.find((word) => isMirrorName(word) && !mirrors.has(word));
  if (stranger === undefined) return;
  const nearest = nearestName(stranger, [...mirrors.keys()]);
  const question = nearest === undefined ? '' : `Did you mean ${nearest}? `;
  throw new MirrorlatchError('USAGE', `${stranger} is no mirror of the configuration`, {
    hint: `${question}A directory of that name is written ./${stranger}`,
  });
}

/**
 * Syncs several mirrors of the configuration. Their snapshots have one name: the time at which this began.
 *
 * @returns the exit code.
 */
async function syncNamed(
  mirrors: readonly Omit<Job, 'options'>[],
  configuration: Configuration,
  flagsFor: (root: string) => Flags,
  command: Command,
  context: CommandContext,
): Promise<number> {
  const {
    jobs: atOnce = 1,
    json = false,
    quiet = false,
    mail: withMail,
    dryRun,
    at,
    id = at ? undefined : timestampId(new Date()),
  } = command.opts<Flags>();
  if (dryRun) command.error('error: --dry-run is for one mirror');
  if (mirrors.length === 0) {
    throw new MirrorlatchError('CONFIGURATION', 'the configuration names no mirror with a source', {
      hint: 'See which files are read with: mirrorlatch config check',
    });
  }
  const { syncMany } = await import('../sync-many.ts');
  const signal = context.signal();
  const { refuseFilled } = await import('../scheduled-mirrors.ts');
  const optionsFor = (mirror: ConfiguredMirror): SyncOptions => {
    refuseFilled(mirror);
    const { root } = mirror;
    // The tree of a mirror in place has no name.
    const isInPlace = findMirror(root)?.settings.mode === 'in-place';
    const name = isInPlace ? command.opts<Flags>().id : id;
    const options = { ...optionsOf(flagsFor(root)), root, at, id: name, signal };
    return { ...options, rsyncOptions: context.operands };
  };
  const jobs = mirrors.map((job) => ({ ...job, options: () => optionsFor(job.mirror) }));
  return syncMany(jobs, { jobs: atOnce, json, quiet, withMail, signal, configuration });
}

/** What the flags mean to a sync and to a push alike. */
function optionsOf(flags: Flags): Omit<SyncOptions, 'root' | 'source'> {
  const { otherSource, strategy, clone, without, id, tag: tags, at, unclean, prune } = flags;
  const own = { otherSource, strategy, clone, without, id, tags, at, unclean, prune };
  return {
    ...own,
    shrink: SHRINK.read(flags),
    check: CHECK_BEFORE.read(flags),
    probe: PROBE.read(flags),
    lock: LOCK.read(flags),
    retry: RETRY.read(flags),
    retention: RETENTION.read(flags),
    drain: DRAIN.read(flags),
    hooks: HOOKS.read(flags),
  };
}

async function syncHere(options: SyncOptions, isDryRun = false): Promise<SyncResult | Plan> {
  if (isDryRun)
    return (await import('../../operations/sync/plan-sync.ts')).planSyncSpooled(options);
  return (await import('../../operations/sync/sync.ts')).sync(options);
}

async function syncThere(options: PushOptions, isDryRun = false): Promise<SyncResult | Plan> {
  const { planPushSpooled, push } = await import('../../push/push.ts');
  return isDryRun ? planPushSpooled(options) : push(options);
}
