import { expect, test } from 'vitest';
import { commandAs } from '../../../../src/mirror/locks/ownership.ts';

test('a command for another user is the one that the caller can run', () => {
  const words = ['sync', '/srv/a mirror', '--', "--exclude=it's"];
  const command = String.raw`mirrorlatch sync '/srv/a mirror' -- '--exclude=it'\''s'`;
  const mirror = { uid: 998, name: 'mirror' };
  const nameless = { uid: 4711, name: '4711' };
  expect(commandAs(mirror, true, words)).toBe(`runuser -u mirror -- ${command}`);
  expect(commandAs(mirror, false, words)).toBe(`sudo -u mirror ${command}`);
  expect(commandAs({ uid: 0, name: 'root' }, false, words)).toBe(`sudo ${command}`);
  expect(commandAs(nameless, true, words)).toBe(
    `setpriv --reuid 4711 --regid 4711 --clear-groups ${command}`,
  );
  expect(commandAs(nameless, false, words)).toBe(`sudo -u '#4711' ${command}`);
});
