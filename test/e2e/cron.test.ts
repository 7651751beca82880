import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { whyNotInstalled } from '../support/installed.ts';
import { mayMount } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';

const whyNot = whyNotInstalled('cron');

/** With directories of its own, in which it finds no other crontab than `tab`. */
const CRON = `for place in /etc/cron.d /var/spool/cron /run; do mount -t tmpfs tmpfs $place; done
mkdir /var/spool/cron/crontabs
: >"$1/empty" && mount --bind "$1/empty" /etc/crontab
cp "$1/tab" /etc/cron.d/mirrorlatch && chmod 644 /etc/cron.d/mirrorlatch
exec cron -f`;

test.runIf(mayMount && whyNot === '')(
  `cron runs what mirrorlatch cron prints, with no PATH that it has by itself${whyNot}`,
  async () => {
    const home = realpathSync(scratchDirectory());
    const [root, source, file] = ['mirror', 'source 50%', 'c.toml'].map((name) =>
      join(home, name),
    ) as [string, string, string];
    mkdirSync(source);
    writeFileSync(join(source, 'a'), 'one');
    writeFileSync(
      file,
      `[mirrors.debian]\nroot = "${root}"\nsource = "${source}/"\nschedule = "minutely"\n`,
    );
    const run = (...words: string[]) => runProgram(words, { env: { MIRRORLATCH_CONFIG: file } });
    expect((await run('init', 'debian')).exitCode).toBe(0);
    const printed = await run('cron', '--all');
    expect(printed.exitCode, transcript(printed)).toBe(0);
    writeFileSync(join(home, 'tab'), printed.stdout);
    const cron = execa(
      'unshare',
      ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-ec', CRON, 'sh', home],
      { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, extendEnv: false, reject: false },
    );
    onTestFinished(async () => {
      cron.kill('SIGKILL');
      await cron;
    });
    // It looks at its crontabs when a minute begins.
    await expect.poll(() => existsSync(join(root, 'current/a')), { interval: 200 }).toBe(true);
  },
);
