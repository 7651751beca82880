import { expect, test } from 'vitest';
import { locksStayHere } from '../../../src/operations/doctor/filesystem.ts';

const optionOf = (type: string, options: string) =>
  locksStayHere({ type, options: options.split(',') });

test('locks of NFS stay on their host by local_lock and nolock, and by nothing else', () => {
  expect(optionOf('nfs4', 'rw,vers=4.2,local_lock=none')).toBeUndefined();
  expect(optionOf('nfs', 'rw,vers=3,local_lock=none')).toBeUndefined();
  // POSIX locks, which nothing here takes.
  expect(optionOf('nfs', 'rw,local_lock=posix')).toBeUndefined();
  expect(optionOf('nfs', 'rw,vers=3,nolock,local_lock=all')).toBe('nolock');
  expect(optionOf('nfs', 'rw,local_lock=flock')).toBe('local_lock=flock');
  expect(optionOf('ext4', 'rw,nolock')).toBeUndefined();
});
