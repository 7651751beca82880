import { realPathToBe } from '../system/files.ts';
import { find } from '../system/find.ts';
import type { ChildOptions } from '../system/process.ts';
import { parseRsyncOptions } from './options.ts';
import type { Source } from './source.ts';

/**
 * The directories of the source whose content `--one-file-system` leaves out, as names in it, one
 * character a byte (latin1). As for rsync, another filesystem is another device number: a mount, or a
 * Btrfs subvolume, which is no mount point. rsync deletes nothing below them in its target, and says
 * nothing of it (rsync(1), --one-file-system), so that of a source on another host nothing is known.
 */
export async function leftOutFilesystems(
  source: Source,
  options: readonly string[],
  { inherit = [], signal }: Pick<ChildOptions, 'inherit' | 'signal'>,
): Promise<string[]> {
  if (source.kind !== 'local' || timesGiven(options) === 0) return [];
  const names: string[] = [];
  let device: string | undefined;
  const args = [realPathToBe(source.path), '-xdev', '-type', 'd', '-printf', '%D %P\\0'];
  // What find cannot read, or does not find any more, rsync itself complains of.
  await find(args, { inherit, signal }, (record) => {
    const [, its, name = ''] = /^(\d+) (.*)$/s.exec(record) ?? [];
    // The top comes first.
    device ??= its;
    if (its !== device) names.push(name);
  });
  return names;
}

/** Whether `-xx` leaves out those directories themselves, too, so that rsync deletes them in its target. */
export function leavesOutMountPoints(options: readonly string[]): boolean {
  return timesGiven(options) > 1;
}

/** How often `--one-file-system` is given, after what turns it off. */
function timesGiven(options: readonly string[]): number {
  const names = parseRsyncOptions(options).named.map(({ name }) => name);
  const isOff = (name: string) => name === 'no-one-file-system' || name === 'no-x';
  const given = names.slice(names.findLastIndex(isOff) + 1);
  return given.filter((name) => name === 'one-file-system').length;
}
