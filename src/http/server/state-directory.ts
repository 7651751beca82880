import { createHash } from 'node:crypto';
import { closeSync, constants, fchmodSync, fchownSync, fstatSync, openSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../../errors.ts';
import {
  lstatIfThere,
  makeDirectories,
  makeDirectory,
  makeOpenDirectory,
} from '../../system/files.ts';
import type { Account } from '../../system/privileges.ts';
import { userName } from '../../system/proc.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Endpoint } from './listen.ts';
import { FORGETFUL } from './state-file.ts';

/** In what is kept for one boot only, such as the runs of clients. */
const OF_THE_SYSTEM = '/run/mirrorlatch';

/**
 * Where servers keep what outlives them: as systemd.exec(5) says, or else where the user may write. Pure.
 *
 * @returns undefined where there is no such place.
 */
export function stateBase(env: NodeJS.ProcessEnv, isRoot: boolean): string | undefined {
  // systemd names several directories with colons between.
  const [ofService] = (env['STATE_DIRECTORY'] || env['RUNTIME_DIRECTORY'] || '').split(':');
  if (ofService) return ofService;
  if (isRoot) return OF_THE_SYSTEM;
  const ofUser = env['XDG_RUNTIME_DIR'];
  return ofUser ? join(ofUser, 'mirrorlatch') : undefined;
}

/**
 * Refuses a directory for the state that lies nowhere: it was mistyped, or its disk is not mounted.
 *
 * @throws MirrorlatchError USAGE
 */
export function refuseLostState(directory: string): void {
  const above = dirname(resolve(directory));
  if (lstatIfThere(above) !== undefined) return;
  throw new MirrorlatchError(
    'USAGE',
    `there is no ${above}, in which the state ${JSON.stringify(directory)} could lie`,
    { hint: `Make it first: mkdir -p ${quoteForSh(above)}` },
  );
}

export interface StatePlace {
  readonly stateBase?: string | undefined;
  readonly endpoints: readonly Endpoint[];
  /** Told where there is no such place. */
  readonly onWarning: (message: string) => void;
}

/**
 * Makes the directory of one server, for the user that it becomes.
 *
 * @param addresses where it listens: two servers of a host have two directories.
 * @param owner that user, while this is root.
 * @returns undefined where there can be none, or no server after this one would find it.
 */
export function stateDirectory(
  { stateBase, endpoints, onWarning }: StatePlace,
  addresses: readonly string[],
  owner: Account | undefined,
): string | undefined {
  const isLasting = (endpoint: Endpoint | undefined) =>
    endpoint !== undefined && !(endpoint.kind === 'tcp' && endpoint.port === 0);
  const lasting = addresses.filter((_, at) => isLasting(endpoints[at]));
  if (lasting.length === 0) return undefined;
  try {
    if (stateBase !== undefined) return makeDirectoryOf(lasting, stateBase, owner);
    onWarning(`${FORGETFUL}: name a directory for them with --state`);
  } catch (error) {
    onWarning(asMirrorlatchError(error, FORGETFUL).message);
  }
  return undefined;
}

/** @throws MirrorlatchError PERMISSION when it belongs to another user; the error of the system call. */
function makeDirectoryOf(
  addresses: readonly string[],
  base: string,
  owner: Account | undefined,
): string {
  const hash = createHash('sha256')
    .update([...addresses].sort().join('\n'))
    .digest('hex');
  const path = join(resolve(base), `serve-${hash.slice(0, 16)}`);
  makeDirectories(resolve(base), makeOpenDirectory);
  const isNew = makeDirectory(path, 0o700);
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const descriptor = openSync(path, flags);
  try {
    if (isNew && owner !== undefined) fchownSync(descriptor, owner.uid, owner.gid);
    const { uid } = fstatSync(descriptor);
    if (uid !== (owner?.uid ?? process.geteuid?.())) {
      throw new MirrorlatchError(
        'PERMISSION',
        `${path}, for the time after a restart, belongs to the user ${userName(uid)}`,
        { hint: `Remove it: rm -r ${quoteForSh(path)}` },
      );
    }
    fchmodSync(descriptor, 0o700);
  } finally {
    closeSync(descriptor);
  }
  return path;
}
