import { MirrorlatchError } from '../../errors.ts';
import type { KeptPin } from '../../http/client/kept-pin.ts';
import { type MirrorUrl, parseMirrorUrl, placeOf } from '../../http/client/mirror-url.ts';
import { runByUrl, type UnseenUrl } from '../../http/client/run-by-url.ts';
import { guardWords, stickiness } from '../../reader/plan-run.ts';
import { presetFor, refreshOf } from '../../reader/presets.ts';
import { remember, rememberedId, stickyDirectory, stickyFileOfUrl } from '../../reader/sticky.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { bytesOf } from '../operand-bytes.ts';
import { printNote } from '../output.ts';
import { printWarning } from '../terminal.ts';
import type { UrlOptions } from './run.ts';

/** Runs the command of `run --http`, in the guard of the mirrors that are named by their paths, if there are any. */
export async function runCommandByUrl(options: UrlOptions, context: CommandContext): Promise<void> {
  const { urls, channel, allowUnseen, env } = options;
  const { sticky, reuse, isUnpinned } = stickiness(options);
  const preset = presetFor(options.command);
  const { family, use } = preset;
  const mayNeedNothing = preset.isLocal || use === 'none';
  const isAsked = [options.sticky, options.reuse, options.snapshot].some(
    (one) => one !== undefined,
  );
  const isLocal = mayNeedNothing && !isAsked;
  const directory = stickyDirectory(env, process.geteuid?.() === 0);
  const stickyFileOf = (url: string, name: string) =>
    stickyFileOfUrl(directory, name, rememberedPlace(parseMirrorUrl(url), channel));
  const mirrors = (isUnpinned ? [] : urls).map((url) => {
    const named = parseMirrorUrl(url);
    const mirror = channel === undefined ? named : { ...named, channel };
    if (reuse === undefined) return { mirror, snapshot: options.snapshot };
    const id = rememberedId(stickyFileOf(url, reuse));
    if (id === undefined && !options.orCurrent && !isLocal)
      throw notRemembered(url, channel, reuse);
    return { mirror, snapshot: id };
  });
  const { end, unseen } = await runByUrl({
    mirrors,
    orCurrent: options.orCurrent,
    isLocal,
    command: bytesOf(context.operands),
    around: guardWords(options),
    allowUnseen,
    waitMs: options.waitSeconds === undefined ? undefined : options.waitSeconds * 1000,
    pinSeconds: options.pinSeconds,
    releaseOnExit: options.releaseOnExit,
    heir: [process.execPath, process.argv[1] ?? '', 'keep-proxy'],
    env,
    onWarning: printWarning,
    onPin: (pin) => {
      if (options.verbose) printNote(describe(pin));
      if (sticky !== undefined) remember(stickyFileOf(pin.mirror.given, sticky), pin.id);
    },
  });
  if (end.signal !== null) context.endBySignal(end.signal);
  else context.setExitCode(end.exitCode ?? 0);
  if (unseen.length === 0 || allowUnseen || options.command.length === 0 || mayNeedNothing) return;
  // A client that fails without a request, such as for a right that it lacks, has said why.
  if (unseen.length === urls.length && end.exitCode !== 0 && family !== 'other') return;
  const failure = unguarded(unseen);
  // What apt-get install needs may be there already, and so may what a client needs that would be seen to read this mirror.
  const mayHaveAll = use === 'reuse' || (use === 'pin' && unseen.some(({ isNamed }) => isNamed));
  if (unseen.length === urls.length && end.exitCode === 0 && !mayHaveAll) throw failure;
  printWarning(failure.message);
}

/** A channel that is named by its own URL and one that is named by --channel are the same. */
function rememberedPlace(mirror: MirrorUrl, channel: string | undefined): URL {
  const named = channel === undefined ? mirror.base : new URL(`${channel}/`, mirror.base);
  return placeOf({ ...mirror, base: named });
}

function notRemembered(url: string, channel: string | undefined, name: string): MirrorlatchError {
  const refresh = refreshOf(name) ?? 'COMMAND';
  const of = channel === undefined ? '' : ` --channel ${channel}`;
  return new MirrorlatchError(
    'UNAVAILABLE',
    `no snapshot of ${url} is remembered under the name ${JSON.stringify(name)}`,
    {
      hint: `Give --or-current, or first run: mirrorlatch run --http ${quoteForSh(url)}${of} --sticky ${quoteForSh(name)} -- ${refresh}`,
    },
  );
}

function describe({ mirror, kind, id, target }: KeptPin): string {
  const held =
    kind === 'strict' ? 'the server holds it' : 'nothing holds it: the server has given no pin';
  return `${mirror.given} is pinned to ${id} (${target.href}); ${held}`;
}

function unguarded(unseen: readonly UnseenUrl[]): MirrorlatchError {
  const urls = unseen.map(({ url }) => url).join(', ');
  return new MirrorlatchError(
    'UNAVAILABLE',
    `COMMAND requested nothing of ${urls} through the guard, so it may have run unguarded`,
    {
      hint:
        'Either it needed nothing, or it reads the mirror by another name than this URL, by https:, or past the proxy: a configuration ' +
        'of its own may name a proxy, and sudo inside drops http_proxy (put sudo before mirrorlatch). If that is fine, give --allow-unseen.',
    },
  );
}
