import type { ConfiguredMirror } from '../config/configuration.ts';
import { jobsFor } from '../operations/doctor/cron.ts';
import { activeFollower, activeTimer, type Starter } from '../scheduling/starter.ts';
import { quoteForSh } from '../system/quote.ts';
import { isFilled, isKept } from './scheduled-mirrors.ts';

/** What syncs a mirror of the configuration without a person, on this host and as far as this user may see. */
export interface Schedule {
  /** A calendar event of systemd, or `never`. */
  readonly schedule: string;
  /** The name of the mirror that it follows instead. */
  readonly after: string | undefined;
  /** By the command of the configuration, and not from a source. */
  readonly isFilled: boolean;
  readonly starter: Starter | undefined;
  /** Jobs of cron, such as `17 3 * * * (/etc/cron.d/mirrors, line 2)`. */
  readonly jobs: readonly string[];
  /** The command that lets systemd start it. */
  readonly install: string;
}

/** @param given the only configuration, see `ConfigurationOnDisk`. */
export async function scheduleHere(
  mirror: ConfiguredMirror,
  given: string | undefined,
): Promise<Schedule> {
  const { name, root, table } = mirror;
  const after = isKept(mirror) ? table.after : undefined;
  return {
    schedule: isKept(mirror) ? (table.schedule ?? 'daily') : 'never',
    after,
    isFilled: isFilled(mirror),
    starter: await (after === undefined ? activeTimer(name) : activeFollower(name)),
    jobs: jobsFor([name, root]).map(({ time, file, line }) => `${time} (${file}, line ${line})`),
    install: `mirrorlatch systemd ${name} --install${given === undefined ? '' : ` --config ${quoteForSh(given)}`}`,
  };
}
