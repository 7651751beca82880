import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { describe, expect, test } from 'vitest';
import { aptConfig } from '../../../src/http/server/apt-config.ts';
import { servePlainly } from '../../support/http/plain-server.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { apt } from '../../support/repositories/apt.ts';
import { debianRepository } from '../../support/repositories/debian-repository.ts';
import { makeGeneration } from '../../support/repositories/generation.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { smallMirror } from '../../support/small-mirror.ts';

const noApt = whyNotInstalled('apt-config');

describe('the configuration of apt', () => {
  test.skipIf(noApt !== '')(
    `says to apt where the snapshots of one mirror are${noApt}`,
    async () => {
      const value = '"http://mirror.example.org:8080/debian/snapshots/@SNAPSHOTID@/"';
      expect(await settingsOf('http://mirror.example.org:8080', ['/debian/'])).toEqual([
        `Acquire::Snapshots::URI::Host::mirror.example.org ${value};`,
        `Acquire::Snapshots::URI::Override::Origin::Debian ${value};`,
        `Acquire::Snapshots::URI::Override::Origin::Ubuntu ${value};`,
        `Acquire::Snapshots::URI::Override::Label::Debian-Security ${value};`,
      ]);
    },
  );

  test.skipIf(noApt !== '').each([
    ['http://mirror.example.org/sub/', 'http://mirror.example.org/sub/debian/snapshots/'],
    ['http://mirror.example.org/debian', 'http://mirror.example.org/debian/snapshots/'],
    ['http://mirror.example.org/debian/current/', 'http://mirror.example.org/debian/snapshots/'],
  ])(`keeps a path in %s that is not the mirror's own${noApt}`, async (url, snapshots) => {
    const [host] = await settingsOf(url, ['/debian/']);
    expect(host).toContain(` "${snapshots}@SNAPSHOTID@/";`);
  });

  test.skipIf(noApt !== '')(`tells several mirrors apart by their paths${noApt}`, async () => {
    const settings = await settingsOf('https://mirror.example.org', ['/debian/', '/security/']);
    expect(settings[0]).toBe(
      'Acquire::Snapshots::URI::Host::mirror.example.org "https://mirror.example.org/-/apt/@PATH@/@SNAPSHOTID@/";',
    );
    await expect(settingsOf('http://mirror.example.org/sub', ['/a/', '/b/'])).rejects.toThrow(
      'has a path, and there are several mirrors',
    );
  });
});

const mirrorAt = (prefix: string) => ({ prefix, content: `${prefix}current/` });

/** What apt makes of the text. */
async function settingsOf(url: string, prefixes: readonly string[]): Promise<string[]> {
  const file = join(scratchDirectory(), 'apt.conf');
  writeFileSync(file, aptConfig({ url, mirrors: prefixes.map(mirrorAt) }));
  const { stdout } = await execa('apt-config', ['-c', file, 'dump', 'Acquire::Snapshots::URI']);
  return stdout.split('\n').filter((line) => line.includes('mirror.example.org'));
}

const noSnapshots = whyNoSnapshots();
const [FIRST, SECOND] = ['20261101T000000Z', '20261120T000000Z'];

describe('apt -S ID', () => {
  test.skipIf(noSnapshots !== '')(
    `reads the snapshot from the first update on, and still when it knows whose archive it is${noSnapshots}`,
    async () => {
      const { directory, requests, run } = await clientOfTwoSnapshots();
      for (let count = 1; count <= 2; count += 1) {
        await run('-S', FIRST, 'update');
        await run('-S', FIRST, 'download', 'part-01');
        const archive = join(directory, 'part-01_1.1_all.deb');
        const { stdout } = await execa('dpkg-deb', ['--fsys-tarfile', archive]);
        expect(stdout).toContain('generation-1\n');
        rmSync(archive);
      }
      const packages = requests.filter((one) => one.includes('/pool/'));
      expect(packages.length).toBeGreaterThan(0);
      expect(packages.filter((one) => !one.includes(`/mirror/snapshots/${FIRST}/`))).toEqual([]);
    },
  );

  test.skipIf(noSnapshots !== '')(`fails for an id that there is not${noSnapshots}`, async () => {
    const { run } = await clientOfTwoSnapshots();
    await run('update');
    await expect(run('-S', '20200101T000000Z', 'update')).rejects.toMatchObject({ exitCode: 100 });
  });
});

/** A client with the printed configuration, of an archive that calls itself Debian's. */
async function clientOfTwoSnapshots() {
  const mirror = smallMirror();
  for (const [number, id] of [FIRST, SECOND].entries()) {
    await execa('rm', ['-rf', '--', mirror.source]);
    mkdirSync(mirror.source);
    const work = join(mirror.home, `work-${number}`);
    await debianRepository.make(mirror.source, makeGeneration(number + 1, 'own'), work);
    const release = join(mirror.source, 'dists/stable/Release');
    writeFileSync(release, `Origin: Debian\nLabel: Debian\n${readFileSync(release, 'utf8')}`);
    await mirror.sync('--id', id, '--allow-shrink');
  }
  const { url, requests } = await servePlainly(mirror.home);
  const directory = join(mirror.home, 'client');
  const env = apt.configure(directory, `${url}/mirror/current`);
  appendFileSync(join(directory, 'apt.conf'), aptConfig({ url, mirrors: [mirrorAt('/mirror/')] }));
  const run = (...words: string[]) => execa('apt-get', words, { cwd: directory, env });
  return { directory, requests, run };
}

function whyNoSnapshots(): string {
  const why = whyNotInstalled('apt-get', ...debianRepository.programs);
  if (why !== '') return why;
  const { stdout } = execaSync('apt-get', ['--version']);
  const [, major = 0, minor = 0] = /^apt (\d+)\.(\d+)/.exec(stdout) ?? [];
  const has = Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 7);
  return has ? '' : ` (skipped: without apt 2.7, here is ${major}.${minor})`;
}
