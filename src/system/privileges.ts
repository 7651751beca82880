import { spawnSync } from 'node:child_process';
import { MirrorlatchError } from '../errors.ts';

/** @types/node does not know it. */
const { initgroups } = process as unknown as { initgroups(user: string, group: number): void };

/** A user of this host. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** @throws MirrorlatchError USAGE when there is no such user. */
export function accountOf(name: string): Account {
  const [uid = 0, gid = 0] = ['-u', '-g'].map((option) => {
    const { status, stdout } = spawnSync('id', [option, '--', name], { encoding: 'utf8' });
    if (status === 0) return Number(stdout);
    throw new MirrorlatchError('USAGE', `there is no user ${JSON.stringify(name)}`);
  });
  return { name, uid, gid };
}

/**
 * Becomes another user, with the groups of that user, for the rest of this process.
 *
 * @throws MirrorlatchError PERMISSION when this user may not.
 */
export function becomeUser({ name, uid, gid }: Account): void {
  try {
    initgroups(name, gid);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (cause) {
    throw new MirrorlatchError('PERMISSION', `only root can become the user ${name}`, { cause });
  }
}
