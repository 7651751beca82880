import { existsSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** What ROOT/current.json says; undefined if there is none. */
export function currentJson(root: string): Record<string, unknown> | undefined {
  const file = join(root, 'current.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** Where ROOT/current.json disagrees with the symlinks after a command that ended well, one sentence each. */
export function wrongCurrentJson(root: string): string[] {
  const target = (name: string): string | null =>
    existsSync(join(root, name)) ? readlinkSync(join(root, name)) : null;
  const current = target('current');
  const said = currentJson(root);
  if (said === undefined) return current === null ? [] : ['current.json is missing'];
  const mode = (lstatSync(join(root, 'current.json')).mode & 0o7777).toString(8);
  const previous = target('previous')?.replace('snapshots/', '') ?? null;
  return [
    ...(said['path'] === `${current}/` ? [] : [`current.json leads to ${said['path']}`]),
    ...(`snapshots/${said['id']}` === current ? [] : [`current.json names ${said['id']}`]),
    ...(said['previous'] === previous ? [] : [`current.json has previous ${said['previous']}`]),
    ...(mode === '644' ? [] : [`current.json has mode ${mode}`]),
  ];
}
