import {
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { StatusReport } from '../../../src/http/status/status-report.ts';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http/ask.ts';
import { startBrowser } from '../../support/http/browser.ts';
import type { ServeProcess } from '../../support/http/serve.ts';
import { serversOfTests } from '../../support/http/servers.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runsAsRoot } from '../../support/privilege.ts';
import { endWithTest, runForJson, runProgram, startProgram } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith, type SmallMirror } from '../../support/small-mirror.ts';

const published = mirrorsWith('first', 'second');
const inPlace = mirrorsInPlace();
const serve = serversOfTests();
const whyNot = whyNotInstalled('chromium');

async function reportOf(server: ServeProcess): Promise<StatusReport> {
  const { status, text } = await ask(server.address, '/-/status.json');
  expect(status).toBe(200);
  return JSON.parse(text) as StatusReport;
}

/** Makes all that history says two days older. */
function age(mirror: SmallMirror): void {
  const lines = readFileSync(mirror.state('history.jsonl'), 'utf8');
  const older = lines.replaceAll(/"at":"([^"]*)"/g, (_, at: string) => {
    return `"at":"${new Date(Date.parse(at) - 48 * 3_600_000).toISOString()}"`;
  });
  writeFileSync(mirror.state('history.jsonl'), older);
}

test('the pages of the server are below /-/, and at / where no mirror has that place', async () => {
  const mirror = await published();
  const below = await serve(mirror.root);
  for (const path of ['/', '/-/']) {
    const { status, text, headers } = await ask(below.address, path);
    expect(status).toBe(200);
    expect(text).toContain('<h2 id="m0">mirror</h2>');
    expect(headers['content-security-policy']).toContain("default-src 'none'");
  }
  for (const page of ['status.json', 'metrics', 'healthz'])
    for (const path of [`/${page}`, `/-/${page}`])
      expect((await ask(below.address, path)).status, path).toBe(200);
  const whole = await serve(`${mirror.root}=/`);
  expect((await ask(whole.address, '/')).text).not.toContain('<h2');
  expect((await ask(whole.address, '/-/')).text).toContain('<h2 id="m0">mirror</h2>');
  expect((await ask(whole.address, '/healthz')).status).toBe(404);
  expect((await ask(whole.address, '/-/nothing')).status).toBe(404);
  expect((await ask(whole.address, '/-/', { method: 'POST' })).status).toBe(405);
});

test('the server says where each mirror is, and its status page', async () => {
  const [mirror, other] = [await published(), await published()];
  const socket = join(mirror.home, 'socket');
  const where = ['--listen', '127.0.0.1:0', '--listen', `unix:${socket}`];
  const server = startProgram(['serve', mirror.root, `${other.root}/current=/b/`, ...where]);
  endWithTest(server);
  await eventually(() => expect(server.printedSoFar()).toContain('/socket/-/mirrors/b/'));
  const [address] = /http:\/\/[\d.:]+/.exec(server.printedSoFar()) ?? [];
  expect(server.printedSoFar().split('\n')).toEqual([
    `serving mirror at ${address}/mirror/current/`,
    `serving b at ${address}/b/`,
    `pins and snapshots of b at ${address}/-/mirrors/b/`,
    `status page at ${address}/-/`,
    `serving mirror at unix:${socket}/mirror/current/`,
    `serving b at unix:${socket}/b/`,
    `pins and snapshots of b at unix:${socket}/-/mirrors/b/`,
    '',
  ]);
  server.kill('SIGTERM');
  expect((await server.result).exitCode).toBe(0);
});

test('runs of clients and strict pins are counted, by snapshot', async () => {
  const mirror = await published();
  const server = await serve(mirror.root);
  await ask(server.address, '/mirror/current/file', { headers: { 'User-Agent': 'one' } });
  await ask(server.address, '/mirror/current/file', { headers: { 'User-Agent': 'two' } });
  await ask(server.address, '/mirror/pins', { method: 'POST', body: '{"snapshot":"previous"}' });
  const [report] = (await reportOf(server)).mirrors;
  expect(report?.pins).toMatchObject({ pins: 2, strictPins: 1 });
  expect(report?.snapshots).toMatchObject([
    { id: 'second', pins: 2, leases: 1 },
    { id: 'first', pins: 1, leases: 1 },
  ]);
  const { text } = await ask(server.address, '/-/metrics');
  expect(text).toContain('mirrorlatch_mirror_pins{mirror="mirror",kind="strict"} 1\n');
  expect(text).toMatch(/mirrorlatch_http_requests_total\{code="2xx"\} [45]\n/);
});

test.runIf(runsAsRoot)('what the user of the server may not look into is named', async () => {
  const mirror = await published();
  const server = await serve(mirror.root);
  const [report] = (await reportOf(server)).mirrors;
  expect(report?.unseen).toEqual([mirror.state('staging')]);
  expect((await ask(server.address, '/')).text).toContain('only their owner may look there');
});

test('healthz fails with the reasons when a mirror is stale, closed or empty', async () => {
  const [fresh, stale] = [await published(), await published()];
  const healthz = async (...words: string[]) => {
    const server = await serve(...words);
    const { status, text, headers } = await ask(server.address, '/-/healthz');
    expect(headers['retry-after']).toBe(status === 503 ? '30' : undefined);
    return `${status} ${text}`;
  };
  expect(await healthz(fresh.root, '--max-age', '1h')).toBe('200 ok\n');
  age(stale);
  expect(await healthz(`${stale.root}=/old/`)).toBe('200 ok\n');
  expect(await healthz(stale.root, '--max-age', '1h')).toBe(
    '503 mirror: the last successful sync was 2 days ago\n',
  );
  const closed = await inPlace();
  await runProgram(['gate', 'close', closed.root, '--reason', 'a new disk']);
  expect(await healthz(closed.root)).toMatch(
    /^503 mirror: the tree has been closed .*a new disk\n$/,
  );
  const empty = join(scratchDirectory(), 'new');
  await runForJson(['init', empty, '--source', fresh.source]);
  expect(await healthz(empty)).toBe('503 new: nothing has been published yet\n');
});

test('healthz fails when the server may not read the files, or `current` leads nowhere', async () => {
  const mirror = await published();
  const server = await serve(mirror.root);
  const healthz = async () => {
    const { status, text } = await ask(server.address, '/-/healthz');
    return `${status} ${text}`;
  };
  const tree = join(mirror.root, 'snapshots/second');
  const files = ['file', 'below/file'].map((name) => join(tree, name));
  const become = async (expected: RegExp) =>
    eventually(async () => expect(await healthz()).toMatch(expected));
  expect(await healthz()).toBe('200 ok\n');
  for (const file of files) chmodSync(file, 0);
  await become(/^503 mirror: cannot be read: the user \S+ may not read .+\/file\n$/);
  expect((await ask(server.address, '/mirror/current/file')).status).toBe(403);
  chmodSync(files[1] ?? '', 0o644);
  await become(/^200 ok$/m);
  for (const directory of [join(tree, 'below'), tree, join(mirror.root, 'snapshots')]) {
    chmodSync(directory, 0);
    await become(/^503 mirror: cannot be read: /);
    chmodSync(directory, 0o755);
    await become(/^200 ok$/m);
  }
  rmSync(join(mirror.root, 'current'));
  symlinkSync('snapshots/gone', join(mirror.root, 'current'));
  await become(/^503 mirror: cannot be read: .*current/);
});

test('a tree that another program keeps is shown beside a mirror, in the order of the command line', async () => {
  const mirror = await published();
  const kept = join(scratchDirectory(), 'kept');
  mkdirSync(join(kept, 'releases', '42'), { recursive: true });
  symlinkSync('releases/42', join(kept, 'current'));
  utimesSync(join(kept, 'releases', '42'), 1, 1);
  const server = await serve(`${mirror.root}=/a/`, `${kept}=/longer/prefix/`);
  const { mirrors } = await reportOf(server);
  expect(mirrors).toMatchObject([
    { name: 'a', prefix: '/a/', kind: 'snapshots' },
    {
      name: 'longer-prefix',
      prefix: '/longer/prefix/',
      kind: 'foreign',
      current: { id: 'releases~42' },
    },
  ]);
});

test.skipIf(whyNot !== '')(`a browser shows whether the mirror is fresh${whyNot}`, async () => {
  const mirror = await published();
  const server = await serve(mirror.root, '--max-age', '26h');
  const browser = startBrowser();
  try {
    const page = await browser.open(`${server.address}/`, { width: 320 });
    const words = await page.evaluate<string>('document.body.innerText');
    expect(words).toContain('✓ Fresh');
    const link = await page.evaluate<string>(`document.querySelector('dd a').href`);
    expect((await ask(server.address, new URL(`${link}file`).pathname)).text).toBe('second');
    expect(page.complaints()).toEqual([]);
  } finally {
    await browser.close();
  }
});
