/**
 * Joins a directory and a name as rsync prints it into a path for a system call.
 *
 * @param directory a path of our own, in UTF-8.
 * @param name one character per byte (latin1), because names need not be valid UTF-8.
 */
export function bytePath(directory: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, 'latin1')]);
}

/** The directory that contains `name`; `.` at the top of the tree. */
export function parentOf(name: string): string {
  const slash = name.lastIndexOf('/');
  return slash === -1 ? '.' : name.slice(0, slash);
}

/** The directories of the tree that contain `name`, the innermost first; without the top. */
export function parentsOf(name: string): string[] {
  const parents = [];
  for (let above = parentOf(name); above !== '.'; above = parentOf(above)) parents.push(above);
  return parents;
}
