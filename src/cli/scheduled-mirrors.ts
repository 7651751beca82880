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

/** The mirrors that `systemd` or `cron` is to sync. */
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
  return wanted
    .map((mirror) => ({
      ...scheduled(mirror, user),
      // People want to know of it all the same when it is stale.
      ...(all && !hasSource(mirror) ? { schedule: 'never', after: undefined } : {}),
    }))
    .filter(
      ({ schedule, after, isWatched, mails }) =>
        after !== undefined || schedule !== 'never' || isWatched || mails,
    );
}

/** Without one, a mirror is filled by `lock` or by another host, and not by syncs. */
export function hasSource(mirror: ConfiguredMirror): boolean {
  return sourceOf(mirror) !== undefined;
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

function scheduled(
  { name, root, table }: ConfiguredMirror,
  user: string | undefined,
): ScheduledMirror {
  const served = table['serve-at'] ?? findMirror(root)?.settings.serveAt;
  const to = recipientsOf(table);
  return {
    name,
    root,
    schedule: table.schedule ?? 'daily',
    after: table.after,
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
