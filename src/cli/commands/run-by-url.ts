import { MirrorlatchError } from '../../errors.ts';
import type { KeptPin } from '../../http/pin-client.ts';
import { runByUrl } from '../../http/run-by-url.ts';
import { guardWords } from '../../reader/plan-run.ts';
import type { CommandContext } from '../context.ts';
import { bytesOf } from '../operand-bytes.ts';
import { printNote } from '../output.ts';
import { printWarning } from '../terminal.ts';
import type { UrlOptions } from './run.ts';

/** Runs the command of `run --http`, in the guard of the mirrors that are named by their paths, if there are any. */
export async function runCommandByUrl(options: UrlOptions, context: CommandContext): Promise<void> {
  const { urls, allowUnseen } = options;
  const { end, unseen } = await runByUrl({
    urls,
    command: bytesOf(context.operands),
    around: guardWords(options),
    allowUnseen,
    env: process.env,
    snapshot: options.snapshot,
    waitMs: options.waitSeconds === undefined ? undefined : options.waitSeconds * 1000,
    pinSeconds: options.pinSeconds,
    releaseOnExit: options.releaseOnExit,
    heir: [process.execPath, process.argv[1] ?? '', 'keep-proxy'],
    onWarning: printWarning,
    onPin: (pin) => {
      if (options.verbose) printNote(describe(pin));
    },
  });
  if (end.signal !== null) context.endBySignal(end.signal);
  else context.setExitCode(end.exitCode ?? 0);
  if (unseen.length === 0 || allowUnseen || options.command.length === 0) return;
  const failure = unguarded(unseen);
  if (unseen.length === urls.length && end.exitCode === 0) throw failure;
  printWarning(failure.message);
}

function describe({ mirror, kind, id, target }: KeptPin): string {
  const held =
    kind === 'strict'
      ? 'the server holds it'
      : 'nothing holds it: the server is no mirrorlatch serve';
  return `${mirror.given} is pinned to ${id} (${target.href}); ${held}`;
}

function unguarded(unseen: readonly string[]): MirrorlatchError {
  return new MirrorlatchError(
    'UNAVAILABLE',
    `COMMAND requested nothing of ${unseen.join(', ')} through the guard, so it may have run unguarded`,
    {
      hint:
        'Either it needed nothing, or it reads the mirror by another name than this URL, by https:, or past the proxy: a configuration ' +
        'of its own may name a proxy, and sudo inside drops http_proxy (put sudo before mirrorlatch). If that is fine, give --allow-unseen.',
    },
  );
}
