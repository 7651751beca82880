import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, lstatIfThere, readTextIfThere } from './files.ts';
import {
  isWithin,
  layersOf,
  mountHolding,
  mountOf,
  mountsSeenBy,
  pathOnFilesystem,
} from './mounts.ts';
import { quoteForSh } from './quote.ts';

/** Something in another place through which a directory can be written to. */
export interface Attachment {
  /** For people; no other has it. */
  name: string;
  /** The command that detaches it. */
  detach: string;
}

/**
 * What anybody could write through to `directory` (absolute, without symlinks) although no process has
 * anything in it open: it is mounted in another place, is part of an overlay (overlayfs, mount(8)), or
 * contains the file of a loop device (loop(4)). Only what can be written to counts, and only mounts that
 * this process sees.
 */
export function attachmentsOf(directory: string): Attachment[] {
  const mounts = mountsSeenBy('self');
  const home = mountOf(directory);
  const place = home && pathOnFilesystem(home, directory);
  const isInside = (device: string, path: string): boolean =>
    place !== undefined && device === home?.device && isWithin(path, place);
  const isPathInside = (path: string): boolean => {
    const mount = mountHolding(mounts, path);
    return mount !== undefined && isInside(mount.device, pathOnFilesystem(mount, path));
  };
  const found: Attachment[] = [];
  for (const mount of mounts) {
    const { device, root, mountPoint, isReadOnly } = mount;
    const isShown = isInside(device, root) && !isWithin(mountPoint, directory);
    const isLayer = layersOf(mount).written.some(isPathInside);
    if (isReadOnly || !(isShown || isLayer)) continue;
    found.push({ name: `the mount ${mountPoint}`, detach: `umount ${quoteForSh(mountPoint)}` });
  }
  for (const { device, file, isCleared } of writableLoopDevices()) {
    if (!isPathInside(file)) continue;
    const at = mounts.filter(({ source }) => source === device).map(({ mountPoint }) => mountPoint);
    const umount = at.length === 0 ? [] : [`umount ${at.map(quoteForSh).join(' ')}`];
    const clear = isCleared && at.length > 0 ? [] : [`losetup -d ${device}`];
    const detach = [...umount, ...clear].join(' && ');
    found.push({ name: `the loop device ${device}`, detach });
  }
  return found;
}

/** What they are called together, and the command that detaches all of them. */
export function describeAttachments(attachments: readonly Attachment[]): Attachment {
  return {
    name: attachments.map(({ name }) => name).join(' and '),
    detach: attachments.map(({ detach }) => detach).join(' && '),
  };
}

interface LoopDevice {
  device: string;
  /** A path as we see it. */
  file: string;
  /** It is detached when it is unmounted. */
  isCleared: boolean;
}

/** As sysfs(5) shows them. A file that has been deleted is in no directory. */
function writableLoopDevices(): LoopDevice[] {
  const blocks = '/sys/block';
  return (ifThere(() => readdirSync(blocks)) ?? []).flatMap((name) => {
    const read = (fact: string) => readTextIfThere(join(blocks, name, fact))?.replace(/\n$/, '');
    const file = read('loop/backing_file');
    if (file === undefined || lstatIfThere(file) === undefined || read('ro') === '1') return [];
    return [{ device: `/dev/${name}`, file, isCleared: read('loop/autoclear') === '1' }];
  });
}
