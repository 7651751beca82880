import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Through } from './tripwire.ts';

const MACHINE_ID = '/etc/machine-id';

/** A second host that shares a directory with this one, as over a network filesystem. */
export interface OtherHost {
  readonly hostname: string;
  /** The path of the directory on the second host. */
  readonly view: string;
  /** Runs a command on the second host. */
  readonly through: Through;
  /** Unmounts the view. */
  remove(): void;
}

/**
 * Makes the second host from namespaces: it has its own process ids, host name, boot id and mounts.
 * It sees `directory` through FUSE, which keeps flocks local to the view unless bindfs forwards
 * them, as many network filesystems do.
 *
 * @param place a new directory for its files.
 */
export function makeOtherHost(hostname: string, directory: string, place: string): OtherHost {
  const view = join(place, 'view');
  mkdirSync(view, { recursive: true });
  const identity = (name: string, value: string): string => {
    writeFileSync(join(place, name), `${value}\n`);
    return join(place, name);
  };
  const bootId = identity('boot-id', randomUUID());
  const machineId = identity('machine-id', randomUUID().replaceAll('-', ''));
  execFileSync('bindfs', ['--disable-lock-forwarding', directory, view]);
  const script = [
    'set -e',
    'hostname "$1"',
    'mount --bind "$2" /proc/sys/kernel/random/boot_id',
    ...(existsSync(MACHINE_ID) ? [`mount --bind "$3" ${MACHINE_ID}`] : []),
    'shift 3',
    'exec "$@"',
  ].join('\n');
  return {
    hostname,
    view,
    through: (command) => [
      ...['unshare', '--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'],
      ...['--propagation', 'private', 'sh', '-c', script, 'sh', hostname, bootId, machineId],
      ...command,
    ],
    remove: () => {
      execFileSync('umount', ['--', view]);
    },
  };
}
