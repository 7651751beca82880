import { runProgram } from '../system/process.ts';

/** `[3, 2, 7]` */
export type RsyncVersion = readonly [number, number, number];

let known: RsyncVersion | undefined;

/** Asks rsync for its version. @returns undefined if it says none. */
export async function askVersion(): Promise<RsyncVersion | undefined> {
  const { stdout } = await runProgram('rsync', ['--version']);
  const [, ...parts] = /version v?(\d+)\.(\d+)\.(\d+)/.exec(stdout) ?? [];
  const [major, minor, patch] = parts.map(Number);
  known =
    major === undefined || minor === undefined || patch === undefined
      ? undefined
      : [major, minor, patch];
  return known;
}

/** Whether rsync is at least of a version; it is asked once. */
export async function isAtLeast(wanted: RsyncVersion): Promise<boolean> {
  const found = known ?? (await askVersion());
  return found !== undefined && compareVersions(found, wanted) >= 0;
}

export function compareVersions(one: RsyncVersion, other: RsyncVersion): number {
  return one.map((part, at) => part - (other[at] ?? 0)).find((by) => by !== 0) ?? 0;
}
