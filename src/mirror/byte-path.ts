/**
 * Joins a directory of ours and a name as rsync tells it to a path for a system call. The name has
 * one character a byte (latin1): names are bytes, and not every one is UTF-8.
 */
export function bytePath(directory: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, 'latin1')]);
}

/** The directory that holds `name`; `.` for what lies in the root. */
export function parentOf(name: string): string {
  const slash = name.lastIndexOf('/');
  return slash === -1 ? '.' : name.slice(0, slash);
}
