import { readFileSync } from 'node:fs';

/** Bit of CAP_SYS_ADMIN in a capability mask (linux/capability.h). */
const CAP_SYS_ADMIN = 21n;

/** True if the tests run as root, and so may change owners and users. */
export const runsAsRoot = process.getuid?.() === 0;

/** True if the tests may mount, which root often may not in a container. */
export const mayMount = runsAsRoot && holdsCapability(CAP_SYS_ADMIN);

/** The user that stands for any other user in the tests. */
export const nobody: User = { uid: 65_534, gid: 65_534 };

/** The ids that a process runs with. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

function holdsCapability(bit: bigint): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) & (1n << bit)) !== 0n;
}
