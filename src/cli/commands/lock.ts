import type { Command } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import type { LockResult } from '../../operations/lock/lock.ts';
import type { CommandContext } from '../context.ts';
import { helpOfWriter } from '../help.ts';
import { bytesOf } from '../operand-bytes.ts';
import { printNote } from '../output.ts';
import { createReporter } from '../terminal.ts';
import { duration, percentage } from '../values.ts';
import { addDrainOptions, type DrainFlags } from '../options/drain.ts';
import { addRetentionOptions, type RetentionFlags } from '../options/retention.ts';

interface Flags extends RetentionFlags, DrainFlags {
  lockOnly?: boolean;
  anew?: boolean;
  empty?: boolean;
  hardLinksAreSafe?: boolean;
  maxShrink?: number;
  allowShrink?: boolean;
  id?: string;
  /** ms; false for --no-wait. */
  wait?: number | boolean;
  staleAfter?: number;
  prune: boolean;
  quiet?: boolean;
}

const MORE_HELP = `COMMAND finds its tree in MIRRORLATCH_STAGING: a copy of what is current, which nobody else can see.
When it ends with 0, the tree is published in one rename, unless it is empty, has shrunk too much, or is
what is current already. Else nothing is published, and the next lock goes on with the tree, as long as
the same is current; a sync throws it away. A mirror in place has one tree: COMMAND gets that, behind the
closed gate. MIRRORLATCH_ROOT and MIRRORLATCH_ID tell the mirror and the new snapshot's name;
MIRRORLATCH_SESSION is there to find what COMMAND leaves running.
The lock is inherited by all that COMMAND starts: what it leaves running keeps the mirror locked, and
keeps its tree from being published. COMMAND has the terminal, and signals are passed on to it.`;

export function addLock(program: Command, context: CommandContext): void {
  addDrainOptions(
    addRetentionOptions(
      program
        .command('lock')
        .summary('run any command that fills a mirror, and publish what it made')
        .description(
          'Runs a command with the lock of a mirror and a tree of its own behind the gate, and publishes that if it ends with 0.',
        )
        .usage('<ROOT> [options] -- COMMAND [ARGUMENT]...')
        .argument('<ROOT>')
        .option('--lock-only', 'nothing but the lock, as flock(1) has it')
        .option('--anew', 'begin with a copy of what is current, whatever an earlier command left')
        .option('--empty', 'begin with an empty tree')
        .option(
          '--hard-links-are-safe',
          'COMMAND never writes to a file in place nor changes its mode, owner or times: share files with what is current',
        )
        .option(
          '--max-shrink <percent>',
          'refuse when more files or bytes would vanish (default: 30)',
          percentage,
        )
        .option('--allow-shrink', 'publish however much vanishes')
        .option('--id <name>', 'name the new snapshot (default: the UTC time)')
        .option('--wait <duration>', 'wait for another writer', duration)
        .option('--no-wait', 'do not wait (default)')
        .option(
          '--stale-after <duration>',
          "take over another host's lock without a heartbeat for so long (default: 10m)",
          duration,
        ),
    ),
  )
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
          hint: 'Give it after two dashes: mirrorlatch lock ROOT -- COMMAND',
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
          maxShrinkPercent: flags.maxShrink,
          allowShrink: flags.allowShrink,
          id: flags.id,
          waitMs: typeof flags.wait === 'number' ? flags.wait : undefined,
          staleAfterMs: flags.staleAfter,
          prune: flags.prune,
          keepLast: flags.keepLast,
          keepWithinMs: flags.keepWithin,
          graceMs: flags.grace,
          drainMs: flags.drain,
          afterDrain: flags.afterDrain,
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
