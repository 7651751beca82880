import { readFileSync } from 'node:fs';

/** What a process has in memory, in MiB (VmRSS of proc_pid_status(5)). */
export function residentMegabytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
