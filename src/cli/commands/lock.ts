import type { Command } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import { LIVE } from '../../mirror/layout.ts';
import type { LockResult } from '../../operations/lock/lock.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpOfWriter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { bytesOf } from '../operand-bytes.ts';
import { CHECK_BEFORE, type CheckFlags } from '../options/check.ts';
import { DRAIN, type DrainFlags } from '../options/drain.ts';
import { addOptions } from '../options/group.ts';
import { HOOKS, type HookFlags } from '../options/hooks.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { RETENTION, type RetentionFlags } from '../options/retention.ts';
import { SHRINK, type ShrinkFlags } from '../options/shrink.ts';
import { printNote } from '../output.ts';
import { tellPeople } from '../recipients.ts';
import { createReporter, nameOfTree, withoutSnapshot } from '../terminal.ts';
import { showFiles } from '../units.ts';
import { tagsOf } from '../values.ts';

interface Flags extends LockFlags, ShrinkFlags, CheckFlags, RetentionFlags, DrainFlags, HookFlags {
  lockOnly?: boolean;
  resume?: boolean;
  allowDirty?: boolean;
  empty?: boolean;
  hardLinksAreSafe?: boolean;
  id?: string;
  tag?: string[];
  prune: boolean;
  quiet?: boolean;
  mail: boolean;
}

const MORE_HELP = `COMMAND finds its tree at the path in MIRRORLATCH_STAGING: a copy of the current snapshot, which no
other user can see. If COMMAND exits with 0, the tree is published in one rename, unless it is empty,
has shrunk too much, or equals the current snapshot. Otherwise nothing is published. The tree is kept,
and a lock with --resume goes on from it if the same snapshot is still current; any other lock, and a
sync, discards it. An in-place mirror has only one tree, and COMMAND works on that, behind the closed gate.
Where no COMMAND is given, the one is run that the configuration has for the mirror as fill.

Name the variable within single quotes, as below: within double quotes, your own shell replaces it by nothing
before COMMAND starts. With cd or rm, write "\${MIRRORLATCH_STAGING:?}", which fails if it is empty.

MIRRORLATCH_ROOT holds the path of the mirror, MIRRORLATCH_ID the id of the new snapshot.
MIRRORLATCH_SESSION marks the processes of COMMAND, so that those which it leaves running are found.

All processes of COMMAND inherit the lock. One that is left running keeps the mirror locked, and keeps
the tree from being published. COMMAND has the terminal, and signals are passed on to it.`;

export function addLock(program: Command, context: CommandContext): void {
  const command = program
    .command('lock')
    .summary('run a command that fills a mirror, and publish the result')
    .description(
      'Runs a command under the lock of a mirror, with a tree of its own in staging, and publishes the tree if the command exits with 0.',
    )
    .usage('<MIRROR> [options] [-- COMMAND [ARGUMENT]...]')
    .addArgument(new MirrorArgument())
    .option('--lock-only', 'only take the lock, as flock(1) does')
    .option('--resume', 'go on from the tree that a failed command left')
    .option('--allow-dirty', 'publish an in-place tree although a sync has left it unfinished')
    .option('--empty', 'begin with an empty tree')
    .option(
      '--hard-links-are-safe',
      'share files with the current snapshot; only if COMMAND never writes into a file or changes its mode, owner or times',
    )
    .option('--id <name>', 'name the new snapshot (default: the UTC time)')
    .option('--tag <tag>', 'give the snapshot this tag, see --keep-tag; repeatable', tagsOf);
  addOptions(command, SHRINK, CHECK_BEFORE, LOCK, RETENTION, DRAIN, HOOKS)
    .option('--no-prune', 'do not remove old snapshots at the end')
    .option('--quiet', 'print only what went wrong')
    .option('--no-mail', 'leave the mail of notices to a later notify')
    .addHelpText(
      'after',
      helpOfWriter(
        [
          'mirrorlatch lock /srv/mirror/debian -- sh -c \'debmirror --host deb.debian.org "$MIRRORLATCH_STAGING"\'',
          'mirrorlatch lock /srv/mirror/web --empty -- sh -c \'hugo --destination "$MIRRORLATCH_STAGING"\'',
          'mirrorlatch lock /srv/mirror/debian --lock-only --wait 1h -- tar -C /srv -cf /backup/mirror.tar mirror',
        ],
        MORE_HELP,
      ),
    )
    .action(async (root: string, flags: Flags) => {
      const { mirror } = (await context.configuration()).named(root);
      const fill = flags.lockOnly ? [] : (mirror?.table.fill ?? []);
      if (context.operands.length + fill.length === 0) {
        throw new MirrorlatchError('USAGE', 'no command was given', {
          hint: `Name one for every time by the key fill of the configuration, or put it after --: mirrorlatch lock ${quoteForSh(root)} -- COMMAND`,
        });
      }
      const { lock } = await import('../../operations/lock/lock.ts');
      const reporter = createReporter(flags.quiet || flags.lockOnly ? 'quiet' : 'normal');
      let isCommandRunning = false;
      try {
        const result = await lock({
          root,
          command:
            context.operands.length > 0
              ? bytesOf(context.operands)
              : fill.map((word) => Buffer.from(word)),
          lockOnly: flags.lockOnly,
          resume: flags.resume,
          allowDirty: flags.allowDirty,
          empty: flags.empty,
          hardLinksAreSafe: flags.hardLinksAreSafe,
          id: flags.id,
          tags: flags.tag,
          prune: flags.prune,
          shrink: SHRINK.read(flags),
          check: CHECK_BEFORE.read(flags),
          lock: LOCK.read(flags),
          retention: RETENTION.read(flags),
          drain: DRAIN.read(flags),
          hooks: HOOKS.read(flags),
          signal: context.signal(() => isCommandRunning),
          onCommand: (isRunning) => {
            isCommandRunning = isRunning;
            reporter.stop();
          },
          onEvent: reporter.onEvent,
        });
        reporter.stop();
        const sentence = sentenceFor(result, flags.id);
        const isNews = !flags.quiet || result.outcome === 'failed';
        if (sentence !== undefined && isNews) printNote(sentence);
        if (!('end' in result)) return;
        if (result.end.signal !== null) context.endBySignal(result.end.signal);
        else context.setExitCode(result.end.exitCode ?? 0);
      } finally {
        reporter.stop();
        if (!flags.lockOnly)
          await tellPeople(mirror, (message) => reporter.onEvent({ kind: 'problem', message }), {
            withMail: flags.mail,
          });
      }
    });
}

/** The result in one sentence, for standard error: standard output belongs to the command. */
function sentenceFor(result: LockResult, wanted: string | undefined): string | undefined {
  switch (result.outcome) {
    case 'published': {
      const { id, plan, seconds, clone } = result;
      const how = clone === 'none' ? '' : `${clone} clone, `;
      return `published ${nameOfTree(id)}: ${changesOf(result)}; ${showFiles(plan.source.files)} in all (${how}${seconds.toFixed(1)} s)${removed(result)}`;
    }
    case 'unchanged':
      return `unchanged: the tree is the same as ${result.id === LIVE ? 'before' : result.id}${withoutSnapshot(wanted)}${removed(result)}`;
    case 'failed':
      return [result.message, result.hint].filter(Boolean).join('. ');
    case 'ended':
      return undefined;
  }
}

/** In place, a lock knows the least of each alone. */
function changesOf({ id, plan }: Extract<LockResult, { outcome: 'published' }>): string {
  const { newFiles, changedFiles, deletedFiles } = plan;
  if (id !== LIVE) return `${newFiles} new, ${changedFiles} changed, ${deletedFiles} deleted`;
  const deleted = deletedFiles > 0 ? `, at least ${deletedFiles} deleted` : '';
  return `${newFiles + changedFiles} new or changed${deleted}`;
}

function removed({ pruned }: Extract<LockResult, { pruned: unknown }>): string {
  return pruned?.removed.length ? `; removed ${pruned.removed.join(', ')}` : '';
}
