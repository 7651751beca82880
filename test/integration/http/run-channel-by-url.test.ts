import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { promote } from '../../../src/operations/promote.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { ask } from '../../support/http/ask.ts';
import { makeCertificate, servePlainly } from '../../support/http/plain-server.ts';
import { serversOfTests } from '../../support/http/servers.ts';
import {
  type ProgramOptions,
  runProgram,
  startProgram,
  transcript,
} from '../../support/program.ts';
import { launcher } from '../../support/project.ts';
import { copiesOf, type SmallMirror } from '../../support/small-mirror.ts';

/** `production` names `first`, `testing` names `second`, and `third` is current. */
const mirrorsWithChannels = copiesOf(async (mirror) => {
  const { root } = mirror;
  await mirror.publish('first', { file: 'first' });
  await promote({ root, to: 'production' });
  await mirror.publish('second', { file: 'second' });
  await promote({ root, to: 'testing' });
  await mirror.publish('third', { file: 'third' });
});
const serve = serversOfTests();

/** Publishes two more snapshots, and keeps none that nobody needs. */
async function goOn(mirror: SmallMirror): Promise<void> {
  for (const id of ['fourth', 'fifth'])
    await mirror.publish(id, { file: id }, '--keep-last', '1', '--grace', '0s');
}

/** Runs `curl` of each URL, before and after a file `go` is there, which `between` makes. */
async function readTwice(
  { home }: SmallMirror,
  options: readonly string[],
  urls: readonly string[],
  between: () => Promise<unknown>,
) {
  const read = urls.map((url) => `curl -sS ${url} && echo`).join(' && ');
  const script = `${read} && touch '${home}/read' && until [ -e '${home}/go' ]; do sleep 0.05; done && ${read}`;
  const words = ['run', ...options, '--', 'sh', '-c', script];
  const reader = startProgram(words, { byLauncher: true });
  await eventually(() => expect(existsSync(join(home, 'read'))).toBe(true));
  await between();
  writeFileSync(join(home, 'go'), '');
  const result = await reader.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  return result.stdout.trim().split('\n');
}

const run = (options: readonly string[], command: readonly string[], more: ProgramOptions = {}) =>
  runProgram(['run', ...options, '--', ...command], { byLauncher: true, ...more });

test.for([
  ['production/'],
  ['production/dists'],
  ['', '--channel', 'production'],
  ['current/', '--channel', 'production'],
  ['production/', '--channel', 'production'],
])(
  'I1, I5: named by %j, a channel is one snapshot for the whole command, which its server holds',
  async ([named, ...options]) => {
    const mirror = await mirrorsWithChannels();
    const { root } = mirror;
    const base = `${(await serve(`${root}=/debian/`)).address}/debian`;
    const urls = ['production', 'current'].map((name) => `${base}/${name}/file`);
    const read = await readTwice(
      mirror,
      ['--http', `${base}/${named}`, ...options],
      urls,
      async () => {
        await promote({ root, to: 'production' });
        await goOn(mirror);
        expect(mirror.snapshots()).toContain('first');
      },
    );
    expect(read).toEqual(['first', 'first', 'first', 'first']);
  },
);

test('I1: so it is where a web server knows nothing of mirrorlatch', async () => {
  const mirror = await mirrorsWithChannels();
  const { root } = mirror;
  const { url, requests } = await servePlainly(root);
  const urls = ['production', 'current'].map((name) => `${url}/${name}/file`);
  const read = await readTwice(mirror, ['--http', `${url}/production/`], urls, () =>
    promote({ root, to: 'production' }),
  );
  expect(read).toEqual(['first', 'first', 'first', 'first']);
  expect(requests.filter((request) => /GET .*file/.test(request))).toEqual(
    Array(4).fill('GET /snapshots/first/file'),
  );
});

test('I1: with https:, the URLs of the channel and of what is current are replaced', async () => {
  const { home, root } = await mirrorsWithChannels();
  const certificate = await makeCertificate(home);
  const { url } = await servePlainly(root, () => false, certificate);
  const env = { SSL_CERT_FILE: certificate.file, CURL_CA_BUNDLE: certificate.file };
  const files = ['production', 'current'].map((name) => `${url}/${name}/file`);
  const result = await run(['--http', `${url}/production/`], ['curl', '-sS', ...files], { env });
  expect(result.stdout, transcript(result)).toBe('firstfirst');
});

test('where clients find what is current right below a place, they find the channel there', async () => {
  const { root } = await mirrorsWithChannels();
  const { address } = await serve(`${root}/current=/linux/`);
  for (const place of ['/linux', '/-/mirrors/linux/production']) {
    const curl = ['curl', '-sS', `${address}${place}/file`];
    const options = ['--http', `${address}/linux/`, '--channel', 'production'];
    const result = await run(options, curl);
    expect(result.stdout, transcript(result)).toBe('first');
  }
});

test('a guard inside the guard of a channel has the same snapshot', async () => {
  const { root } = await mirrorsWithChannels();
  const base = `${(await serve(`${root}=/debian/`)).address}/debian`;
  const outer = ['--http', `${base}/production/`];
  for (const url of [`${base}/production/`, `${base}/current/`]) {
    const inner = [launcher, 'run', '--http', url, '--', 'curl', '-sS', `${url}file`];
    const result = await run(outer, inner);
    expect(result.stdout, transcript(result)).toBe('first');
  }
});

test('what the command has left running keeps the snapshot of the channel', async () => {
  const mirror = await mirrorsWithChannels();
  const { home, root } = mirror;
  const base = `${(await serve(`${root}=/debian/`)).address}/debian`;
  const url = `${base}/production/`;
  const script = `(exec >'${home}/out' 2>&1; until [ -e '${home}/go' ]; do sleep 0.05; done; curl -sS ${base}/current/file) & curl -sS ${url}file`;
  expect((await run(['--http', url], ['sh', '-c', script])).stdout).toBe('first');
  onTestFinished(() => writeFileSync(join(home, 'go'), ''));
  await promote({ root, to: 'production' });
  writeFileSync(join(home, 'go'), '');
  await eventually(() => expect(readFileSync(join(home, 'out'), 'utf8')).toBe('first'));
});

test('--sticky remembers the snapshot of a channel by either of its names, and apart from what is current', async () => {
  const { home, root } = await mirrorsWithChannels();
  const base = `${(await serve(`${root}=/debian/`)).address}/debian`;
  const env = { XDG_STATE_HOME: home };
  const read = async (named: string, ...options: string[]) => {
    const url = `${base}/${named}`;
    return await run(['--http', url, ...options], ['curl', '-sS', `${base}/current/file`], { env });
  };
  await read('production/', '--sticky', 'apt');
  await promote({ root, to: 'production' });
  const again = await read('', '--channel', 'production', '--reuse', 'apt');
  expect(again.stdout, transcript(again)).toBe('first');
  expectFailure(await read('current/', '--reuse', 'apt'), 125, /no snapshot .* is remembered/);
  const hinted = await read('', '--channel', 'testing', '--reuse', 'apt');
  expectFailure(hinted, 125, /--channel testing --sticky apt/);
});

test('a channel that is not there is an error, which names those that are', async () => {
  const { root } = await mirrorsWithChannels();
  const base = `${(await serve(`${root}=/debian/`)).address}/debian`;
  const { url } = await servePlainly(root);
  const on = (named: string) => run(['--http', named, '--channel', 'staging'], ['true']);
  expectFailure(await on(`${base}/`), 125, /no channel staging.*production, testing/);
  expectFailure(await on(`${url}/`), 125, /404 to .*\/staging\.json/);
  for (const server of [base, url]) {
    const misspelt = await run(['--http', `${server}/prod/`], ['true']);
    expectFailure(misspelt, 125, /404 to .*\/prod\.json/, /Name a channel that the mirror has/);
  }
  expectFailure(await on(`${base}/testing/`), 125, /is the channel testing, not staging/);
});

test('a strict pin may name a channel', async () => {
  const { root } = await mirrorsWithChannels();
  const { address } = await serve(`${root}=/debian/`);
  const pin = async (body: unknown) =>
    await ask(address, '/debian/pins', { method: 'POST', body: JSON.stringify(body) });
  expect(JSON.parse((await pin({ channel: 'production' })).text)).toMatchObject({ id: 'first' });
  const missing = await pin({ channel: 'staging' });
  expect([missing.status, missing.text]).toEqual([
    404,
    'There is no channel "staging". There is production, testing.\n',
  ]);
  for (const channel of ['../production', 'current', '', 'a/b'])
    expect((await pin({ channel })).status, channel).toBe(404);
  expect((await pin({ channel: 7 })).text).toContain('the name of a channel');
  expect((await pin({ channel: 'testing', snapshot: 'first' })).status).toBe(400);
});
