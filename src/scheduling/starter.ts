import { runProgram } from '../system/process.ts';
import { followUnit, syncUnit } from './systemd-units.ts';

/** A unit of systemd that is active here and starts the syncs of a mirror. */
export interface Starter {
  /** `mirrorlatch-sync@debian.timer` */
  readonly unit: string;
  /** When it starts the next one; ISO 8601, UTC. Null if nobody knows: it follows another mirror, or one is running. */
  readonly next: string | null;
}

/**
 * What starts the syncs of a mirror by its schedule.
 *
 * @returns undefined if none is active, or systemd does not run here.
 */
export async function activeTimer(name: string): Promise<Starter | undefined> {
  const unit = `${syncUnit(name)}.timer`;
  const [timer] = timersIn(await systemctl('list-timers', '--output=json', unit));
  if (timer === undefined) return undefined;
  return { unit, next: timer.next > 0 ? new Date(timer.next / 1000).toISOString() : null };
}

/** The same for a mirror that follows another one. */
export async function activeFollower(name: string): Promise<Starter | undefined> {
  const unit = `${followUnit(name)}.service`;
  const state = await systemctl('is-active', unit);
  return state.trim() === 'active' ? { unit, next: null } : undefined;
}

/** @returns what `list-timers` prints as JSON; `next` in µs since the epoch, 0 for none. */
function timersIn(json: string): { next: number }[] {
  if (json.trim() === '') return [];
  return (JSON.parse(json) as { next: number | null }[]).map(({ next }) => ({ next: next ?? 0 }));
}

/** What it prints; nothing where it fails or is missing. */
async function systemctl(...words: readonly string[]): Promise<string> {
  const failed = { exitCode: 1, stdout: '' };
  const { stdout } = await runProgram('systemctl', words).catch(() => failed);
  return stdout;
}
