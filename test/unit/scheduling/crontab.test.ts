import { expect, test } from 'vitest';
import { cronFields } from '../../../src/scheduling/calendar.ts';
import { crontabFor } from '../../../src/scheduling/crontab.ts';
import type { ScheduledMirror } from '../../../src/scheduling/scheduled.ts';

const place = {
  program: '/usr/local/bin/mirrorlatch',
  node: '/opt/node/bin/node',
  configuration: undefined,
};

function mirror(
  name: string,
  schedule: string,
  more: Partial<ScheduledMirror> = {},
): ScheduledMirror {
  const root = `/srv/${name}`;
  return {
    name,
    root,
    schedule,
    after: undefined,
    isFilled: false,
    writes: [],
    user: 'mirror',
    waits: false,
    isWatched: false,
    mails: false,
    tellsManager: false,
    ...more,
  };
}

test.each([
  ['03:17', '17 3 * * *'],
  ['*-*-* 03:17:00', '17 3 * * *'],
  ['Mon..Fri 03:17', '17 3 * * 1-5'],
  ['Sat,Sun 00:05', '5 0 * * 6,0'],
  ['Sat..Sun 00:05', '5 0 * * 6,0'],
  ['Fri..Sun 00:05', '5 0 * * 5-6,0'],
  ['Monday 9:00', '0 9 * * 1'],
  ['*:0/15', '*/15 * * * *'],
  ['*:*/5', '*/5 * * * *'],
  ['02,14:30', '30 2,14 * * *'],
  ['*:07', '7 * * * *'],
  ['minutely', '* * * * *'],
])('cron does %j as %j', (event, fields) => expect(cronFields(event, 'debian')).toBe(fields));

test.each([
  '*:0/0',
  '24:00',
  '03:60',
  '2026-11-27 03:00',
  '*-*-1 03:00',
  'Funday 03:00',
  'Fri..Mon 03:00',
  'Sun..Tue 03:00',
  '*:0/90',
  '*/30:05',
  '03:17:30',
  '',
  'x',
])('cron cannot do %j', (event) => expect(cronFields(event, 'debian')).toBeUndefined());

test('mirrors whose schedule has no minute are spread, each always to the same one', () => {
  const names = ['debian', 'security', 'fedora', 'arch', 'alpine'];
  const lines = names.map((name) => cronFields('daily', name));
  expect(new Set(lines).size).toBe(names.length);
  expect(names.map((name) => cronFields('daily', name))).toEqual(lines);
  for (const line of lines) expect(line).toMatch(/^[1-5]?\d [0-5] \* \* \*$/);
});

test('a file for /etc/cron.d finds program and Node, names the user, and follows other mirrors', () => {
  const mirrors = [
    mirror('debian', '03:17'),
    mirror('updates', 'daily', { after: 'debian', waits: true }),
    mirror('by-hand', 'never', { isWatched: true }),
    mirror('odd', 'Mon *-05-01'),
  ];
  const { lines, refused } = crontabFor(mirrors, place, { withUser: true });
  expect(lines).toEqual([
    'PATH=/usr/local/bin:/opt/node/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin',
    '17 3 * * *  mirror  /usr/local/bin/mirrorlatch sync debian --quiet --wait 1h',
    '@reboot  mirror  /usr/local/bin/mirrorlatch watch debian -- /usr/local/bin/mirrorlatch sync updates --quiet',
    '*/15 * * * *  mirror  /usr/local/bin/mirrorlatch notify by-hand',
  ]);
  expect(refused.map(({ name }) => name)).toEqual(['odd']);
});

test('a percent sign, which would end the command, is escaped', () => {
  const odd = { ...place, configuration: "/etc/50% it's/config.toml" };
  const { lines } = crontabFor([mirror('a', '03:17')], odd, { withUser: false });
  expect(lines[1]).toBe(
    String.raw`17 3 * * *  /usr/local/bin/mirrorlatch sync --config '/etc/50\% it'\''s/config.toml' a --quiet --wait 1h`,
  );
});
