import { spawnSync } from 'node:child_process';
import { errnoOf, MirrorlatchError } from '../errors.ts';

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
    throw new MirrorlatchError('USAGE', `there is no user ${JSON.stringify(name)}`, {
      hint: 'See which there are: getent passwd',
    });
  });
  return { name, uid, gid };
}

/**
 * Does something at once as another user, with the groups of that user; only root can.
 *
 * @throws what `action` throws; PERMISSION when this user may not; UNAVAILABLE when this Node cannot.
 */
export function asUser<T>({ name, uid, gid }: Account, action: () => T): T {
  const [ownUid, ownGid, ownGroups] = [
    process.geteuid?.(),
    process.getegid?.(),
    process.getgroups?.(),
  ];
  try {
    initgroups(name, gid);
    process.setegid?.(gid);
    process.seteuid?.(uid);
  } catch (cause) {
    throw cannotBecome(name, cause);
  }
  try {
    return action();
  } finally {
    process.seteuid?.(ownUid ?? 0);
    process.setegid?.(ownGid ?? 0);
    process.setgroups?.(ownGroups ?? []);
  }
}

/**
 * Becomes another user, with the groups of that user, for the rest of this process.
 *
 * @throws MirrorlatchError PERMISSION when this user may not; UNAVAILABLE when this Node cannot.
 */
export function becomeUser({ name, uid, gid }: Account): void {
  try {
    initgroups(name, gid);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (cause) {
    throw cannotBecome(name, cause);
  }
}

function cannotBecome(name: string, cause: unknown): MirrorlatchError {
  // A Node whose libuv is not its own, as in Debian 13, never changes users: io_uring might be in use (CVE-2024-22017).
  if (errnoOf(cause) === 'ERR_INVALID_STATE') {
    return new MirrorlatchError('UNAVAILABLE', `this Node cannot become the user ${name}`, {
      hint: `Start it as that user. In a unit of systemd: User=${name}, AmbientCapabilities=CAP_NET_BIND_SERVICE`,
      cause,
    });
  }
  return new MirrorlatchError('PERMISSION', `only root can become the user ${name}`, {
    hint: 'Start it as root, or as that user and without --user.',
    cause,
  });
}
