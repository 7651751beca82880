import { readFileSync } from 'node:fs';

/** Bit of CAP_SYS_ADMIN in a capability mask (linux/capability.h). */
const CAP_SYS_ADMIN = 21n;

/** True when the tests run as root and so may change owners and become another user. */
export const runsAsRoot = process.getuid?.() === 0;

/** True when the tests may mount: in a container root often may not. */
export const mayMount = runsAsRoot && holdsCapability(CAP_SYS_ADMIN);

/** The user that stands for "anybody else" in the tests. */
export const nobody: User = { uid: 65_534, gid: 65_534 };

/** Who a process runs as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

function holdsCapability(bit: bigint): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) & (1n << bit)) !== 0n;
}
