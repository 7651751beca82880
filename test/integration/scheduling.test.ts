import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';

const whyNot = whyNotInstalled('systemd-analyze');

/** A configuration of three mirrors, one in a place with odd characters. */
function threeMirrors() {
  const home = realpathSync(scratchDirectory());
  const file = join(home, 'odd 100% "dir"', 'config.toml');
  mkdirSync(join(home, 'odd 100% "dir"'));
  const table = (name: string, ...more: string[]) =>
    [
      `[mirrors.${name}]`,
      `root = ${JSON.stringify(join(home, `odd 100% "dir"`, name))}`,
      ...more,
    ].join('\n');
  const text = [
    '[defaults]\nschedule = "Mon..Fri *-*-* 03:17"',
    table('debian', 'source = "/srv/debian/"', `serve-at = "${home}/www/debian"`),
    table('updates', 'source = "/srv/updates/"', 'after = "debian"'),
    table('by-hand', 'max-age = "26h"', 'notify-mail = "root"'),
  ];
  writeFileSync(file, text.join('\n'));
  const run = (words: readonly string[]) =>
    runProgram(words, { env: { MIRRORLATCH_CONFIG: file } });
  return { home, run };
}

test.skipIf(whyNot !== '')(`systemd has nothing to say against the units${whyNot}`, async () => {
  const { home, run } = threeMirrors();
  const directory = join(home, 'units');
  mkdirSync(directory);
  const result = await run(['systemd', '--all', '--install', '--directory', directory]);
  expect(result.exitCode, transcript(result)).toBe(0);
  const names = readdirSync(directory).sort();
  expect(names).toEqual([
    'mirrorlatch-follow@updates.service',
    'mirrorlatch-notify@by-hand.service',
    'mirrorlatch-notify@by-hand.timer',
    'mirrorlatch-sync@debian.service',
    'mirrorlatch-sync@debian.timer',
  ]);
  const paths = names.map((name) => join(directory, name));
  const { all } = await execa('systemd-analyze', ['verify', '--man=no', ...paths], {
    all: true,
    reject: false,
  });
  expect(all).toBe('');
  const service = readFileSync(join(directory, 'mirrorlatch-sync@debian.service'), 'utf8');
  expect(service).toContain(`ReadWritePaths="${home}/odd 100%% \\"dir\\"/debian" ${home}/www`);
});

test.skipIf(whyNot !== '')('the score of systemd for their exposure is low', async () => {
  const { home, run } = threeMirrors();
  const directory = join(home, 'units');
  mkdirSync(directory);
  await run(['systemd', 'debian', '--install', '--user', 'daemon', '--directory', directory]);
  const unit = join(directory, 'mirrorlatch-sync@debian.service');
  const { all = '' } = await execa(
    'systemd-analyze',
    ['security', '--offline=true', '--threshold=45', unit],
    { all: true, reject: false },
  );
  expect(all).toMatch(/Overall exposure level .*: [0-4]\.\d/);
});

test('units are printed with the names of their files', async () => {
  const { run } = threeMirrors();
  const { stdout } = await run(['systemd', 'debian']);
  expect(stdout.match(/^# .*$/gm)).toContain('# /etc/systemd/system/mirrorlatch-sync@debian.timer');
  expect(stdout).toContain('OnCalendar=Mon..Fri *-*-* 03:17');
});

test('only mirrors of the configuration have a schedule', async () => {
  const { run } = threeMirrors();
  for (const verb of ['systemd', 'cron']) {
    expectFailure(await run([verb]), 64, /no mirror was named/);
    expectFailure(await run([verb, '--all', 'debian']), 64, /name none/);
    expectFailure(await run([verb, 'debain']), 66, /Did you mean debian/);
  }
});
