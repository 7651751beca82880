import { spawnSync } from 'node:child_process';
import { MirrorlatchError } from '../errors.ts';

/** @types/node does not know it. */
const { initgroups } = process as unknown as { initgroups(user: string, group: number): void };

/**
 * Becomes another user, with the groups of that user, for the rest of this process.
 *
 * @throws MirrorlatchError USAGE when there is no such user; PERMISSION when this user may not.
 */
export function becomeUser(name: string): void {
  const { status, stdout } = spawnSync('id', ['-g', '--', name], { encoding: 'utf8' });
  if (status !== 0) throw new MirrorlatchError('USAGE', `there is no user ${JSON.stringify(name)}`);
  const group = Number(stdout);
  try {
    initgroups(name, group);
    process.setgid?.(group);
    process.setuid?.(name);
  } catch (cause) {
    throw new MirrorlatchError('PERMISSION', `only root can become the user ${name}`, { cause });
  }
}
