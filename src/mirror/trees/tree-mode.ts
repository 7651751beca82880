import { ifAllowed, lstatIfThere } from '../../system/files.ts';

/** For search and reading by every user (inode(7)). */
const OPEN_TO_ALL = 0o005n;

/** For search by others than the owner. */
const OPEN_TO_OTHERS = 0o011n;

/** Whether only the owner of a directory may enter it, root aside. */
export function isPrivate(directory: string): boolean {
  const mode = lstatIfThere(directory)?.mode;
  return mode !== undefined && (mode & OPEN_TO_OTHERS) === 0n;
}

/** The octal mode of a tree's top directory, if it keeps some users out, as far as this one may see. */
export function modeIfClosed(tree: string): string | undefined {
  const mode = ifAllowed(() => lstatIfThere(tree))?.mode;
  if (mode === undefined || (mode & OPEN_TO_ALL) === OPEN_TO_ALL) return undefined;
  return (mode & 0o7777n).toString(8).padStart(4, '0');
}
