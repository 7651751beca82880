import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http/ask.ts';
import { startServe } from '../../support/http/serve.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const inSnapshots = mirrorsWith('one');
const inPlace = mirrorsInPlace();

/** Makes what can be served at ROOT, and returns its path. Each has a `file`. */
const makers = {
  snapshots: async () => (await inSnapshots()).root,
  'in place': async () => (await inPlace()).root,
  foreign: async () => {
    const root = scratchDirectory();
    mkdirSync(join(root, 'releases/1'), { recursive: true });
    writeFileSync(join(root, 'releases/1/file'), 'released');
    symlinkSync('releases/1', join(root, 'current'));
    return root;
  },
};
type Kind = keyof typeof makers;

async function serveAt(kind: Kind) {
  const root = join(scratchDirectory(), 'root');
  renameSync(await makers[kind](), root);
  const server = await startServe([`${root}=/`]);
  onTestFinished(async () => void (await server.stop()));
  const statusOf = async (path: string, method = 'GET', agent = 'client') => {
    const headers = { 'User-Agent': agent };
    return (await ask(server.address, path, { method, headers })).status;
  };
  expect(await statusOf('/current/file')).toBe(200);
  return { root, server, statusOf };
}

async function replace(root: string, kind: Kind): Promise<void> {
  const other = await makers[kind]();
  renameSync(root, `${root}.away`);
  renameSync(other, root);
}

test.each<[Kind, Kind]>([
  ['snapshots', 'in place'],
  ['snapshots', 'foreign'],
  ['in place', 'snapshots'],
  ['in place', 'foreign'],
  ['foreign', 'snapshots'],
  ['foreign', 'in place'],
])(
  'A root of kind %s that has become %s is not read until serve is restarted',
  async (before, after) => {
    const { root, server, statusOf } = await serveAt(before);
    await replace(root, after);
    expect(await statusOf('/current/file')).toBe(503);
    expect(await statusOf('/current/file')).toBe(503);
    expect(await statusOf('/pins', 'POST')).toBe(before === 'in place' ? 409 : 503);
    await eventually(() => expect(server.saidSoFar()).toMatch(/root .+restart mirrorlatch serve/));
  },
);

test('A run fails whose mirror was replaced by another of its kind, and others begin', async () => {
  const { root, statusOf } = await serveAt('snapshots');
  renameSync(root, `${root}.away`);
  renameSync((await mirrorWithTwo()).root, root);
  expect(await statusOf('/current/file')).toBe(503);
  expect(await statusOf('/current/file')).toBe(503);
  expect(await statusOf('/current/file', 'GET', 'another')).toBe(200);
});

const mirrorWithTwo = mirrorsWith('two');
