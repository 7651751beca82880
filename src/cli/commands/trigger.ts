import { spawn } from 'node:child_process';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { asMirrorlatchError, MirrorlatchError } from '../../errors.ts';
import { refuseOtherOwner } from '../../mirror/locks/ownership.ts';
import { openMirror } from '../../mirror/open.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printLine, printNote } from '../output.ts';
import { printWarning } from '../terminal.ts';

interface Flags {
  foreground?: boolean;
  listen?: string;
  tokenFile?: string;
}

const MORE_HELP = `However often it is called while a sync is at work, one more sync follows. For an upstream that reports its
updates by ssh, in authorized_keys of the mirror's owner:
  restrict,command="mirrorlatch trigger debian" ssh-ed25519 AAAA...
With --listen it takes POST /NAME with the header "Authorization: Bearer TOKEN", and answers 202 at once.`;

export function addTrigger(program: Command, context: CommandContext): void {
  program
    .command('trigger')
    .summary('sync a mirror because its upstream has changed')
    .description(
      'Starts a sync in the background, or lets the one at work be followed by another; or takes requests for that by HTTP.',
    )
    .addArgument(new MirrorArgument('<MIRROR...>'))
    .option('--foreground', 'wait for the end of the sync that this starts, and end as it does')
    .option('--listen <where>', 'take requests by HTTP at this address and port, or unix:PATH')
    .option('--token-file <file>', 'with --listen: the file whose first line is the token')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch trigger /srv/mirror/debian',
          'mirrorlatch trigger debian security --listen 127.0.0.1:8081 --token-file /etc/mirrorlatch/token',
        ],
        ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
        MORE_HELP,
      ),
    )
    .action(async (roots: string[], { foreground = false, listen, tokenFile }: Flags) => {
      for (const root of roots) refuseOtherOwner(openMirror(root).layout);
      const configuration = await context.configuration();
      const { isFilled, programPlace } = await import('../scheduled-mirrors.ts');
      const { ownWords, syncWords } = await import('../../scheduling/scheduled.ts');
      const place = programPlace(configuration.given);
      const wish = (root: string, signal: AbortSignal) => {
        const { mirror } = configuration.named(root);
        const filled = mirror !== undefined && isFilled(mirror);
        const sync = syncWords(place, { name: root, waits: false, isFilled: filled });
        return untilDone(root, sync, signal);
      };
      if ((listen === undefined) !== (tokenFile === undefined)) {
        throw new MirrorlatchError('USAGE', '--listen and --token-file belong together', {
          hint: 'Name a file with a secret, so that not everybody can start syncs.',
        });
      }
      if (listen !== undefined && tokenFile !== undefined) {
        const nameOf = (root: string) => configuration.named(root).mirror?.name ?? basename(root);
        const byName = new Map(roots.map((root) => [nameOf(root), root]));
        if (byName.size < roots.length) {
          throw new MirrorlatchError('USAGE', 'two of the mirrors have one name in requests', {
            hint: 'Give each a name of its own in the configuration: mirrorlatch help configuration',
          });
        }
        await takeRequests(byName, { listen, tokenFile }, wish, context.signal());
      } else if (foreground) {
        const signal = context.signal();
        const ends = await Promise.all(roots.map((root) => wish(root, signal)));
        for (const [at, end] of ends.entries())
          if (end === undefined) printNote(`${roots[at]}: ${describeEnd(end)}`);
        context.setExitCode(Math.max(...ends.map((end) => end ?? 0)));
      } else {
        for (const root of roots) {
          startInBackground(ownWords(place, 'trigger', root, '--foreground'));
          printLine(`${root}: a sync is on its way`);
        }
      }
    });
}

/** @returns how the last sync ended, which has said why by itself; undefined if another process is at it. */
async function untilDone(
  root: string,
  sync: readonly string[],
  signal: AbortSignal,
): Promise<number | undefined> {
  const { trigger } = await import('../../trigger/trigger.ts');
  const { exitCode, said } = await trigger({ root, sync, signal });
  if (said !== '') process.stderr.write(`${said}\n`);
  return exitCode ?? undefined;
}

function describeEnd(exitCode: number | undefined): string {
  return exitCode === undefined
    ? 'a sync is at work, and another follows it'
    : `the sync ended with ${exitCode}`;
}

/** It outlives this process, and whatever waits for the end of its output. */
function startInBackground([program = '', ...words]: readonly string[]): void {
  spawn(program, words, { detached: true, stdio: 'ignore', cwd: '/' }).unref();
}

/** Until a signal ends it. */
async function takeRequests(
  byName: ReadonlyMap<string, string>,
  { listen: where, tokenFile }: { listen: string; tokenFile: string },
  wish: (root: string, signal: AbortSignal) => Promise<number | undefined>,
  signal: AbortSignal,
): Promise<void> {
  const { listen, parseEndpoint } = await import('../../http/server/listen.ts');
  const { triggerServer } = await import('../../trigger/listener.ts');
  const { readToken } = await import('../../trigger/token-file.ts');
  const endpoint = parseEndpoint(where);
  const start = (name: string) => {
    wish(byName.get(name) ?? '', signal).then(
      (exitCode) => printNote(`${name}: ${describeEnd(exitCode)}`),
      (error) => printNote(`${name}: ${asMirrorlatchError(error).message}`),
    );
  };
  const server = triggerServer(readToken(tokenFile), new Set(byName.keys()), start);
  const url = await listen(server, endpoint, printWarning);
  printLine(`takes requests for ${[...byName.keys()].join(', ')} at ${url}`);
  await new Promise<void>((ended) => {
    signal.addEventListener('abort', () => server.close(() => ended()), { once: true });
  });
}
