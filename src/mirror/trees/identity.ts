import { lstatIfThere } from '../../system/files.ts';

/**
 * Tells a directory from all others on its filesystem, also from a later one with its inode number.
 * Not by the number of the device, which may change at each mount.
 */
export function identityIfThere(path: string): string | undefined {
  const found = lstatIfThere(path);
  return found && `${found.ino}:${found.birthtimeNs}`;
}
