import type { Command } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import type { LockResult } from '../../operations/lock/lock.ts';
import type { CommandContext } from '../context.ts';
import { helpOfWriter } from '../help.ts';
import { bytesOf } from '../operand-bytes.ts';
import { DRAIN, type DrainFlags } from '../options/drain.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { RETENTION, type RetentionFlags } from '../options/retention.ts';
import { SHRINK, type ShrinkFlags } from '../options/shrink.ts';
import { printNote } from '../output.ts';
import { createReporter } from '../terminal.ts';

interface Flags extends LockFlags, ShrinkFlags, RetentionFlags, DrainFlags {
  lockOnly?: boolean;
  anew?: boolean;
  empty?: boolean;
  hardLinksAreSafe?: boolean;
  id?: string;
  prune: boolean;
  quiet?: boolean;
}

const MORE_HELP = `COMMAND finds its tree in MIRRORLATCH_STAGING: a copy of what is current, which nobody else can see.
If it ends with 0, the tree is published in one rename, unless it is empty, has shrunk too much, or
equals what is current. Otherwise nothing is published, and the next lock goes on with the tree for as
long as the same snapshot is current; a sync discards it. A mirror in place has one tree: COMMAND gets
that one, behind the closed gate. MIRRORLATCH_ROOT and MIRRORLATCH_ID hold the mirror and the name of
the new snapshot; MIRRORLATCH_SESSION serves to find what COMMAND leaves running.
All that COMMAND starts inherits the lock: what it leaves running keeps the mirror locked, and keeps its
tree from being published. COMMAND has the terminal, and signals are passed on to it.`;

export function addLock(program: Command, context: CommandContext): void {
  const command = program
    .command('lock')
    .summary('run any command that fills a mirror, and publish what it made')
    .description(
      'Runs a command with the lock of a mirror and a tree of its own behind the gate, and publishes the tree if the command ends with 0.',
    )
    .usage('<ROOT> [options] -- COMMAND [ARGUMENT]...')
    .argument('<ROOT>')
    .option('--lock-only', 'take nothing but the lock, as flock(1) does')
    .option('--anew', 'begin with a copy of what is current, whatever an earlier command left')
    .option('--empty', 'begin with an empty tree')
    .option(
      '--hard-links-are-safe',
      'share files with what is current: COMMAND never writes into one, nor changes its mode, owner or times',
    )
    .option('--id <name>', 'name the new snapshot (default: the UTC time)');
  addOptions(command, SHRINK, LOCK, RETENTION, DRAIN)
    .option('--no-prune', 'remove no old snapshot at the end')
    .option('--quiet', 'print errors only')
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
      if (context.operands.length === 0) {
        throw new MirrorlatchError('USAGE', 'no command was given', {
          hint: `Put the command after --, such as: mirrorlatch lock ${root} -- COMMAND`,
        });
      }
      const { lock } = await import('../../operations/lock/lock.ts');
      const reporter = createReporter(flags.quiet || flags.lockOnly ? 'quiet' : 'normal');
      let isCommandRunning = false;
      try {
        const result = await lock({
          root,
          command: bytesOf(context.operands),
          lockOnly: flags.lockOnly,
          anew: flags.anew,
          empty: flags.empty,
          hardLinksAreSafe: flags.hardLinksAreSafe,
          id: flags.id,
          prune: flags.prune,
          shrink: SHRINK.read(flags),
          lock: LOCK.read(flags),
          retention: RETENTION.read(flags),
          drain: DRAIN.read(flags),
          signal: context.signal(() => isCommandRunning),
          onCommand: (isRunning) => {
            isCommandRunning = isRunning;
            reporter.stop();
          },
          onEvent: reporter.onEvent,
        });
        reporter.stop();
        const sentence = sentenceFor(result);
        if (sentence !== undefined && !flags.quiet) printNote(sentence);
        if (!('end' in result)) return;
        if (result.end.signal !== null) context.endBySignal(result.end.signal);
        else context.setExitCode(result.end.exitCode ?? 0);
      } finally {
        reporter.stop();
      }
    });
}

/** Standard output is the command's. */
function sentenceFor(result: LockResult): string | undefined {
  switch (result.outcome) {
    case 'published': {
      const { id, plan, seconds, clone } = result;
      const how = clone === 'none' ? '' : `${clone} clone, `;
      return `published ${id}: ${plan.newFiles} new, ${plan.changedFiles} changed, ${plan.deletedFiles} deleted of ${plan.source.files} files (${how}${seconds.toFixed(1)} s)${removed(result)}`;
    }
    case 'unchanged':
      return `unchanged: the command left everything as it is in ${result.id}${removed(result)}`;
    case 'failed': {
      const { message, path, isInPlace } = result;
      if (isInPlace) return `${message}; guarded readers wait until a lock or a sync ends well`;
      return `${message}; nothing was published, and the next lock goes on with ${path}`;
    }
    case 'ended':
      return undefined;
  }
}

function removed({ pruned }: Extract<LockResult, { pruned: unknown }>): string {
  return pruned?.removed.length ? `; removed ${pruned.removed.join(', ')}` : '';
}
