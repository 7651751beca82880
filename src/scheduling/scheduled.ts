import { dirname } from 'node:path';

/** A mirror that is to be synced without a person, and what its jobs need to know. */
export interface ScheduledMirror {
  readonly name: string;
  readonly root: string;
  /** When, as systemd.time(7) writes it. */
  readonly schedule: string;
  /** The name of the mirror whose publications it follows, in place of a schedule. */
  readonly after: string | undefined;
  /** The configuration has the command that fills it, for `lock`. */
  readonly isFilled: boolean;
  /** Other directories that its syncs write to. */
  readonly writes: readonly string[];
  /** The name of its owner. */
  readonly user: string;
  /** The configuration says how long to wait for another writer. */
  readonly waits: boolean;
  /** People want to know when it is stale, which no sync can tell them. */
  readonly isWatched: boolean;
  /** Its notices go by mail. */
  readonly mails: boolean;
  /** They are shown as the state of the unit. */
  readonly tellsManager: boolean;
}

/** How the jobs start the program. */
export interface ProgramPlace {
  /** The absolute path of the command `mirrorlatch`. */
  readonly program: string;
  /** That of Node. */
  readonly node: string;
  /** The configuration, if it is not in its usual place. */
  readonly configuration: string | undefined;
}

/** cron and systemd have a PATH of their own, in which Node may be missing. */
export function searchPath({ program, node }: ProgramPlace): string {
  const usual = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'.split(':');
  return [...new Set([dirname(program), dirname(node), ...usual])].join(':');
}

/** A command line of ours, which finds the configuration where this process did. */
export function ownWords(
  { program, configuration }: ProgramPlace,
  verb: string,
  ...words: readonly string[]
): string[] {
  const named = configuration === undefined ? [] : ['--config', configuration];
  return [program, verb, ...named, ...words];
}

/**
 * Syncs or fills a mirror as a job does: quietly, and patient with other writers.
 *
 * @param more options of sync and lock.
 */
export function syncWords(
  place: ProgramPlace,
  { name, waits, isFilled }: Pick<ScheduledMirror, 'name' | 'waits' | 'isFilled'>,
  ...more: readonly string[]
): string[] {
  const verb = isFilled ? 'lock' : 'sync';
  return ownWords(place, verb, name, '--quiet', ...(waits ? [] : ['--wait', '1h']), ...more);
}

/** Does so after each publication of another mirror. */
export function followWords(
  place: ProgramPlace,
  mirror: ScheduledMirror,
  after: string,
  ...more: readonly string[]
): string[] {
  return [...ownWords(place, 'watch', after, '--'), ...syncWords(place, mirror, ...more)];
}
