import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { whyNotInstalled } from '../support/installed.ts';
import { mayMount } from '../support/privilege.ts';
import { type ProgramResult, runProgram, transcript } from '../support/program.ts';
import { debianRepository } from '../support/repositories/debian-repository.ts';
import { makeGeneration } from '../support/repositories/generation.ts';
import type { Repository } from '../support/repositories/repository.ts';
import { rpmRepository } from '../support/repositories/rpm-repository.ts';
import { type RsyncDaemon, startRsyncDaemon } from '../support/rsyncd.ts';
import { scratchDirectory } from '../support/scratch.ts';

const whyNot = whyNotInstalled('faketime', 'systemd-analyze', 'createrepo_c', 'apt-ftparchive');

/** The days of this story, from 0; on two of them something goes wrong. */
const DAYS = 8;
const UPSTREAM_DOWN = 3;
const DISK_FULL = 5;

test.runIf(mayMount && whyNot === '')(
  `five mirrors of different kinds, one file, a week: each question is answered rightly${whyNot}`,
  async () => {
    const story = await beginStory();
    const { run, say, upstream, json, hook } = story;
    await say(0, 'config', 'check');
    for (const name of ['debian', 'fedora', 'files', 'site', 'built']) await say(0, 'init', name);
    await story.expectUnits();

    for (let day = 0; day < DAYS; day += 1) {
      await upstream.change(day);
      if (day === UPSTREAM_DOWN) await upstream.stop();
      const synced = await run(day, 'sync', '--all', '--jobs', '2');
      expect(synced.exitCode, transcript(synced)).toBe(day === UPSTREAM_DOWN ? 69 : 0);
      if (day === UPSTREAM_DOWN) await upstream.start();

      if (day === DISK_FULL) story.fillDisk();
      const built = await run(day, 'lock', 'built', '--', 'sh', '-c', story.recipe(day));
      expect(built.exitCode === 0, transcript(built)).toBe(day !== DISK_FULL);
      if (day === DISK_FULL) story.emptyDisk();
      await say(day, 'notify', '--all');
      if (day === 0) await say(day, 'pin', 'debian', 'current', '--reason', 'the release');
    }
    const today = DAYS - 1;
    const idOf = async (day: number) => (await story.published('debian'))[day] ?? '?';

    // Fresh? Whole? Who reads?
    const states = await json(today, 'status', '--all', '--json');
    expect(states).toHaveLength(5);
    for (const state of states as object[])
      expect(state).toMatchObject({ isHealthy: true, isFresh: true });
    const later = await run(today + 2, 'status', '--all');
    expect(later.exitCode).toBe(69);

    // What was told, and when it was over.
    expect(hook.events()).toEqual([
      'failed files',
      'recovered files',
      'failed built',
      'recovered built',
    ]);

    // What stays: the last four days, the first for ever, and what production lags behind by three days.
    const kept = new Set(readdirSync(join(story.root('debian'), 'snapshots')));
    const wanted = [0, 4, 5, 6, 7].map(idOf);
    expect(kept).toEqual(new Set(await Promise.all(wanted)));
    const production = readlinkSync(join(story.root('debian'), 'production'));
    expect(production).toBe(`snapshots/${await idOf(today - 3)}`);
    const reasons = await say(today, 'prune', 'debian', '--dry-run');
    expect(reasons.stdout).toMatch(/pinned .*the release/);

    // What differs, what it takes, what happened, and why.
    expect((await say(today, 'diff', 'debian')).stdout).toMatch(/^(new|changed) .*pool\//m);
    expect(await json(today, 'du', 'debian', '--json')).toBeDefined();
    const failures = await say(today, 'history', 'files', '--event', 'failed', '--json');
    expect(failures.stdout.trim().split('\n')).toHaveLength(1);
    expect((await say(today, 'history', 'debian', '--last', 'all')).stdout).toContain(
      await idOf(0),
    );
    expect((await say(today, 'logs', 'debian', 'last')).stdout).not.toBe('');
    expect((await say(today, 'explain', 'debian', await idOf(0))).stdout).toContain('the release');
    for (const name of ['debian', 'site']) await say(today, 'explain', name);

    // Whatever was asked, readers have what the upstream has.
    for (const name of ['debian', 'fedora', 'files', 'site']) {
      const { stdout } = await execa(
        'diff',
        ['-r', upstream.path(name), join(story.root(name), 'current')],
        {
          reject: false,
        },
      );
      expect([name, stdout]).toEqual([name, '']);
    }
    const read = await run(
      today,
      'run',
      'debian',
      '--channel',
      'production',
      '--',
      'cat',
      'generation',
    );
    expect(read.stdout, transcript(read)).toBe(String(today - 3));
  },
  240_000,
);

async function beginStory() {
  const home = realpathSync(scratchDirectory());
  const hook = await webhook();
  const upstream = await upstreams(join(home, 'upstream'));
  const small = join(home, 'small');
  mkdirSync(small);
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small]);
  onTestFinished(() => void execa('umount', ['--lazy', small]));
  const root = (name: string) => join(name === 'built' ? small : join(home, 'mirrors'), name);
  const file = join(home, 'config.toml');
  writeFileSync(
    file,
    `[defaults]
keep-last = 2
keep-daily = 4
grace = 0
retries = 0
max-age = "26h"
schedule = "03:17"
notify-webhook = "${hook.url}"

[mirrors.debian]
root = "${root('debian')}"
source = "${upstream.path('debian')}"
channels = { production = "current after 3d" }

[mirrors.fedora]
root = "${root('fedora')}"
source = "${upstream.path('fedora')}"
after = "debian"

[mirrors.files]
root = "${root('files')}"
source = "${upstream.url('files')}"
max-shrink = 60

[mirrors.site]
root = "${root('site')}"
source = "${upstream.path('site')}"
in-place = true

[mirrors.built]
root = "${root('built')}"
`,
  );
  const run = (day: number, ...words: string[]) =>
    runProgram(words, {
      cwd: home,
      // Times of files are those of the kernel, whatever the day.
      env: { MIRRORLATCH_CONFIG: file, NO_FAKE_STAT: '1' },
      through: ['faketime', '-f', `+${day}d`],
      byLauncher: words[0] === 'run',
    });
  const say = async (day: number, ...words: string[]): Promise<ProgramResult> => {
    const result = await run(day, ...words);
    expect(result.exitCode, transcript(result)).toBe(0);
    return result;
  };
  return {
    hook,
    upstream,
    root,
    run,
    say,
    json: async (day: number, ...words: string[]): Promise<unknown> =>
      JSON.parse((await run(day, ...words)).stdout),
    /** The ids that a mirror has published, oldest first. */
    published: async (name: string): Promise<string[]> => {
      const { stdout } = await run(
        DAYS,
        'history',
        name,
        '--last',
        'all',
        '--event',
        'published',
        '--json',
      );
      return stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).id);
    },
    recipe: (day: number) =>
      `head -c 3000000 /dev/urandom >"\${MIRRORLATCH_STAGING:?}/image" && echo ${day} >"$MIRRORLATCH_STAGING/day"`,
    fillDisk: () => {
      try {
        writeFileSync(join(small, 'filler'), Buffer.alloc(64 * 1024 * 1024));
      } catch {
        // No room is left, as it is to be.
      }
    },
    emptyDisk: () => rmSync(join(small, 'filler')),
    expectUnits: async () => {
      const units = join(home, 'units');
      mkdirSync(units);
      await say(0, 'systemd', '--all', '--install', '--directory', units);
      const names = readdirSync(units);
      expect(names.filter((name) => name.endsWith('.timer')).length).toBeGreaterThan(3);
      const paths = names.map((name) => join(units, name));
      const { all } = await execa('systemd-analyze', ['verify', '--man=no', ...paths], {
        all: true,
        reject: false,
      });
      expect(all).toBe('');
    },
  };
}

async function webhook() {
  const received: { event: string; mirror: string }[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      received.push(JSON.parse(Buffer.concat(parts).toString()));
      response.end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => void server.close());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    events: () => received.map(({ event, mirror }) => `${event} ${mirror}`),
  };
}

/** Four trees that change each day, one of them behind a server of rsync. */
async function upstreams(home: string) {
  const path = (name: string) => `${join(home, name)}/`;
  for (const name of ['debian', 'fedora', 'files', 'site'])
    mkdirSync(path(name), { recursive: true });
  const modules = [{ name: 'files', path: path('files') }];
  let daemon: RsyncDaemon = await startRsyncDaemon(modules);
  const { port } = daemon;
  onTestFinished(() => daemon.stop());
  const remake = async (name: string, repository: Repository, day: number) => {
    const work = scratchDirectory();
    rmSync(path(name), { recursive: true });
    mkdirSync(path(name));
    chmodSync(path(name), 0o755);
    await repository.make(path(name).slice(0, -1), makeGeneration(day + 1), work);
    writeFileSync(join(path(name), 'generation'), String(day));
  };
  return {
    path,
    url: (name: string) => `rsync://127.0.0.1:${port}/${name}/`,
    change: async (day: number) => {
      await remake('debian', debianRepository, day);
      await remake('fedora', rpmRepository, day);
      for (const name of ['files', 'site'])
        writeFileSync(join(path(name), `day-${day}`), String(day));
    },
    stop: () => daemon.stop(),
    start: async () => {
      daemon = await startRsyncDaemon(modules, port);
    },
  };
}
