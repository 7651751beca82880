import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import { parseMirrorUrl } from '../../http/client/mirror-url.ts';
import { mirrorWith, refusePartOfMirror } from '../../mirror/open.ts';
import { isWebUrl } from '../../mirror/web-url.ts';
import type { ChooseGuardOptions } from '../../reader/choose-guard.ts';
import { PINS, type PinKind } from '../../reader/guard.ts';
import { MirrorOption } from '../mirror-names.ts';
import { channelName, duration, wholeSeconds } from '../values.ts';

/** The flags of the commands that install guards: `shell-init` and `shims`. */
export interface GuardFlags {
  mirror?: string[];
  http?: string[];
  allowUnseen?: boolean;
  channel?: string;
  pin?: PinKind;
  /** ms */
  wait?: number;
  sticky?: boolean;
  orCurrent?: boolean;
  remove?: boolean;
}

export function addGuardOptions(command: Command): Command {
  return command
    .addOption(
      new MirrorOption(
        '-m, --mirror <mirror>',
        'the mirror that the commands read; may be repeated',
      ),
    )
    .option(
      '--http <url>',
      'a mirror that the commands read at this URL; may be repeated',
      (url, all: string[] = []) => [...all, url],
    )
    .option('--allow-unseen', 'with --http: accept commands that request nothing of the mirror')
    .option(
      '--channel <name>',
      'pin the snapshot that this channel names, instead of the current one',
      channelName,
    )
    .addOption(
      new Option('--pin <kind>', 'how to pin the commands, see mirrorlatch run').choices(PINS),
    )
    .option(
      '--wait <duration>',
      'how long to wait while there is nothing to read (default: without limit)',
      duration,
    )
    .option('--sticky', 'apt-get update remembers the snapshot, apt-get install reuses it')
    .option('--or-current', 'with --sticky: use the current snapshot if that one is gone')
    .option('--remove', 'remove the guards again');
}

/**
 * @param onWarning called for each mirror that is not there, which may still be mounted or made.
 * @throws MirrorlatchError USAGE when the flags contradict each other, or name a part of a mirror.
 */
export function guardOptions(
  flags: GuardFlags,
  onWarning: (message: string) => void = () => {},
): ChooseGuardOptions {
  if (flags.orCurrent && !flags.sticky) {
    throw new MirrorlatchError('USAGE', '--or-current has no effect without --sticky', {
      hint: 'Without --sticky, each command sees the current snapshot.',
    });
  }
  for (const url of flags.http ?? []) parseMirrorUrl(url);
  if (flags.allowUnseen && !flags.http?.length) {
    throw new MirrorlatchError('USAGE', '--allow-unseen has no effect without --http', {
      hint: 'A mirror on a path is pinned whether or not the commands read it.',
    });
  }
  for (const root of flags.mirror ?? []) {
    if (isWebUrl(root)) {
      throw new MirrorlatchError('USAGE', `${root} is a URL, not the path of a mirror`, {
        hint: `Name it with --http ${root}`,
      });
    }
    refusePartOfMirror(root, mirrorWith(root));
    if (!['.mirrorlatch', 'current'].some((name) => existsSync(join(root, name))))
      onWarning(`there is no mirror in ${root} yet, or you may not enter it`);
  }
  return {
    roots: flags.mirror ?? [],
    urls: flags.http,
    allowUnseen: flags.allowUnseen,
    channel: flags.channel,
    pin: flags.pin,
    waitSeconds: flags.wait === undefined ? undefined : wholeSeconds(flags.wait),
    sticky: flags.sticky,
    orCurrent: flags.orCurrent,
    env: process.env,
  };
}

/** @throws MirrorlatchError USAGE when `commands` is empty. */
export function someCommands(commands: readonly string[]): readonly string[] {
  if (commands.length > 0) return commands;
  throw new MirrorlatchError('USAGE', 'no command was named', {
    hint: 'Name the commands that read the mirror, for example: apt-get apt',
  });
}
