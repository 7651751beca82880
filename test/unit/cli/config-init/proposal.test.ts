import { describe, expect, test } from 'vitest';
import { archivesIn } from '../../../../src/cli/config-init/apt-sources.ts';
import { propose } from '../../../../src/cli/config-init/proposal.ts';
import { rsyncCallsIn } from '../../../../src/cli/config-init/rsync-calls.ts';
import { readConfiguration } from '../../../../src/config/configuration.ts';

describe('a line of a crontab', () => {
  test.each([
    [
      '17 3 * * * root rsync -aH --delete rsync://m.example.org/debian/ /srv/debian/',
      ['-a', '-H', '--delete'],
    ],
    [
      "@daily /usr/bin/rsync -a --exclude '*.iso' h::m /srv/debian >/dev/null 2>&1",
      ['-a', '--exclude', '*.iso'],
    ],
    [
      "@daily /usr/bin/rsync -a --exclude='/iso/' h::m /srv/debian >/dev/null 2>&1",
      ['-a', '--exclude=/iso/'],
    ],
    [
      '0 4 * * * cd / && nice rsync -e "ssh -p 22" -av host:/pub /srv/debian && touch /x',
      ['-e', 'ssh -p 22', '-a'],
    ],
    ['#0 4 * * * rsync -a a/ /srv/debian', undefined],
    ['0 4 * * * rsync -a $SRC /srv/debian', undefined],
    ['0 4 * * * rsync -a host:/pub relative', undefined],
    ['0 4 * * * rsync -a host:/one host:/two /srv/debian', undefined],
    ['0 4 * * * root echo rsyncd', undefined],
  ])('%s', (line, options) => {
    const [call] = rsyncCallsIn(`# first\n${line}`);
    expect(call?.options).toEqual(options);
    if (options !== undefined) expect(call).toMatchObject({ destination: '/srv/debian', line: 2 });
  });

  test('with options that a mirror cannot have names them', () => {
    const [call] = rsyncCallsIn('@daily rsync -a --inplace --bwlimit=5m h::m /srv/debian');
    expect(call?.options).toEqual(['-a', '--bwlimit=5m']);
    expect(call?.refused).toEqual([expect.stringMatching(/^--inplace: .*writes into files/)]);
  });
});

test('archives of apt are found in both styles', () => {
  const text = `deb [signed-by=/x arch=amd64] http://one.example.org/debian/ stable main
# deb http://no.example.org/ stable main
deb-src http://src.example.org/ stable main
deb file:/srv/mirror stable main

Types: deb
URIs: https://two.example.org/ubuntu http://one.example.org/debian
Suites: noble noble-updates
Components: main`;
  expect(archivesIn(text)).toEqual([
    { url: 'http://one.example.org/debian', suites: ['stable', 'noble', 'noble-updates'] },
    { url: 'https://two.example.org/ubuntu', suites: ['noble', 'noble-updates'] },
  ]);
});

test('the proposed tables are a valid configuration, with a name of its own for each', () => {
  const settings = {
    format: 1,
    mode: 'snapshots',
    source: 'rsync://m.example.org/x/',
    rsyncOptions: ['--exclude=/it\'s "q" \\ \u007f/'],
    keepLast: 4,
    graceMs: 90_000,
    maxShrinkPercent: 30,
  } as const;
  const calls = rsyncCallsIn(
    '@daily rsync -a --inplace h::m "/srv/odd dir"\n@daily rsync -a h::m /srv/debian',
  );
  const proposals = propose(
    [
      {
        kind: 'mirror',
        root: '/mnt/debian',
        settings: { ...settings, rsyncOptions: [...settings.rsyncOptions] },
        path: '/x',
      },
      ...calls.map((call) => ({ kind: 'rsync' as const, call, file: '/etc/cron.d/m' })),
      { kind: 'apt', archive: { url: 'http://one.example.org/debian', suites: ['stable'] } },
    ],
    ['debian-2'],
  );
  const text = proposals.flatMap(({ lines }) => lines).join('\n');
  const { configuration, problems } = readConfiguration([{ file: 'f', text }]);
  expect(problems).toEqual([]);
  expect([...configuration.mirrors.keys()]).toEqual(['debian', 'odd-dir', 'debian-3']);
  expect(configuration.mirrors.get('debian')?.table).toMatchObject({
    root: '/mnt/debian',
    'rsync-options': ['--exclude=/it\'s "q" \\ \u007f/'],
    'keep-last': 4,
    grace: 90_000,
  });
  expect(configuration.mirrors.get('odd-dir')?.table.root).toBe('/srv/odd dir.mirror');
  expect(text).toContain("#   mirrorlatch init --adopt '/srv/odd dir'");
  expect(text).toContain('#source = "rsync://one.example.org/debian/"');
});
