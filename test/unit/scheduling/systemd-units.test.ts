import { expect, test } from 'vitest';
import type { ScheduledMirror } from '../../../src/scheduling/scheduled.ts';
import { unitsFor } from '../../../src/scheduling/systemd-units.ts';

const mirror: ScheduledMirror = {
  name: 'debian',
  root: '/srv/a$b %c',
  schedule: 'daily',
  after: undefined,
  isFilled: false,
  writes: [],
  user: 'mirror',
  waits: false,
  isWatched: false,
  mails: false,
  tellsManager: false,
};
const place = {
  program: '/opt/$x/mirrorlatch',
  node: '/opt/node 24%/node',
  configuration: undefined,
};

test('a path of odd characters is written as each key of systemd reads it', () => {
  const [service] = unitsFor(mirror, place);
  const lines = service?.text.split('\n');
  expect(lines).toContain('ReadWritePaths="/srv/a$b %%c"');
  expect(lines).toContain('RequiresMountsFor="/srv/a$b %%c"');
  expect(lines).toContain('ConditionFileIsExecutable=/opt/$x/mirrorlatch');
  expect(lines).toContain('ExecStopPost=-/opt/$$x/mirrorlatch unlock debian --quiet');
  expect(lines).toContain('ExecStart=/opt/$$x/mirrorlatch sync debian --quiet --wait 1h');
  expect(service?.text).toContain('\nEnvironment="PATH=/opt/$x:/opt/node 24%%:');
});

test('a path with a line break, which no unit can name, is refused', () => {
  expect(() => unitsFor({ ...mirror, root: '/srv/a\nb' }, place)).toThrow(
    'no unit of systemd can name "/srv/a\\nb"',
  );
});

test('no mail is sent from within the sandbox of a sync', () => {
  const units = unitsFor({ ...mirror, mails: true }, place);
  expect(units.map(({ name }) => name)).toEqual([
    'mirrorlatch-sync@debian.service',
    'mirrorlatch-sync@debian.timer',
    'mirrorlatch-notify@debian.service',
    'mirrorlatch-notify@debian.timer',
  ]);
  const [sync = '', , notify] = units.map(({ text }) => text);
  expect(sync).toMatch(/^ExecStart=.* --no-mail$/m);
  expect(sync).toContain('\nOnSuccess=mirrorlatch-notify@debian.service\n');
  expect(sync).toContain('\nOnFailure=mirrorlatch-notify@debian.service\n');
  expect(notify).toContain('\nKillMode=process\n');
  // Each of these keeps a set-user-ID sendmail from its spool, see systemd.exec(5).
  expect(notify).not.toMatch(/^(NoNewPrivileges|Protect|Private|Restrict|SystemCall|Capability)/m);
});
