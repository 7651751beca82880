import { userInfo } from 'node:os';
import { MirrorlatchError } from '../errors.ts';
import { emptyName } from '../mirror/layout.ts';
import { quoteForSh } from '../system/quote.ts';
import type { PinKind } from './guard.ts';
import { interactiveShell } from './interactive-shell.ts';
import { presetFor, refreshOf } from './presets.ts';
import { programPath, readerPath } from './script.ts';
import { prepareSticky, rememberedId, stickyDirectory, stickyFile } from './sticky.ts';

export interface RunOptions {
  /** The mirrors to pin; the command starts in the first. */
  roots: readonly string[];
  /** Empty to open a shell. */
  command: readonly string[];
  /** The channel that is resolved instead of `current`, in each of the mirrors. */
  channel?: string | undefined;
  /** Another snapshot than the current one: an id, or `previous`. */
  snapshot?: string | undefined;
  orCurrent?: boolean | undefined;
  /** Read an in-place mirror even if its last sync did not finish cleanly. */
  allowDirty?: boolean | undefined;
  pin?: PinKind | undefined;
  chdir?: 'yes' | 'no' | undefined;
  /** How long to wait while there is nothing to read, in seconds. Default: without limit. */
  waitSeconds?: number | undefined;
  /** Remember the snapshot under this name. */
  sticky?: string | undefined;
  /** Pin the snapshot that is remembered under this name. */
  reuse?: string | undefined;
  /** Choose between these two by what the command does. */
  preset?: boolean | undefined;
  releaseOnExit?: boolean | undefined;
  verbose?: boolean | undefined;
  env: NodeJS.ProcessEnv;
}

/**
 * Makes the shell code that runs a command pinned: it puts words before `"$@"`, the command, that start
 * the reader, which becomes the command in turn. The user's own words never pass through here, so
 * they stay bytes.
 *
 * @throws MirrorlatchError USAGE, NO_MIRROR, or UNAVAILABLE when nothing is remembered.
 */
export function shellCodeFor(options: RunOptions): string {
  return `set -- ${guardWords(options).map(quoteForSh).join(' ')} "$@"`;
}

/**
 * The words that stand before the user's; without a command, those of a shell too.
 *
 * @throws MirrorlatchError as `shellCodeFor`.
 */
export function guardWords(options: RunOptions): string[] {
  const { roots, channel, command, env } = options;
  if (roots.includes('')) throw emptyName();
  const { sticky, reuse, isUnpinned } = stickiness(options);
  if (isUnpinned) return [];
  if (roots.length === 0) return command.length === 0 ? interactiveShell(usersShell(env), env) : [];
  const directory = stickyDirectory(env, process.geteuid?.() === 0);
  const again = reuse && howToRemember(options, reuse);
  return [
    // Not what PATH calls sh: in a mirror, that may be the mirror's.
    '/bin/sh',
    readerPath,
    ...roots.flatMap((root) => [
      '--root',
      root,
      ...(channel === undefined ? [] : ['--channel', channel]),
      ...snapshotOf(options, root, directory, reuse, again),
      ...(sticky === undefined ? [] : ['--remember', rememberIn(directory, sticky, root, channel)]),
    ]),
    ...(options.orCurrent ? ['--or-current'] : []),
    ...(again === undefined ? [] : ['--if-gone', again]),
    ...(options.allowDirty ? ['--allow-dirty'] : []),
    ...(options.pin === undefined ? [] : ['--pin', options.pin]),
    ...(options.chdir === undefined ? [] : ['--chdir', options.chdir]),
    '--waiter',
    programPath,
    ...(options.waitSeconds === undefined ? [] : ['--wait', String(options.waitSeconds)]),
    ...(options.releaseOnExit ? ['--release-on-exit'] : []),
    ...(options.verbose ? ['--verbose'] : []),
    ...(command.length === 0 ? ['--shell'] : []),
    '--typed',
    typedOptions(options).map(quoteForSh).join(' '),
    '--',
    ...(command.length === 0 ? interactiveShell(usersShell(env), env) : []),
  ];
}

/** Which names to remember and reuse, by the options or by the command's preset. */
export function stickiness({ sticky, reuse, preset, command }: RunOptions): {
  sticky?: string | undefined;
  reuse?: string | undefined;
  isUnpinned?: boolean;
} {
  if (!preset) return { sticky, reuse };
  const { family, use } = presetFor(command);
  switch (use) {
    case 'refresh':
      return { sticky: family };
    case 'reuse':
      return { reuse: family };
    case 'pin':
      return {};
    case 'none':
      return { isUnpinned: true };
  }
}

function snapshotOf(
  { snapshot, channel, orCurrent }: RunOptions,
  root: string,
  directory: string,
  reuse: string | undefined,
  again: string | undefined,
): string[] {
  if (reuse === undefined) return snapshot === undefined ? [] : ['--snapshot', snapshot];
  const id = rememberedId(stickyFile(directory, reuse, root, channel));
  if (id !== undefined) return ['--snapshot', id];
  if (orCurrent) return [];
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `no snapshot of ${root} is remembered under the name ${JSON.stringify(reuse)}${channel === undefined ? '' : ` for ${channel}`}`,
    { hint: again },
  );
}

/** The options as one types them, without the mirrors, `--pin` and `--chdir`. */
function typedOptions({
  channel,
  snapshot,
  sticky,
  reuse,
  preset,
  orCurrent,
  allowDirty,
  waitSeconds,
  releaseOnExit,
  verbose,
}: RunOptions): string[] {
  return [
    ...(channel === undefined ? [] : ['--channel', channel]),
    ...(snapshot === undefined ? [] : ['--snapshot', snapshot]),
    ...(sticky === undefined ? [] : ['--sticky', sticky]),
    ...(reuse === undefined ? [] : ['--reuse', reuse]),
    ...(preset ? ['--preset'] : []),
    ...(orCurrent ? ['--or-current'] : []),
    ...(allowDirty ? ['--allow-dirty'] : []),
    ...(waitSeconds === undefined ? [] : ['--wait', `${waitSeconds}s`]),
    ...(releaseOnExit ? ['--release-on-exit'] : []),
    ...(verbose ? ['--verbose'] : []),
  ];
}

/** The advice for a snapshot that is gone, or was never remembered. */
function howToRemember(options: RunOptions, name: string): string {
  const { roots, command, pin, chdir } = options;
  const run = `mirrorlatch run ${roots.map(quoteForSh).join(' -m ')}`;
  const again = [
    ...typedOptions({ ...options, orCurrent: true }).map(quoteForSh),
    ...(pin === undefined ? [] : ['--pin', pin]),
    ...(chdir === undefined ? [] : ['--chdir', chdir]),
  ].join(' ');
  const from = options.channel === undefined ? '' : `--channel ${options.channel} `;
  const first = options.preset ? '--preset' : `--sticky ${quoteForSh(name)}`;
  const words = command.length === 0 ? '' : ` -- ${command.map(quoteForSh).join(' ')}`;
  const current = `To use what is current: ${run} ${again}${words}`;
  const refresh = refreshOf(name);
  const what = refresh === undefined ? 'what fetches the lists' : `${refresh} again`;
  return `${current}. Or run ${what}: ${run} ${from}${first} -- ${refresh ?? 'COMMAND'}`;
}

function rememberIn(
  directory: string,
  name: string,
  root: string,
  channel: string | undefined,
): string {
  const file = stickyFile(directory, name, root, channel);
  prepareSticky(file);
  return file;
}

function usersShell(env: NodeJS.ProcessEnv): string {
  return env['SHELL'] || userInfo().shell || '/bin/sh';
}
