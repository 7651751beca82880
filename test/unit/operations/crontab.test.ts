import { expect, test } from 'vitest';
import { jobsIn } from '../../../src/operations/doctor/crontab.ts';

const system = (text: string) => jobsIn(text, { hasUser: true });
const ofUser = (text: string) => jobsIn(text, { hasUser: false });

test('a job of the system has its user before its command, and a job of a user has none', () => {
  expect(system('5 * * * * root mirrorlatch sync /srv/a')).toEqual([
    {
      ...{ line: 1, time: '5 * * * * root', program: 'mirrorlatch', searchPath: '/usr/bin:/bin' },
      words: ['mirrorlatch', 'sync', '/srv/a'],
    },
  ]);
  expect(ofUser('5 * * * * mirrorlatch sync /srv/a')).toHaveLength(1);
  expect(system('@daily root mirrorlatch sync /srv/a')).toHaveLength(1);
  expect(ofUser('@daily mirrorlatch sync /srv/a')).toHaveLength(1);
  expect(system('5 * * * * mirrorlatch true')).toEqual([]);
});

test('a job has its time and its words, without quotes', () => {
  const [job] = system("@daily  bob  cd / && mirrorlatch sync 'debian' --quiet; true");
  expect(job).toMatchObject({
    time: '@daily bob',
    words: ['cd', '/', 'mirrorlatch', 'sync', 'debian', '--quiet', 'true'],
  });
});

test('PATH counts from its line on, as it is written', () => {
  const text = [
    '1 * * * * mirrorlatch sync /srv/a',
    'PATH = "/opt/bin:$PATH"',
    '2 * * * * mirrorlatch sync /srv/b',
  ].join('\n');
  expect(ofUser(text).map(({ line, searchPath }) => [line, searchPath])).toEqual([
    [1, '/usr/bin:/bin'],
    [3, '/opt/bin:$PATH'],
  ]);
});

test('the program is found with its path, behind others, and between separators', () => {
  const programs = (command: string) =>
    ofUser(`5 4 * * sun ${command}`).map(({ program }) => program);
  expect(programs('/opt/bin/mirrorlatch sync /srv/a')).toEqual(['/opt/bin/mirrorlatch']);
  expect(programs('nice mirrorlatch prune /srv/a')).toEqual(['mirrorlatch']);
  expect(programs('cd /;mirrorlatch prune /srv/a')).toEqual(['mirrorlatch']);
  expect(programs('ls /srv/mirrorlatch.d')).toEqual([]);
  expect(programs('ls /etc/mirrorlatch/')).toEqual([]);
});

test('comments, other jobs and jobs that set PATH by themselves are left out', () => {
  expect(ofUser('# 5 * * * * mirrorlatch sync /srv/a')).toEqual([]);
  expect(ofUser('5 * * * * rsync -a a b')).toEqual([]);
  expect(ofUser('5 * * * * PATH=/opt/bin:$PATH mirrorlatch sync /srv/a')).toEqual([]);
});
