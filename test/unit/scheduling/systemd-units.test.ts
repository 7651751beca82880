import { expect, test } from 'vitest';
import { unitsFor } from '../../../src/scheduling/systemd-units.ts';

test('a path of odd characters is written as each key of systemd reads it', () => {
  const mirror = {
    name: 'debian',
    root: '/srv/a$b %c',
    schedule: 'daily',
    after: undefined,
    writes: [],
    user: 'mirror',
    waits: false,
    isWatched: false,
  };
  const [service] = unitsFor(mirror, {
    program: '/opt/$x/mirrorlatch',
    node: '/opt/node 24%/node',
    configuration: undefined,
  });
  const lines = service?.text.split('\n');
  expect(lines).toContain('ReadWritePaths="/srv/a$b %%c"');
  expect(lines).toContain('RequiresMountsFor="/srv/a$b %%c"');
  expect(lines).toContain('ConditionFileIsExecutable=/opt/$x/mirrorlatch');
  expect(lines).toContain('ExecStopPost=-/opt/$$x/mirrorlatch unlock debian --quiet');
  expect(lines).toContain('ExecStart=/opt/$$x/mirrorlatch sync debian --quiet --wait 1h');
  expect(service?.text).toContain('\nEnvironment="PATH=/opt/$x:/opt/node 24%%:');
});
