import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../support/daemon.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { startServe } from '../../support/http/serve.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { runForJson, runProgram, startProgram, transcript } from '../../support/program.ts';
import { mirrorsWith, type SmallMirror } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');
const inPlace = mirrorsInPlace();

/** A mirror behind `mirrorlatch serve`; `current` is `second`. */
async function served(place = '') {
  const mirror = await mirrors();
  const state = join(mirror.home, 'state');
  const listen = ['--listen', `127.0.0.1:${await freePort()}`, '--state', state];
  const start = async () => {
    const server = await startServe([`${mirror.root}${place}`, ...listen, '--access-log', '-']);
    onTestFinished(async () => {
      await server.stop();
    });
    return server;
  };
  const server = await start();
  return { mirror, server, start, state, url: `${server.address}/mirror/current/` };
}

/** Publishes three more snapshots, and keeps none that nobody needs. */
async function goOn(mirror: SmallMirror): Promise<void> {
  for (const id of ['third', 'fourth', 'fifth'])
    await mirror.publish(id, { file: id }, '--keep-last', '1', '--grace', '0s');
}

const prune = ({ root }: SmallMirror) =>
  runForJson(['prune', root, '--keep-last', '1', '--grace', '0s']);

/** Starts a command that reads, waits, and reads again; it goes on when the file `go` is there. */
function startReader({ home }: SmallMirror, url: string, ...options: readonly string[]) {
  const script = `curl -sS ${url}file && echo && until [ -e '${home}/go' ]; do sleep 0.05; done && curl -sS ${url}file && echo`;
  const words = ['run', '--http', url, ...options, '--', 'sh', '-c', script];
  return startProgram(words, { byLauncher: true });
}

test('I5: a server of mirrorlatch holds the snapshot of `run --http` as long as the command runs, and no longer', async () => {
  const { mirror, url } = await served();
  const reader = startReader(mirror, url, '--verbose');
  await eventually(() => expect(reader.printedSoFar()).toBe('second\n'));
  await goOn(mirror);
  expect(mirror.snapshots()).toEqual(['fifth', 'fourth', 'second']);
  writeFileSync(join(mirror.home, 'go'), '');
  const result = await reader.result;
  expect(result.stdout, transcript(result)).toBe('second\nsecond\n');
  expect(result.stderr).toContain('is pinned to second');
  expect(result.stderr).toContain('the server holds it');
  await prune(mirror);
  expect(mirror.snapshots()).toEqual(['fifth', 'fourth']);
});

test('a mirror whose clients find what is current right below a place is pinned there', async () => {
  const { mirror, server } = await served('/current=/linux/');
  const url = `${server.address}/linux/`;
  const script = `(until [ -e '${mirror.home}/go' ]; do sleep 0.05; done; curl -sS ${url}file >'${mirror.home}/late') >/dev/null 2>&1 & curl -sS ${url}file`;
  const words = ['run', '--http', url, '--sticky', 'linux', '--', 'sh', '-c', script];
  const env = { HOME: mirror.home, XDG_STATE_HOME: mirror.home };
  const first = await runProgram(words, { byLauncher: true, env });
  expect(first, transcript(first)).toMatchObject({ exitCode: 0, stdout: 'second' });
  await goOn(mirror);
  const reuse = ['run', '--http', url, '--reuse', 'linux', '--', 'curl', '-sS', `${url}file`];
  const second = await runProgram(reuse, { byLauncher: true, env });
  expect(second, transcript(second)).toMatchObject({ exitCode: 0, stdout: 'second' });
  writeFileSync(join(mirror.home, 'go'), '');
  await eventually(() => expect(readFileSync(join(mirror.home, 'late'), 'utf8')).toBe('second'));
  await eventually(() =>
    expect(server.printedSoFar()).toMatch(/"DELETE \/-\/mirrors\/linux\/pins/),
  );
});

test('its pin is renewed, and ends by itself after SIGKILL', async () => {
  const { mirror, server, url } = await served();
  const reader = startReader(mirror, url, '--pin-time', '2s');
  await eventually(() => expect(reader.printedSoFar()).toBe('second\n'));
  await goOn(mirror);
  const renewals = () => server.printedSoFar().match(/"PUT \/mirror\/pins\/.* 200 /g) ?? [];
  // Longer than a pin lasts that is not renewed.
  await eventually(() => expect(renewals().length).toBeGreaterThan(4));
  await prune(mirror);
  expect(mirror.snapshots()).toContain('second');
  reader.kill('SIGKILL');
  writeFileSync(join(mirror.home, 'go'), '');
  expect((await reader.result).stdout).toBe('second\n');
  await eventually(async () => {
    await prune(mirror);
    expect(mirror.snapshots()).toEqual(['fifth', 'fourth']);
  });
});

test('I5: its pin outlives the server, and holds its snapshot again as soon as that is started anew', async () => {
  const { mirror, server, start, url } = await served();
  const reader = startReader(mirror, url);
  await eventually(() => expect(reader.printedSoFar()).toBe('second\n'));
  await server.stop();
  await start();
  await goOn(mirror);
  writeFileSync(join(mirror.home, 'go'), '');
  const result = await reader.result;
  expect(result.stdout, transcript(result)).toBe('second\nsecond\n');
});

test('its pin is made again for the same snapshot when a server was started anew that knows nothing of it', async () => {
  const { mirror, server, start, state, url } = await served();
  const reader = startReader(mirror, url, '--pin-time', '3s');
  await eventually(() => expect(reader.printedSoFar()).toBe('second\n'));
  await server.stop();
  rmSync(state, { recursive: true });
  await mirror.publish('third', { file: 'third' });
  const again = await start();
  await eventually(() => expect(again.printedSoFar()).toMatch(/"POST \/mirror\/pins .* 201 /));
  writeFileSync(join(mirror.home, 'go'), '');
  const result = await reader.result;
  expect(result.stdout, transcript(result)).toBe('second\nsecond\n');
});

test('places that its server redirects to are those that the command knows', async () => {
  const { url } = await served();
  const words = ['run', '--http', url, '--', 'curl', '-sSI', `${url}below`];
  const { stdout } = await startProgram(words, { byLauncher: true }).result;
  expect(stdout).toMatch(/^Location: (http:\/\/127.0.0.1:\d+)?\/mirror\/current\/below\/\r$/m);
});

test('what the command has left running keeps its pin', async () => {
  const { mirror, url } = await served();
  const { home } = mirror;
  const script = `(exec >'${home}/out' 2>&1; until [ -e '${home}/go' ]; do sleep 0.05; done; curl -sS ${url}file; sleep 0.1) & curl -sS ${url}file`;
  const words = ['run', '--http', url, '--', 'sh', '-c', script];
  expect(await startProgram(words, { byLauncher: true }).result).toMatchObject({
    exitCode: 0,
    stdout: 'second',
  });
  await goOn(mirror);
  expect(mirror.snapshots()).toContain('second');
  writeFileSync(join(home, 'go'), '');
  await eventually(async () => {
    await prune(mirror);
    expect(mirror.snapshots()).toEqual(['fifth', 'fourth']);
  });
});

test('a mirror in place is not pinned, and its server is not blamed', async () => {
  const mirror = await inPlace();
  const server = await startServe([mirror.root, '--listen', `127.0.0.1:${await freePort()}`]);
  onTestFinished(async () => {
    await server.stop();
  });
  const url = `${server.address}/mirror/current/`;
  const result = await runProgram(['run', '--http', url, '--', 'true'], { byLauncher: true });
  expectFailure(result, 125, /cannot be pinned: it is written in place$/m, /without `run --http`/);
});

test('a URL of the place of all snapshots is answered with that of the mirror', async () => {
  const { url } = await served();
  const snapshots = url.replace('current', 'snapshots');
  const words = ['run', '--http', snapshots, '--', 'true'];
  const result = await runProgram(words, { byLauncher: true });
  expectFailure(result, 125, new RegExp(`Name the mirror itself: ${url}$`, 'm'));
});
