import { readFileSync, readlinkSync } from 'node:fs';
import { hostname, uptime } from 'node:os';
import { readTextIfThere } from './files.ts';
import { fromProc } from './proc-filesystem.ts';

/** Identifies a host, and one boot of it. */
export interface HostIdentity {
  hostname: string;
  /** machine-id(5), or an empty string if there is none. */
  machineId: string;
  /** random(4), boot_id: new at each boot. */
  bootId: string;
  /** pid_namespaces(7): pids mean the same in one namespace only. Records of older versions lack it. */
  pidNamespace?: string | undefined;
}

export function thisHost(): HostIdentity {
  return {
    hostname: hostname(),
    machineId: readTextIfThere('/etc/machine-id')?.trim() ?? '',
    bootId: fromProc(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
    pidNamespace: fromProc(() => readlinkSync('/proc/self/ns/pid')),
  };
}

/** When this kernel started, by this host's clock; ms since the epoch. */
export function bootTimeMs(): number {
  return Date.now() - uptime() * 1000;
}

let startedMs: number | undefined;

/** A clock that never jumps and that all processes of one boot share; whole ms since the boot. */
export function msSinceBoot(): number {
  startedMs ??= uptime() * 1000 - performance.now();
  return Math.round(startedMs + performance.now());
}
