import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { apacheInFront, type FrontKind, nginxInFront } from '../support/http/fronts.ts';
import { startServe } from '../support/http/serve.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runProgram, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { debianRepository } from '../support/repositories/debian-repository.ts';
import { makeGeneration } from '../support/repositories/generation.ts';
import { NewerApt, whyNoNewerApt } from '../support/repositories/newer-apt.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { copiesOf, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const why = whyNoNewerApt() || whyNotInstalled(...debianRepository.programs);

const hasIpv6 = (networkInterfaces()['lo'] ?? []).some(({ family }) => family === 'IPv6');

const [FIRST, SECOND, THIRD] = ['20261101T000000Z', '20261110T000000Z', '20261120T000000Z'];
const BETWEEN_SECOND_AND_THIRD = '20261115T000000Z';
const FUTURE = '29990101T000000Z';

/** As Debian's Release files have them: apt knows a server of snapshots of that origin. */
const DEBIAN = 'Origin: Debian\nLabel: Debian\n';

/** Three generations of an archive that calls itself Debian's, as a mirror of Debian does. */
const debianMirror = copiesOf(async (mirror) => {
  if (why !== '') return;
  for (const [index, id] of [FIRST, SECOND, THIRD].entries()) {
    await publish(mirror, id, { '': [index + 1, DEBIAN] });
  }
});

/** Those of an archive that apt does not know. */
const otherMirror = copiesOf(async (mirror) => {
  if (why !== '') return;
  await publish(mirror, FIRST, { '': [11] });
  await publish(mirror, SECOND, { '': [12] });
});

describe('apt of Debian 13 reads a snapshot', () => {
  for (const kind of [undefined, nginxInFront, apacheInFront]) {
    const whyNot = why || whyNotInstalled(...(kind?.programs ?? []));
    const name = kind === undefined ? 'serve' : `${kind.name} in front`;

    test.skipIf(whyNot !== '')(
      `by its id or a time, with the printed settings, from ${name}${whyNot}`,
      async () => {
        const { root } = await debianMirror();
        const origin = await served(kind, `${root}=/debian/`);
        const client = new NewerApt(
          [sourceOf(origin)],
          await settingsFor(origin, `${root}=/debian/`),
        );
        // The settings count by the host in the first update, and later by what the archive calls itself.
        expect(await updateAndInstall(client, '-S', FIRST)).toEqual(['generation-1']);
        expect(await updateAndInstall(client, '-S', BETWEEN_SECOND_AND_THIRD)).toEqual([
          'generation-2',
        ]);
        expect(await updateAndInstall(client, '-S', SECOND.slice(0, 8))).toEqual(['generation-2']);
        expect(await updateAndInstall(client, '-S', FUTURE)).toEqual(['generation-3']);
        expect(await updateAndInstall(client)).toEqual(['generation-3']);
      },
    );

    test.skipIf(whyNot !== '')(
      `that stays the same although a nearer one is published, from ${name}${whyNot}`,
      async () => {
        const mirror = await debianMirror();
        const origin = await served(kind, `${mirror.root}=/debian/`);
        const settings = await settingsFor(origin, `${mirror.root}=/debian/`);
        const client = new NewerApt([sourceOf(origin)], settings);
        await succeeds(client, '-S', FUTURE, 'update');
        await publish(mirror, '20261125T000000Z', { '': [4, DEBIAN] });
        expect(await install(client, '-S', FUTURE)).toEqual(['generation-3']);
      },
    );

    test.skipIf(whyNot !== '')(`of each of several mirrors, from ${name}${whyNot}`, async () => {
      const [debian, other] = [(await debianMirror()).root, (await otherMirror()).root];
      const words = [`${debian}/current=/debian/`, `${other}=/`];
      const origin = await served(kind, ...words);
      const settings = await settingsFor(origin, ...words);
      for (const [url, first, last] of [
        [`${origin}/debian`, 'generation-1', 'generation-3'],
        [`${origin}/current`, 'generation-11', 'generation-12'],
      ] as const) {
        const client = new NewerApt([{ url }], settings);
        expect(await updateAndInstall(client, '-S', FIRST)).toEqual([first]);
        expect(await updateAndInstall(client)).toEqual([last]);
      }
    });
  }

  test.skipIf(why !== '')(`that its source names, or its configuration${why}`, async () => {
    const { origin, settings } = await servedDebian();
    const bySource = new NewerApt(
      [sourceOf(origin, `Snapshot: ${BETWEEN_SECOND_AND_THIRD}`)],
      settings,
    );
    expect(await updateAndInstall(bySource)).toEqual(['generation-2']);
    const byConfiguration = new NewerApt(
      [sourceOf(origin)],
      `${settings}\nAPT::Snapshot "${FIRST}";\n`,
    );
    expect(await updateAndInstall(byConfiguration)).toEqual(['generation-1']);
  });

  test.skipIf(why !== '')(`of each archive in directories of one mirror${why}`, async () => {
    const mirror = smallMirror();
    await publish(mirror, FIRST, { 'debian/': [1, DEBIAN], 'other/': [11] });
    await publish(mirror, SECOND, { 'debian/': [2, DEBIAN], 'other/': [12] });
    const origin = await served(undefined, `${mirror.root}=/linux/`);
    const settings = await settingsFor(origin, `${mirror.root}=/linux/`);
    for (const [place, first, last] of [
      ['debian', 'generation-1', 'generation-2'],
      ['other', 'generation-11', 'generation-12'],
    ] as const) {
      const client = new NewerApt([{ url: `${origin}/linux/current/${place}` }], settings);
      expect(await updateAndInstall(client, '-S', FIRST)).toEqual([first]);
      expect(await updateAndInstall(client, '-S', FIRST)).toEqual([first]);
      expect(await updateAndInstall(client)).toEqual([last]);
    }
  });

  test.skipIf(why !== '' || !hasIpv6)(`by an IPv6 address${why}`, async () => {
    const { origin, settings } = await servedDebian('--listen', '[::1]:0');
    const client = new NewerApt([sourceOf(origin)], settings);
    expect(await updateAndInstall(client, '-S', FIRST)).toEqual(['generation-1']);
  });

  test.skipIf(why !== '')(`under \`run --http\`${why}`, async () => {
    const { origin, settings } = await servedDebian();
    const { url } = sourceOf(origin);
    const client = new NewerApt([{ url }], settings);
    const update = await client.runThrough(
      [launcher, 'run', '--http', url, '--'],
      ['-S', FIRST, 'update'],
    );
    expect(update.exitCode, update.said).toBe(0);
    // It requests nothing of what is current.
    const installation = await client.runThrough(
      [launcher, 'run', '--http', url, '--allow-unseen', '--'],
      ['-S', FIRST, ...INSTALL],
    );
    expect(installation.exitCode, installation.said).toBe(0);
    expect(client.takePackages()).toEqual(['generation-1']);
  });
});

describe('apt of Debian 13 does not look in a mirror', () => {
  test.skipIf(why !== '')(`for an archive that it lacks, and another host has${why}`, async () => {
    const { origin, settings } = await servedDebian();
    const security = smallMirror();
    const fields = 'Origin: Debian\nLabel: Debian-Security\n';
    await publish(security, FIRST, { '': [21, fields] });
    const elsewhere = await served(
      undefined,
      `${security.root}=/debian/`,
      '--listen',
      '127.0.0.2:0',
    );
    const client = new NewerApt([sourceOf(origin), sourceOf(elsewhere)], settings);
    await succeeds(client, '-S', FIRST, 'update');
    const { said } = await client.run('-S', FIRST, 'update');
    // Its snapshots are where apt knows them to be, which is out of reach here.
    expect(said).toMatch(/^Err:\d+ https:\/\/\S+\/debian-security\//m);
    expect(said).not.toContain('configured multiple times');
  });
});

describe('apt of Debian 13 does not go on with what is current', () => {
  test.skipIf(why !== '')(`where all snapshots are of a later time${why}`, async () => {
    const { origin, settings } = await servedDebian();
    const client = new NewerApt([sourceOf(origin)], settings);
    const update = await client.run('-S', '20261031T000000Z', 'update');
    expect(update.exitCode, update.said).toBe(100);
    const installation = await client.run('-S', '20261031T000000Z', ...INSTALL);
    expect(installation.exitCode, installation.said).toBe(100);
    expect(client.takePackages()).toEqual([]);
  });

  test.skipIf(why !== '')(
    `without the printed settings, if its source asks for them${why}`,
    async () => {
      const { origin, settings } = await servedDebian();
      const lines = /^\/\/ +(Snapshot: enable)$/m.exec(settings)?.[1];
      const source = sourceOf(origin, lines);
      const without = new NewerApt([source]);
      const { exitCode, said } = await without.run('-S', FIRST, 'update');
      expect(exitCode, said).toBe(100);
      expect(said).toContain('Snapshots not supported');
      expect(await updateAndInstall(without)).toEqual(['generation-3']);
      const client = new NewerApt([source], settings);
      expect(await updateAndInstall(client, '-S', FIRST)).toEqual(['generation-1']);
      expect(await updateAndInstall(client)).toEqual(['generation-3']);
    },
  );
});

const INSTALL = ['--yes', '--download-only', 'install', 'part-01', 'part-02'];

/**
 * Publishes archives as a snapshot.
 *
 * @param archives the number of the generation, and lines of the Release file, by the directory.
 */
async function publish(
  mirror: SmallMirror,
  id: string,
  archives: Readonly<Record<string, readonly [number: number, fields?: string]>>,
): Promise<void> {
  rmSync(mirror.source, { recursive: true });
  for (const [place, [number, fields = '']] of Object.entries(archives)) {
    const directory = join(mirror.source, place);
    mkdirSync(directory, { recursive: true });
    const work = join(mirror.home, `work-${number}`);
    await debianRepository.make(directory, makeGeneration(number, 'own'), work);
    const release = join(directory, 'dists/stable/Release');
    writeFileSync(release, `${fields}${readFileSync(release, 'utf8')}`);
  }
  await mirror.sync('--id', id, '--allow-shrink');
}

/** Serves mirrors until the end of the running test. @returns the URL of the server. */
async function served(kind: FrontKind | undefined, ...words: readonly string[]): Promise<string> {
  if (kind === undefined) {
    const server = await startServe(words);
    onTestFinished(async () => void (await server.stop()));
    return server.address;
  }
  const front = await kind.start(words, join(scratchDirectory(), 'front'));
  onTestFinished(() => front.stop());
  return front.web.origin;
}

async function servedDebian(...options: readonly string[]) {
  const { root } = await debianMirror();
  const origin = await served(undefined, `${root}=/debian/`, ...options);
  return { origin, settings: await settingsFor(origin, `${root}=/debian/`) };
}

const sourceOf = (origin: string, more?: string) => ({
  url: `${origin}/debian/current`,
  ...(more === undefined ? {} : { more }),
});

async function settingsFor(url: string, ...words: readonly string[]): Promise<string> {
  const result = await runProgram(['serve', ...words, '--apt-config', url]);
  expect(result.exitCode, transcript(result)).toBe(0);
  return result.stdout;
}

async function updateAndInstall(
  client: NewerApt,
  ...options: readonly string[]
): Promise<string[]> {
  await succeeds(client, ...options, 'update');
  return await install(client, ...options);
}

/** @returns the marks of what was fetched. */
async function install(client: NewerApt, ...options: readonly string[]): Promise<string[]> {
  await succeeds(client, ...options, ...INSTALL);
  return client.takePackages();
}

async function succeeds(client: NewerApt, ...words: readonly string[]): Promise<void> {
  const { exitCode, said } = await client.run(...words);
  expect(exitCode, said).toBe(0);
  // What cannot be fetched for the moment is no error of an update.
  expect(said).not.toMatch(/^W: /m);
}
