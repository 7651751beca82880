import { chmodSync, mkdtempSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { onTestFinished } from 'vitest';
import { runsAsRoot } from './privilege.ts';

/** A temporary directory, which is removed with its contents and all mounts in it. */
export interface Scratch {
  readonly path: string;
  remove(): Promise<void>;
}

/** Makes a scratch directory for a whole test file; call `remove` in `afterAll`. */
export function makeScratch(): Scratch {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'mirrorlatch-')));
  // Other users in the tests have to get through, whatever the umask.
  chmodSync(path, 0o755);
  return { path, remove: () => removeTree(path) };
}

/** Makes a scratch directory that is removed at the end of the running test. */
export function scratchDirectory(): string {
  const scratch = makeScratch();
  onTestFinished(() => scratch.remove());
  return scratch.path;
}

/** The mount points at or below `path`, deepest first. */
function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => unescapeMountPoint(line.split(' ')[4] ?? ''))
    .filter((point) => point === path || point.startsWith(`${path}/`))
    .reverse();
}

/**
 * Uses rm(1), because `fs.rm` fails on names that are not UTF-8. An ordinary user must make
 * read-only directories writable first.
 */
async function removeTree(path: string): Promise<void> {
  for (const point of mountsBelow(path)) await execa('umount', ['--lazy', '--', point]);
  if (!runsAsRoot) {
    await execa('find', [path, '-type', 'd', '-exec', 'chmod', 'u+rwx', '--', '{}', ';'], {
      reject: false,
      stdout: 'ignore',
    });
  }
  await execa('rm', ['-rf', '--one-file-system', '--', path]);
}

/** The kernel writes space, tab, newline and backslash as `\ooo` (proc_pid_mountinfo(5)). */
function unescapeMountPoint(point: string): string {
  return point.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
