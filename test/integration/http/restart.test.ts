import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { execaSync } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { StateFile } from '../../../src/http/server/state-file.ts';
import { freePort } from '../../support/daemon.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { ask, type Reply } from '../../support/http/ask.ts';
import { type ServeProcess, startServe } from '../../support/http/serve.ts';
import { fillDisk, mountTmpfs } from '../../support/loop-filesystem.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { runForJson, runProgram, startProcess } from '../../support/program.ts';
import { bin } from '../../support/project.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { copiesOf, type SmallMirror } from '../../support/small-mirror.ts';

const INDEX = 'dists/x/InRelease';
const LIST = 'dists/x/Packages';
const generation = (id: string) => ({
  [INDEX]: id,
  [LIST]: id,
  'dists/y/InRelease': id,
});

const published = copiesOf((mirror) => mirror.publish('one', generation('one')));

async function serve(...words: string[]): Promise<ServeProcess> {
  const server = await startServe(words);
  onTestFinished(async () => {
    await server.stop();
  });
  return server;
}

const shown = ({ status, text }: Reply) => `${status} ${text.trim()}`;

/** Of this process, without what nothing refers to; bytes. */
function memoryInUse(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Reads as one client of a mirror at `/`, whose User-Agent is `agent`. */
const reader =
  ({ address }: ServeProcess, agent: string) =>
  async (path: string) =>
    shown(await ask(address, `/current/${path}`, { headers: { 'User-Agent': agent } }));

/** A mirror at `/` behind a server that can be started again. */
async function served(...options: string[]) {
  const mirror = await published();
  const state = join(mirror.home, 'state');
  const listen = ['--listen', `127.0.0.1:${await freePort()}`, '--state', state];
  const start = (...more: string[]) => serve(`${mirror.root}=/`, ...listen, ...options, ...more);
  return { mirror, state, start };
}

/** The files in which servers have written their state. */
const filesIn = (state: string): string[] =>
  existsSync(state) ? readdirSync(state).map((name) => join(state, name, 'pins.jsonl')) : [];

const written = (state: string): string =>
  filesIn(state)
    .filter(existsSync)
    .map((file) => readFileSync(file, 'utf8'))
    .join('');

/** Publishes more snapshots, and keeps none that nobody needs. */
async function goOn(mirror: SmallMirror, ...ids: readonly string[]): Promise<void> {
  for (const id of ids)
    await mirror.publish(id, generation(id), '--keep-last', '1', '--grace', '0s');
}

const ENDS = [
  ['ended', 'SIGTERM'],
  ['killed', 'SIGKILL'],
] as const;

/** Ends a server at once. */
async function end(server: ServeProcess, signal: NodeJS.Signals) {
  server.kill(signal);
  const { exitCode } = await server.result;
  expect(exitCode).toBe(signal === 'SIGTERM' ? 0 : undefined);
}

describe.each(ENDS)('a server that was %s and started again', (_, signal) => {
  test('I1, I5: goes on with the runs of its clients, and holds their snapshots', async () => {
    const { mirror, start } = await served('--pin-gap', '1ms');
    const first = await start();
    expect(await reader(first, 'apt')(INDEX)).toBe('200 one');
    await end(first, signal);
    await mirror.publish('two', generation('two'), '--no-prune');

    const again = await start();
    await goOn(mirror, 'three', 'four');
    const apt = reader(again, 'apt');
    expect(await apt(LIST)).toBe('200 one');
    expect(await apt('dists/y/InRelease')).toBe('200 one');
    expect(await reader(again, 'dnf')(INDEX)).toBe('200 four');
    expect(mirror.snapshots()).toContain('one');
  });

  test('gives a client that begins again the newest snapshot', async () => {
    const { mirror, start } = await served('--pin-gap', '1ms');
    const first = await start();
    expect(await reader(first, 'apt')(INDEX)).toBe('200 one');
    await end(first, signal);
    await mirror.publish('two', generation('two'), '--no-prune');
    expect(await reader(await start(), 'apt')(INDEX)).toBe('200 two');
  });

  test('I5: knows strict pins, which hold their snapshot until they are released', async () => {
    const { mirror, start } = await served();
    const first = await start();
    const made = await ask(first.address, '/pins', { method: 'POST', body: '{"seconds":3600}' });
    const { url, token } = JSON.parse(made.text) as { url: string; token: string };
    await end(first, signal);
    await mirror.publish('two', generation('two'), '--no-prune');

    const { address } = await start();
    await goOn(mirror, 'three', 'four');
    expect(shown(await ask(address, `${url}current/${LIST}`))).toBe('200 one');
    const pin = url.replace(/\/$/, '');
    const renewed = JSON.parse((await ask(address, pin, { method: 'PUT' })).text);
    expect(renewed).toMatchObject({ token, id: 'one', seconds: 3600 });
    expect((await ask(address, pin, { method: 'DELETE' })).status).toBe(204);
    expect((await ask(address, pin)).status).toBe(410);
    await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
    expect(mirror.snapshots()).not.toContain('one');
  });
});

describe('what a server writes down for the next one', () => {
  test('is for the boot of the host alone', async () => {
    const { mirror, state, start } = await served();
    const first = await start();
    await reader(first, 'apt')(INDEX);
    await first.stop();
    await mirror.publish('two', generation('two'), '--no-prune');
    const [file = ''] = filesIn(state);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace(/"bootId":"[^"]+"/, '"bootId":"another"'));
    const again = await start();
    expect(await reader(again, 'apt')(LIST)).toBe('200 two');
    expect(again.saidSoFar()).toBe('');
  });

  test('is read up to the last whole line: a server may be killed while it writes', async () => {
    const { mirror, state, start } = await served();
    const first = await start();
    await reader(first, 'apt')(INDEX);
    await first.stop();
    await mirror.publish('two', generation('two'), '--no-prune');
    const [file = ''] = filesIn(state);
    appendFileSync(file, '{"mirror":"');
    const again = await start();
    expect(await reader(again, 'apt')(LIST)).toBe('200 one');
    expect(again.saidSoFar()).toBe('');
  });

  test('fails where its snapshot is gone, until the client begins again', async () => {
    const { mirror, start } = await served('--pin-gap', '1ms');
    const first = await start();
    await reader(first, 'apt')(INDEX);
    await first.stop();
    await goOn(mirror, 'two', 'three', 'four');
    expect(mirror.snapshots()).not.toContain('one');
    const again = await start();
    const apt = reader(again, 'apt');
    expect(await apt(LIST)).toMatch(/^503 .* has lost the snapshot one/);
    expect(await apt(INDEX)).toBe('200 four');
    expect(await apt(LIST)).toBe('200 four');
    expect(again.saidSoFar()).toBe('');
  });

  test('is bounded by the limits of the next one', async () => {
    const { mirror, start } = await served();
    const first = await start();
    for (const agent of ['apt', 'dnf', 'pip']) await reader(first, agent)(INDEX);
    await first.stop();
    await mirror.publish('two', generation('two'), '--no-prune');
    const again = await start('--max-pins', '2');
    const report = JSON.parse((await ask(again.address, '/-/status.json')).text);
    expect(report.mirrors[0].pins).toMatchObject({ pins: 2 });
  });

  test('is of this server alone: two of one directory do not disturb one another', async () => {
    const { mirror, state, start } = await served();
    const other = await published();
    const port = await freePort();
    const words = [`${other.root}=/`, '--listen', `127.0.0.1:${port}`, '--state', state];
    const servers = [await start(), await serve(...words)];
    for (const server of servers) await reader(server, 'apt')(INDEX);
    for (const server of servers) await server.stop();
    for (const each of [mirror, other]) await each.publish('two', generation('two'), '--no-prune');
    for (const again of [await start(), await serve(...words)])
      expect(await reader(again, 'apt')(LIST)).toBe('200 one');
  });

  test.runIf(runsAsRoot)('is private, and belongs to the user that root becomes', async () => {
    const { state, start } = await served();
    await (await start()).stop();
    const [file = ''] = filesIn(state);
    expect(lstatSync(file)).toMatchObject({ uid: nobody.uid, mode: 0o100600 });
    expect(lstatSync(join(file, '..'))).toMatchObject({ uid: nobody.uid, mode: 0o40700 });
  });

  test('is known before the first answer to a client that has waited at the socket', async () => {
    const mirror = await published();
    const state = join(mirror.home, 'state');
    const port = await freePort();
    // As systemd.socket(5) does; and a client asks before the server is there.
    const activation = `import os, socket, sys
listener = socket.create_server(("127.0.0.1", ${port}))
if os.fork() == 0:
  client = socket.create_connection(("127.0.0.1", ${port}))
  client.sendall(b"GET /current/${LIST} HTTP/1.1\\r\\nHost: x\\r\\nUser-Agent: apt\\r\\nConnection: close\\r\\n\\r\\n")
  answer = b"".join(iter(lambda: client.recv(4096), b""))
  open("${mirror.home}/answer", "wb").write(answer)
  os._exit(0)
os.dup2(os.dup(listener.fileno()), 3)
os.set_inheritable(3, True)
os.execvpe(sys.argv[1], sys.argv[1:], {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})`;
    const answered = join(mirror.home, 'answer');
    for (const snapshot of ['one', 'two']) {
      if (snapshot === 'two') await mirror.publish('two', generation('two'), '--no-prune');
      rmSync(answered, { force: true });
      const words = [process.execPath, bin, 'serve', `${mirror.root}=/`, '--state', state];
      const server = startProcess(['python3', '-c', activation, ...words]);
      await eventually(() => expect(readFileSync(answered, 'utf8')).toMatch(/\r\n\r\none/));
      server.kill('SIGTERM');
      expect((await server.result).exitCode).toBe(0);
    }
  });
});

describe('a server whose state cannot be kept serves, and says so once', () => {
  const FORGETFUL = 'a restart will forget the runs of clients';

  /** Starts a server, reads, and ends it; returns what it has said. */
  async function said(start: () => Promise<ServeProcess>): Promise<string> {
    const server = await start();
    expect(await reader(server, 'apt')(INDEX)).toBe('200 one');
    const { stderr } = await server.stop();
    return stderr;
  }

  test.each([
    ['a text of something else', (file: string) => writeFileSync(file, 'hello')],
    ['its end alone', (file: string) => writeFileSync(file, readFileSync(file, 'utf8').slice(20))],
    [
      'that of a later version',
      (file: string) =>
        writeFileSync(file, readFileSync(file, 'utf8').replace('"format":1', '"format":2')),
    ],
    [
      'a directory',
      (file: string) => {
        rmSync(file);
        mkdirSync(file);
      },
    ],
    [
      'a symlink',
      (file: string) => {
        renameSync(file, `${file}.1`);
        symlinkSync('pins.jsonl.1', file);
      },
    ],
    [
      'a fifo',
      (file: string) => {
        rmSync(file);
        execaSync('mkfifo', [file]);
      },
    ],
  ])('where the file is %s', async (_, spoil) => {
    const { state, start } = await served();
    const first = await start();
    await reader(first, 'apt')(INDEX);
    await first.stop();
    const [file = ''] = filesIn(state);
    spoil(file);
    expect((await said(start)).match(/the runs before the start are forgotten/g)).toHaveLength(1);
  });

  test('and is not started where --state lies nowhere', async () => {
    const { mirror } = await served();
    const nowhere = join(mirror.home, 'nowhere');
    const result = await runProgram(['serve', mirror.root, '--state', join(nowhere, 'state')]);
    expectFailure(result, 64, /there is no/, /mkdir -p .+nowhere/);
    expect(existsSync(nowhere)).toBe(false);
  });

  test('where the directory is a symlink, or another thing than a directory', async () => {
    const { mirror, state, start } = await served();
    await (await start()).stop();
    const [file = ''] = filesIn(state);
    const directory = join(file, '..');
    renameSync(directory, join(mirror.home, 'elsewhere'));
    symlinkSync(join(mirror.home, 'elsewhere'), directory);
    expect(await said(start)).toContain(FORGETFUL);
    rmSync(state, { recursive: true });
    writeFileSync(state, '');
    expect(await said(start)).toContain(FORGETFUL);
  });

  test.runIf(runsAsRoot)('where the directory belongs to another user', async () => {
    const { state, start } = await served();
    await (await start()).stop();
    chownSync(join(filesIn(state)[0] ?? '', '..'), 1, 1);
    expect(await said(start)).toContain('belongs to the user');
  });

  test.runIf(runsAsRoot)('where its user cannot enter the directory', async () => {
    const { state, start } = await served();
    mkdirSync(state, { mode: 0o700 });
    chmodSync(state, 0o700);
    expect((await said(start)).match(/permission denied/g)).toHaveLength(2);
  });

  test.runIf(mayMount)('where the disk is full, until it has room again', async () => {
    const state = await mountTmpfs('size=16k,mode=0755');
    const { mirror } = await served();
    const full = join(state, 'full');
    const words = [`${mirror.root}=/`, '--listen', `127.0.0.1:${await freePort()}`];
    const server = await serve(...words, '--state', state);
    fillDisk(full);
    await reader(server, 'apt')(INDEX);
    await eventually(() => expect(server.saidSoFar()).toContain('no space'));
    await reader(server, 'dnf')(INDEX);
    rmSync(full);
    await eventually(() => expect(written(state)).toContain('"dnf"'));
    expect((await server.stop()).stderr.match(/forget/g)).toHaveLength(1);
  });

  test('as long as it tries again and again in vain', async () => {
    const warnings: string[] = [];
    let looks = 0;
    const file = await StateFile.open({
      path: join(scratchDirectory(), 'missing/pins.jsonl'),
      text: () => [],
      changes: () => ++looks,
      onWarning: (message) => warnings.push(message),
    });
    await eventually(() => expect(looks).toBeGreaterThan(4));
    await file.close();
    expect(warnings).toEqual([expect.stringContaining(FORGETFUL)]);
  });

  test('and takes neither memory nor disk for what it cannot write', async () => {
    const home = scratchDirectory();
    const [state, moved] = [join(home, 'state'), join(home, 'moved')];
    mkdirSync(state);
    const warnings: string[] = [];
    let looks = 0;
    const file = await StateFile.open({
      path: join(state, 'pins.jsonl'),
      text: () => [],
      changes: () => ++looks,
      onWarning: (message) => warnings.push(message),
    });
    onTestFinished(() => file.close());
    renameSync(state, moved);
    await eventually(() => expect(warnings).toHaveLength(1));
    const before = memoryInUse();
    for (let count = 0; count < 100; count += 1) file.add(Buffer.alloc(1e6, 'x').toString());
    await eventually(() => expect(memoryInUse() - before).toBeLessThan(20e6));
    expect(statSync(join(moved, 'pins.jsonl')).size).toBe(0);
  });

  test('where there is no place for it, but not at a port that nobody finds again', async () => {
    const mirror = await published();
    const env = { STATE_DIRECTORY: '', RUNTIME_DIRECTORY: '', XDG_RUNTIME_DIR: '' };
    const user = runsAsRoot ? { user: nobody } : {};
    for (const port of [await freePort(), 0]) {
      const words = [`${mirror.root}=/`, '--listen', `127.0.0.1:${port}`];
      const { stderr } = await (await startServe(words, { env, ...user })).stop();
      if (port === 0) expect(stderr).toBe('');
      else expect(stderr).toContain(`${FORGETFUL}: name a directory`);
    }
  });
});
