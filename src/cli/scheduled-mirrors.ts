import { realpathSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { ConfiguredMirror } from '../config/configuration.ts';
import type { ConfigurationOnDisk } from '../config/source.ts';
import { MirrorlatchError } from '../errors.ts';
import { layoutOf } from '../mirror/layout.ts';
import { ownerOf } from '../mirror/locks/ownership.ts';
import { findMirror } from '../mirror/open.ts';
import { rememberedBy } from '../mirror/settings/settings.ts';
import { programPath } from '../reader/script.ts';
import type { ProgramPlace, ScheduledMirror } from '../scheduling/scheduled.ts';
import { recipientsOf } from './recipients.ts';
import { printWarning } from './terminal.ts';

/**
 * The mirrors that `systemd` or `cron` is to sync.
 *
 * @throws MirrorlatchError USAGE for a named one that nothing could sync.
 */
export function scheduledMirrors(
  configuration: ConfigurationOnDisk,
  { names, all, user }: { names: readonly string[]; all: boolean; user: string | undefined },
): ScheduledMirror[] {
  const { mirrors } = configuration.read();
  if (all === names.length > 0) {
    throw new MirrorlatchError(
      'USAGE',
      all ? '--all is for all mirrors: name none' : 'no mirror was named',
      {
        hint: 'Name mirrors of the configuration, or take all of them with --all. See: mirrorlatch config show',
      },
    );
  }
  if (all && mirrors.size === 0) {
    throw new MirrorlatchError('CONFIGURATION', 'the configuration names no mirror', {
      hint: 'See which files are read with: mirrorlatch config check',
    });
  }
  const wanted = all ? [...mirrors.values()] : names.map((name) => byName(mirrors, name));
  const idle = wanted.filter((mirror) => !isKept(mirror));
  if (all) warnOfIdle(idle);
  else refuseIdle(idle);
  return wanted
    .map((mirror) => ({
      ...scheduled(mirror, user),
      // People want to know of it all the same when it is stale.
      ...(idle.includes(mirror) ? { schedule: 'never', after: undefined } : {}),
    }))
    .filter(
      ({ schedule, after, isWatched, mails }) =>
        after !== undefined || schedule !== 'never' || isWatched || mails,
    );
}

/** Somebody has said when they are to be synced. */
function warnOfIdle(mirrors: readonly ConfiguredMirror[]): void {
  for (const { name, table } of mirrors)
    if (table.after !== undefined || (table.schedule ?? 'never') !== 'never')
      printWarning(
        `${name} is left out: it has no source, and no command that fills it, such as fill = "debmirror …"; schedule = "never" leaves it to you`,
      );
}

/** Nothing that a job could do fills these. */
function refuseIdle(mirrors: readonly ConfiguredMirror[]): void {
  const idle = mirrors.find(({ table }) => table.schedule !== 'never');
  if (idle === undefined) return;
  throw new MirrorlatchError('USAGE', `${idle.name} has no source, and no command that fills it`, {
    hint: 'Write one of them into its table of the configuration, such as fill = "debmirror …"; or schedule = "never". See: mirrorlatch help scheduling',
  });
}

/** Whether the configuration has a command that fills it, see `lock`. */
export function isFilled({ table }: ConfiguredMirror): boolean {
  return table.fill !== undefined && table.fill.length > 0;
}

/** Whether a job can bring it up to date. Other mirrors are filled by hand, or by another host. */
export function isKept(mirror: ConfiguredMirror): boolean {
  return isFilled(mirror) || sourceOf(mirror) !== undefined;
}

/**
 * A sync would undo what the command of the configuration has filled in.
 *
 * @throws MirrorlatchError USAGE for such a mirror.
 */
export function refuseFilled(mirror: ConfiguredMirror | undefined): void {
  if (mirror === undefined || !isFilled(mirror)) return;
  throw new MirrorlatchError('USAGE', `${mirror.name} is filled by a command, and has no source`, {
    hint: `Run that command, which the configuration has: mirrorlatch lock ${mirror.name}`,
  });
}

/** What syncs of a mirror copy, by the configuration or by what the mirror remembers. */
export function sourceOf({ root, table }: ConfiguredMirror): string | undefined {
  const settings = table.source === undefined ? findMirror(root)?.settings : undefined;
  return table.source ?? (settings && rememberedBy(settings).source);
}

/** @throws MirrorlatchError NO_MIRROR for what is no name of the configuration, be it a path of a mirror. */
export function byName(
  mirrors: ReadonlyMap<string, ConfiguredMirror>,
  name: string,
): ConfiguredMirror {
  const found = mirrors.get(name);
  if (found !== undefined) return found;
  throw new MirrorlatchError('NO_MIRROR', `there is no mirror in ${name}`, {
    hint: 'Schedules and recipients are those of mirrors of the configuration. See: mirrorlatch config show',
  });
}

function scheduled(mirror: ConfiguredMirror, user: string | undefined): ScheduledMirror {
  const { name, root, table } = mirror;
  const served = table['serve-at'] ?? findMirror(root)?.settings.serveAt;
  const to = recipientsOf(table);
  return {
    name,
    root,
    schedule: table.schedule ?? 'daily',
    after: table.after,
    isFilled: isFilled(mirror),
    writes: served === undefined ? [] : [dirname(served)],
    user: user ?? ownerOf(layoutOf(root)) ?? userInfo().username,
    waits: table.wait !== undefined,
    isWatched: table['max-age'] !== undefined && to !== undefined,
    mails: to !== undefined && to.mail.length > 0,
    tellsManager: to?.systemd ?? false,
  };
}

/**
 * How jobs start this program: by the name that PATH has for it, which outlasts an upgrade.
 *
 * @param given the only configuration.
 */
export function programPlace(given: string | undefined): ProgramPlace {
  const names = (process.env['PATH'] ?? '').split(':').map((path) => join(path, 'mirrorlatch'));
  const program = names.find((name) => name.startsWith('/') && isThisProgram(name)) ?? programPath;
  return { program, node: process.execPath, configuration: given };
}

function isThisProgram(path: string): boolean {
  try {
    return realpathSync(path) === realpathSync(programPath);
  } catch {
    return false;
  }
}
