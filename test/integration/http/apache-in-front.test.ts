import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { apacheInFront, type Front, readerOf, shown } from '../../support/http/fronts.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { copiesOf, type SmallMirror } from '../../support/small-mirror.ts';

const published = copiesOf((mirror) =>
  mirror.publish('one', { 'dists/x/InRelease': 'Suite: one\n', 'pool/a_1.deb': 'a 1' }),
);
const publishNext = (mirror: SmallMirror) =>
  mirror.publish(
    'two',
    { 'dists/x/InRelease': 'Suite: two\n', 'pool/a_1.deb': null },
    '--allow-shrink',
    '--no-prune',
  );

const why = whyNotInstalled(...apacheInFront.programs);

describe.skipIf(why !== '')(`Apache in front of mirrorlatch serve${why}`, () => {
  /** A server that was there already, to which the mirror is added as the manual says. */
  async function startAddedTo(own: string, mirror: SmallMirror): Promise<Front> {
    const front = await apacheInFront.start(
      [`${mirror.root}=/debian/`],
      join(scratchDirectory(), 'front'),
      (printed) =>
        printed
          .replace(/\n +# The status page once more.*\n +RewriteRule .*\n/, '')
          .replace(/^<\/VirtualHost>/m, `${own}\n</VirtualHost>`),
    );
    onTestFinished(() => front.stop());
    return front;
  }

  /** A program that answers with what it was asked, and what a proxy has said about itself. */
  async function startApp(): Promise<string> {
    const app = createServer(({ url, headers }, response) => {
      response.end(`app ${url} for ${headers['x-forwarded-host']}`);
    }).listen(0, '127.0.0.1');
    await once(app, 'listening');
    onTestFinished(() => void app.close());
    return `http://127.0.0.1:${(app.address() as AddressInfo).port}/`;
  }

  async function expectMirror(front: Front, mirror: SmallMirror): Promise<void> {
    const [apt, dnf] = [readerOf(front, 'apt'), readerOf(front, 'dnf')];
    expect(shown(await apt('/debian/current/dists/x/InRelease'))).toBe('200 Suite: one');
    expect((await apt('/debian/current/pool/')).text).toContain('a_1.deb');
    await publishNext(mirror);
    expect(shown(await apt('/debian/current/dists/x/InRelease'))).toBe('200 Suite: one');
    expect(shown(await dnf('/debian/current/dists/x/InRelease'))).toBe('200 Suite: two');
    expect(shown(await dnf('/debian/current/pool/a_1.deb'))).toBe('200 a 1');
    expect(shown(await apt('/debian/snapshots/one/pool/a_1.deb'))).toBe('200 a 1');
    expect((await apt('/debian')).status).toBe(301);
    expect((await apt('/debian/pins', { method: 'POST' })).status).toBe(201);
    expect(shown(await apt('/-/healthz'))).toBe('200 ok');
  }

  test('the mirror fits into a server with files, rules and places of its own', async () => {
    const mirror = await published();
    const site = scratchDirectory();
    mkdirSync(join(site, 'debian-wiki'));
    writeFileSync(join(site, 'index.html'), 'own');
    writeFileSync(join(site, 'debian-wiki/index.html'), 'wiki');
    const front = await startAddedTo(
      `DocumentRoot ${site}
       RewriteRule "^/old$" "/index.html"
       ProxyPass /app/ ${await startApp()}`,
      mirror,
    );
    await expectMirror(front, mirror);
    const browser = readerOf(front, 'browser');
    for (const path of ['/', '/index.html', '/old']) {
      expect([path, shown(await browser(path))]).toEqual([path, '200 own']);
    }
    expect(shown(await browser('/debian-wiki/'))).toBe('200 wiki');
    expect((await browser('/none')).status).toBe(404);
    expect(shown(await browser('/app/x'))).toBe(`200 app /x for 127.0.0.1:${front.web.port}`);
  });

  test('the mirror fits into a server that passes all else on to a program', async () => {
    const mirror = await published();
    const front = await startAddedTo(`ProxyPass / ${await startApp()}`, mirror);
    await expectMirror(front, mirror);
    expect(shown(await readerOf(front, 'browser')('/x'))).toContain('200 app /x ');
  });
});
