import { accessSync, constants, statSync } from 'node:fs';

/** Whether a path leads to a regular file that this process may execute. */
export function isExecutable(path: string): boolean {
  return mayAccessFile(path, constants.X_OK);
}

/** @param mode as of access(2): R_OK, X_OK, or both. */
export function mayAccessFile(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
