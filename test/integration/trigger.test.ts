import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { endWithTest, runProgram, startProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';

const until = (check: () => boolean) => eventually(() => expect(check()).toBe(true));

const TOKEN = 'a-secret-of-24-characters';

/** A mirror whose syncs of a changed source take some seconds. */
async function slowMirror() {
  const home = realpathSync(scratchDirectory());
  const [root, source, file] = [join(home, 'mirror'), join(home, 'source'), join(home, 'c.toml')];
  mkdirSync(source);
  let count = 0;
  const change = () => {
    count += 1;
    writeFileSync(join(source, 'big'), Buffer.alloc(600_000, count));
    writeFileSync(join(source, 'count'), String(count));
  };
  change();
  writeFileSync(
    file,
    `[mirrors.debian]\nroot = "${root}"\nsource = "${source}/"\nrsync-options = ["--bwlimit=300", "--whole-file"]\n`,
  );
  const env = { MIRRORLATCH_CONFIG: file };
  const run = (...words: string[]) => runProgram(words, { env });
  const start = (...words: string[]) => {
    const program = startProgram(words, { env });
    endWithTest(program);
    return program;
  };
  await run('init', 'debian');
  const history = join(root, '.mirrorlatch/history.jsonl');
  const events = () =>
    (existsSync(history) ? readFileSync(history, 'utf8') : '').match(/"event":"\w+"/g) ?? [];
  const isBusy = () => existsSync(join(root, '.mirrorlatch/sync.lock'));
  const now = () => readFileSync(join(root, 'current/count'), 'utf8');
  const isQuiet = () => !isBusy() && !existsSync(join(root, '.mirrorlatch/wish'));
  return {
    home,
    root,
    change,
    run,
    start,
    events,
    isBusy,
    now,
    isQuiet,
    wish: join(root, '.mirrorlatch/wish'),
  };
}

test.skipIf(process.geteuid?.() !== 0)("another user's mirror is refused at once", async () => {
  const { root, run } = await slowMirror();
  await execa('chown', ['-R', 'nobody', root]);
  expectFailure(await run('trigger', 'debian'), 77, /belongs to nobody/, /runuser -u nobody/);
  await execa('chown', ['-R', 'root', root]);
});

describe('wishes for a sync', () => {
  test('while one is at work are followed by one more, which sees what came before the last of them', async () => {
    const { change, run, start, events, isBusy, now } = await slowMirror();
    const first = start('trigger', 'debian', '--foreground');
    await until(isBusy);
    change();
    for (let count = 0; count < 4; count += 1) {
      const result = await run('trigger', 'debian', '--foreground');
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr).toContain('a sync is at work, and another follows it');
    }
    expect((await first.result).exitCode).toBe(0);
    expect(events()).toHaveLength(2);
    expect(now()).toBe('2');
  });

  test('do not wait for the sync, unless asked to', async () => {
    const { run, events, now, isQuiet } = await slowMirror();
    const result = await run('trigger', 'debian');
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stdout).toContain('a sync is on its way');
    await until(() => events().length === 1 && isQuiet());
    expect(now()).toBe('1');
  });

  test('are not lost when the process that has them is killed', async () => {
    const { change, run, start, events, isBusy, now, wish } = await slowMirror();
    const first = start('trigger', 'debian', '--foreground');
    await until(isBusy);
    change();
    await run('trigger', 'debian', '--foreground');
    expect(existsSync(wish)).toBe(true);
    first.kill('SIGKILL');
    await first.result;
    const next = await run('trigger', 'debian', '--foreground');
    expect(next.exitCode, transcript(next)).toBe(0);
    expect(existsSync(wish)).toBe(false);
    expect(events().length).toBeGreaterThan(0);
    expect(now()).toBe('2');
  });

  test('end as the sync does, with what it said', async () => {
    const { root, run } = await slowMirror();
    writeFileSync(
      join(root, '../c.toml'),
      `[mirrors.debian]\nroot = "${root}"\nsource = "/none/"\n`,
    );
    expectFailure(await run('trigger', 'debian', '--foreground'), 66, /\/none does not exist/);
  });
});

describe('requests by HTTP', () => {
  async function server() {
    const mirror = await slowMirror();
    const file = join(mirror.home, 'token');
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
    const program = mirror.start(
      'trigger',
      'debian',
      '--listen',
      '127.0.0.1:0',
      '--token-file',
      file,
    );
    await until(() => program.printedSoFar().includes('http://'));
    const [url = ''] = /http:\S+/.exec(program.printedSoFar()) ?? [];
    const ask = async (path: string, token = TOKEN, method = 'POST', scheme = 'Bearer') =>
      (await fetch(`${url}${path}`, { method, headers: { authorization: `${scheme} ${token}` } }))
        .status;
    return { ...mirror, ask, url, program, file };
  }

  test('start a sync if they have the token', async () => {
    const { ask, events, now, program } = await server();
    expect(await ask('/debian', `${TOKEN}x`)).toBe(401);
    expect(await ask('/debian', '')).toBe(401);
    expect(await ask('/none', `${TOKEN}x`)).toBe(401);
    expect(await ask('/none')).toBe(404);
    expect(await ask('/..%2f')).toBe(404);
    expect(await ask('/debian', TOKEN, 'GET')).toBe(405);
    expect(await ask('/debian', TOKEN, 'POST', 'Basic')).toBe(401);
    for (const scheme of ['Bearer', 'bearer', 'BEARER'])
      expect(await ask('/debian', TOKEN, 'POST', scheme)).toBe(202);
    await until(
      () => program.saidSoFar().match(/the sync ended with 0|another follows it/g)?.length === 3,
    );
    expect(events().length).toBeGreaterThanOrEqual(1);
    expect(events().length).toBeLessThanOrEqual(2);
    expect(now()).toBe('1');
    program.kill('SIGTERM');
    expect((await program.result).exitCode).toBe(0);
  });

  test('may be large, many and slow, and one more sync follows all of them', async () => {
    const { ask, url, events, isBusy, program, change, now, root } = await server();
    const { hostname, port } = new URL(url);
    const slow = Array.from({ length: 20 }, () => connect(Number(port), hostname));
    onTestFinished(() => {
      for (const socket of slow) socket.destroy();
    });
    for (const socket of slow) socket.write('POST /debian HTTP/1.1\r\nHost: x\r\n');
    expect(await ask('/debian')).toBe(202);
    await until(isBusy);
    change();
    const headers = { authorization: `Bearer ${TOKEN}` };
    const body = Buffer.alloc(20_000_000);
    const large = await fetch(`${url}/debian`, { method: 'POST', headers, body });
    expect(large.status).toBe(202);
    const many = await Promise.all(Array.from({ length: 40 }, () => ask('/debian')));
    expect(new Set(many)).toEqual(new Set([202]));
    await until(() => program.saidSoFar().includes('the sync ended with 0'));
    expect(program.saidSoFar().match(/another follows it/g)).toHaveLength(41);
    expect(events()).toHaveLength(2);
    expect(now()).toBe('2');
    expect(existsSync(join(root, '.mirrorlatch/wish'))).toBe(false);
  });

  test('need a token that nobody else can read or guess', async () => {
    const { run, file } = await server();
    const listen = ['trigger', 'debian', '--listen', '127.0.0.1:0', '--token-file'];
    expectFailure(await run(...listen.slice(0, -1)), 64, /belong together/);
    expectFailure(await run(...listen, `${file}.none`), 78, /no token in/, /urandom/);
    writeFileSync(file, 'short\n');
    expectFailure(await run(...listen, file), 78, /no token of at least 16/);
    expectFailure(await run(...listen, '/dev/null'), 78, /\/dev\/null is not a file with a token/);
    chmodSync(file, 0o640);
    expectFailure(await run(...listen, file), 78, /other users may read/);
    chmodSync(file, 0o600);
    if (!runsAsRoot) return;
    chownSync(file, 65534, 65534);
    expectFailure(await run(...listen, file), 78, /other users may read/);
  });
});
