import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request as ask, createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Outgoing } from '../../../src/http/client/outgoing.ts';
import { freePort } from '../../support/daemon.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  echo,
  makeCertificate,
  type PlainServer,
  servePlainly,
} from '../../support/http/plain-server.ts';
import { nobody, runsAsRoot } from '../../support/privilege.ts';
import {
  type ProgramOptions,
  type ProgramResult,
  runProgram,
  startProgram,
  transcript,
} from '../../support/program.ts';
import { launcher } from '../../support/project.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith, type SmallMirror } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');

/** A mirror behind a plain web server; `current` is `second`. */
async function served(
  answer?: Parameters<typeof servePlainly>[1],
): Promise<{ mirror: SmallMirror; server: PlainServer; url: string }> {
  const mirror = await mirrors();
  const server = await servePlainly(mirror.root, answer);
  return { mirror, server, url: `${server.url}/current/` };
}

/** The same over https:. */
async function secure() {
  const mirror = await mirrors();
  const certificate = await makeCertificate(mirror.home);
  const server = await servePlainly(mirror.root, () => false, certificate);
  const env = { SSL_CERT_FILE: certificate.file, CURL_CA_BUNDLE: certificate.file };
  return { mirror, url: `${server.url}/current/`, env };
}

/** A shell command that points `current` to another snapshot. */
const flip = ({ root }: SmallMirror, id: string) =>
  `ln -s snapshots/${id} '${root}/flip' && mv -T '${root}/flip' '${root}/current'`;

function runByUrl(
  urls: string | readonly string[],
  command: readonly string[],
  options: readonly string[] = [],
  program: ProgramOptions = {},
): Promise<ProgramResult> {
  const named = [urls].flat().flatMap((url) => ['--http', url]);
  return runProgram(['run', ...named, ...options, '--', ...command], {
    byLauncher: true,
    ...program,
  });
}

const sh = (script: string) => ['sh', '-c', script];

describe('I1: `run --http` keeps to one snapshot of the URL', () => {
  test.for(['curl -sS', 'curl -sSL', 'curl -sS -p', 'wget -qO-'])(
    'what `%s` requests, while `current` goes on',
    async (client) => {
      const { mirror, url } = await served();
      const read = `${client} ${url}file && echo`;
      const script = `${read} && ${flip(mirror, 'first')} && ${read}`;

      const bare = await runProgram([], { through: ['env', ...sh(script)], byLauncher: true });
      expect(bare.stdout).toBe('second\nfirst\n');
      await runProgram([], { through: ['env', ...sh(flip(mirror, 'second'))], byLauncher: true });
      const guarded = await runByUrl(url, sh(script));
      expect(guarded.stdout, transcript(guarded)).toBe('second\nsecond\n');
      expect(guarded).toMatchObject({ exitCode: 0, stderr: '' });
    },
  );

  test.for([
    ['', 'current/file'],
    ['current', 'current/file'],
    ['current/dists/stable/', '/current//./below/../file'],
    ['current/', '%63urrent/fil%65'],
    ['current/', 'current%2Ffile'],
    ['current/', '/%2fcurrent/file'],
  ])('named as /%s, and read as /%s', async ([named, read]) => {
    const { mirror, server } = await served();
    const script = `${flip(mirror, 'first')} && curl -sS --path-as-is ${server.url}/${read}`;
    const { stdout } = await runByUrl(`${server.url}/${named}`, sh(script));
    expect(stdout).toBe('second');
  });

  test('a request that servers understand differently is refused', async () => {
    const { server, url } = await served();
    const odd = `curl -sS --path-as-is ${server.url}/a%2fb/../current/file`;
    const { stdout } = await runByUrl(url, sh(`${odd}; curl -sS ${url}file`));
    expect(stdout).toMatch(/depends on the server.*\nsecond$/);
    expect(server.requests.join()).not.toContain('%2f');
  });

  test('of several mirrors, and beside a mirror on a path', async () => {
    const one = await served();
    const other = await served();
    const local = await mirrors();
    const script = `${[one.mirror, other.mirror].map((mirror) => flip(mirror, 'first')).join(' && ')}
      curl -sS ${one.url}file && curl -sS ${other.url}file && cat '${local.root}/current/file' && basename "$PWD"
      echo "$MIRRORLATCH_ID $MIRRORLATCH_URL_ID $MIRRORLATCH_URL_ID_2"`;
    const { stdout } = await runByUrl([one.url, other.url], sh(script), ['-m', local.root]);
    expect(stdout).toBe('secondsecondsecondsecond\nsecond second second\n');
  });

  test('of an earlier snapshot', async () => {
    const { url } = await served();
    for (const id of ['previous', 'first']) {
      const { stdout } = await runByUrl(url, ['curl', '-sS', `${url}file`], ['--snapshot', id]);
      expect(stdout).toBe('first');
    }
    const command = ['curl', '-sS', `${url}file`];
    expectFailure(
      await runByUrl(url, command, ['--snapshot', 'third']),
      125,
      /has no snapshot third/,
    );
  });

  test('in a guard inside a guard', async () => {
    const { mirror, url } = await served();
    const inner = sh(`curl -sS ${url}file`);
    const words = [...['--http', url, '--'], ...inner].map((word) => `'${word}'`).join(' ');
    const script = `${flip(mirror, 'first')}; echo '{"format":1,"id":"first","path":"snapshots/first/"}' >'${mirror.root}/current.json'
      curl -sS ${url}file && "$LAUNCHER" run ${words}`;
    const { stdout } = await runByUrl(url, sh(script), [], {
      env: { LAUNCHER: join(import.meta.dirname, '../../../dist/mirrorlatch') },
    });
    expect(stdout).toBe('secondsecond');
  });

  test.for([
    ['curl -sS', '.curlrc', 'noproxy = "*"'],
    ['curl -sS', '.curlrc', 'proxy = ""'],
    ['curl -sS', '.config/curlrc', '-x ""'],
    ['wget -qO-', '.wgetrc', 'use_proxy = off'],
    ['wget -qO-', '.wgetrc', 'No-Proxy = 127.0.0.1'],
    ['git ls-remote', '.gitconfig', '[http]\n\tproxy = ""'],
    ['git ls-remote', '.gitconfig', '[http "URL"]\n\tproxy = ""'],
  ])('what `%s` requests beside another program, though %s has %j', async (row) => {
    const [client = '', name = '', text = ''] = row;
    const { mirror, url, server } = await served((request, response) => {
      const [, snapshot, name] = /([^/]+)\/file\/(info\/refs|HEAD)/.exec(request.url ?? '') ?? [];
      if (snapshot === undefined) return false;
      response.writeHead(200, { 'Content-Type': 'text/plain' });
      response.end(name === 'HEAD' ? 'ref: refs/heads/a\n' : `${'0'.repeat(40)}\t${snapshot}\n`);
      return true;
    });
    const home = scratchDirectory();
    mkdirSync(join(home, '.config'));
    writeFileSync(join(home, name), `${text.replace('URL', server.url)}\n`);
    const read = `${client} ${url}file`;
    const env = { HOME: home, XDG_CONFIG_HOME: undefined, TMPDIR: home };
    const script = `curl -qsS ${url}file && ${flip(mirror, 'first')} && ${read}`;
    const { stdout, stderr, exitCode } = await runByUrl(url, sh(script), [], { env });
    expect([stdout, stderr, exitCode]).toEqual([
      expect.stringMatching(/^second(second|0+\tsecond\n)$/),
      '',
      0,
    ]);
    expect(server.requests.join()).not.toContain('/current/file');
    expect(readdirSync(home)).toEqual([...new Set(['.config', name.split('/')[0]])].sort());
  });

  test('past whatever the environment says of proxies', async () => {
    const { mirror, url } = await served();
    const env = {
      no_proxy: '*',
      NO_PROXY: '127.0.0.1',
      HTTP_PROXY: undefined,
      npm_config_noproxy: '127.0.0.1',
    };
    const script = `${flip(mirror, 'first')} && curl -sS ${url}file && wget -qO- ${url}file
      echo "\${no_proxy-none} \${NO_PROXY-none} \${HTTP_PROXY-none} \${all_proxy-none} $npm_config_noproxy"`;
    const { stdout } = await runByUrl(url, sh(script), [], { env });
    expect(stdout).toBe('secondsecondnone none none none none.invalid\n');
  });
});

describe('I10: what the guard of a URL does not pin passes through untouched:', () => {
  test('other places, methods, bodies, ranges and headers', async () => {
    const { url, server } = await served((request, response) => {
      if (!request.url?.startsWith('/echo')) return false;
      response.writeHead(207, 'As It Is', { 'X-Twice': ['1', '2'], Date: 'never' });
      response.write(`${request.method} ${request.url} ${request.headers['x-mine']} `);
      request.pipe(response);
      return true;
    });
    const script = `curl -sS ${url}file >/dev/null
      curl -sSi -X PUT -H 'X-Mine: yes' -H 'Expect: 100-continue' --data-binary abc '${server.url}/echo/%7e?a=b?c'
      head -c 3000000 /dev/zero | curl -sS -T - ${server.url}/echo | wc -c
      curl -sSI ${server.url}/snapshots/first/file`;
    const { stdout } = await runByUrl(url, sh(script));
    expect(stdout).toMatch(/^HTTP\/1.1 207 As It Is\r\n/m);
    expect(stdout).toMatch(/^X-Twice: 1\r\nX-Twice: 2\r\nDate: never\r\n/m);
    expect(stdout).toContain('PUT /echo/%7e?a=b?c yes abc');
    expect(stdout).toMatch(/abc3000020$/m);
    expect(stdout).toMatch(/^Content-Length: 5\r$/m);
    expect(server.requests.at(-1)).toBe('HEAD /snapshots/first/file');
  });

  test('tunnels', async () => {
    const { url } = await served();
    const { port } = await echo('hello ');
    const client = `
      const socket = require('net').connect(new URL(process.env.http_proxy).port, '127.0.0.1');
      let got = '';
      socket.write('CONNECT 127.0.0.1:${port} HTTP/1.1\\r\\n\\r\\nto ');
      socket.on('data', (chunk) => {
        if (got === '') socket.write('you!');
        got += chunk;
        if (got.endsWith('!')) socket.end();
      });
      socket.on('close', () => process.stdout.write(got));`;
    const { stdout } = await runByUrl(url, ['node', '-e', client], ['--allow-unseen']);
    expect(stdout).toBe('HTTP/1.1 200 Connection established\r\n\r\nhello to you!');
  });

  test('after a client has broken off a tunnel that leads nowhere', async () => {
    const { url } = await served();
    const client = `
      const socket = require('net').connect(new URL(process.env.http_proxy).port, '127.0.0.1');
      socket.write('CONNECT x:y:z HTTP/1.1\\r\\n\\r\\n');
      socket.once('data', () => socket.resetAndDestroy());`;
    const { stdout } = await runByUrl(url, sh(`node -e "$CLIENT"; curl -sS '${url}file'`), [], {
      env: { CLIENT: client },
    });
    expect(stdout).toBe('second');
  });

  test('an answer that breaks off, which does not look whole', async () => {
    const { url, server } = await served((request, response) => {
      if (!request.url?.startsWith('/broken')) return false;
      response.writeHead(200, request.url.endsWith('chunked') ? {} : { 'Content-Length': 10 });
      response.write('half', () => response.destroy());
      return true;
    });
    for (const path of ['broken', 'broken-chunked']) {
      const script = `curl -sS ${url}file >/dev/null; curl -sS ${server.url}/${path}`;
      const { exitCode } = await runByUrl(url, sh(script));
      expect([18, 56]).toContain(exitCode);
    }
  });

  test('the exit code of COMMAND, its signal, its words byte for byte, and what it reads', async () => {
    const { url } = await served();
    const read = `curl -sS ${url}file >/dev/null`;
    expect(await runByUrl(url, sh(`${read}; exit 3`))).toMatchObject({ exitCode: 3, stderr: '' });
    expect(await runByUrl(url, sh(`${read}; kill -TERM $$`))).toMatchObject({ signal: 'SIGTERM' });
    const odd = await runProgram([], {
      through: [
        'bash',
        '-c',
        `"$0" run --http ${url} --allow-unseen -- printf %s $'a\\xff b' '' | od -An -tx1`,
        launcher,
      ],
    });
    expect(odd.stdout.trim()).toBe('61 ff 20 62');
    expectFailure(await runByUrl(url, ['no-such-command']), 127, /was not found/);
    expectFailure(await runByUrl(url, ['/etc/passwd']), 126, /cannot be executed/);
  });

  test('a signal', async () => {
    const { url } = await served();
    const script = `trap 'echo got; exit 0' USR1; curl -sS ${url}file; echo; while :; do sleep 0.05; done`;
    const running = startProgram(['run', '--http', url, '--', ...sh(script)], { byLauncher: true });
    await eventually(() => expect(running.printedSoFar()).toBe('second\n'));
    running.kill('SIGUSR1');
    expect(await running.result).toMatchObject({ stdout: 'second\ngot\n', exitCode: 0 });
  });
});

describe("the caller's own proxy is used", () => {
  /** A forward proxy that notes what it is asked for, and does it for one user only. */
  async function callersProxy(drops?: string): Promise<{ port: number; asked: string[] }> {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      const { method, url = '', headers } = request;
      asked.push(`${method} ${url} ${headers['proxy-authorization']}`);
      if (method === drops) {
        request.socket.destroy();
        return;
      }
      const onward = ask(
        url,
        { method, headers: { ...headers, connection: 'close' } },
        (answer) => {
          response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(response);
        },
      );
      request.pipe(onward);
    });
    server.on('connect', (request, socket, head) => {
      asked.push(`CONNECT ${request.url} ${request.headers['proxy-authorization']}`);
      const [host = '', port] = (request.url ?? '').split(':');
      const far = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Fine\r\n\r\n');
        far.write(head);
        far.pipe(socket).pipe(far);
      });
      for (const one of [far, socket]) one.on('error', () => one.destroy());
    });
    server.listen(0, '127.0.0.1');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    await eventually(() => expect(server.listening).toBe(true));
    return { port: (server.address() as AddressInfo).port, asked };
  }
  const basic = `Basic ${Buffer.from('me:it s').toString('base64')}`;

  test('for what goes out, and no_proxy is obeyed', async () => {
    const { mirror, url, server } = await served();
    const other = await servePlainly(mirror.root);
    const proxy = await callersProxy();
    const address = `http://me:it%20s@127.0.0.1:${proxy.port}`;
    const env = { http_proxy: address, no_proxy: `127.0.0.1:${other.port}` };
    const script = `${flip(mirror, 'first')}; curl -sS ${url}file && curl -sS ${other.url}/current/file`;
    const { stdout } = await runByUrl(url, sh(script), [], { env });
    expect(stdout).toBe('secondfirst');
    expect(proxy.asked).toEqual([
      `HEAD ${server.url}/ ${basic}`,
      `POST ${server.url}/pins ${basic}`,
      `GET ${server.url}/current.json ${basic}`,
      `HEAD ${server.url}/snapshots/second/ ${basic}`,
      `GET ${server.url}/snapshots/second/file ${basic}`,
    ]);
  });

  test('for tunnels', async () => {
    const { mirror, url } = await served();
    const other = await servePlainly(mirror.root);
    const proxy = await callersProxy();
    const env = { https_proxy: `http://me:it%20s@127.0.0.1:${proxy.port}`, http_proxy: '' };
    const script = `curl -sS ${url}file && curl -sSp ${other.url}/current/file`;
    const { stdout } = await runByUrl(url, sh(script), [], { env });
    expect(stdout).toBe('secondsecond');
    expect(proxy.asked).toEqual([`CONNECT 127.0.0.1:${other.port} ${basic}`]);
  });

  test('for a mirror over https:', async () => {
    const { url, env } = await secure();
    const proxy = await callersProxy();
    const https_proxy = `http://me:it%20s@127.0.0.1:${proxy.port}`;
    const { stdout } = await runByUrl(url, sh(`curl -sS ${url}file`), [], {
      env: { ...env, https_proxy, http_proxy: '' },
    });
    expect(stdout).toBe('second');
    expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT ${new URL(url).host} ${basic}`]));
  });

  test('for a snapshot that nothing holds, where it passes no POST', async () => {
    const { mirror, url } = await served();
    const env = {
      http_proxy: `http://127.0.0.1:${(await callersProxy('POST')).port}`,
      no_proxy: '',
    };
    const script = `${flip(mirror, 'first')}; curl -sS ${url}file`;
    const result = await runByUrl(url, sh(script), [], { env });
    expect(result).toMatchObject({ exitCode: 0, stdout: 'second' });
    expect(result.stderr).toMatch(/passes no POST, so nothing holds the snapshot second/);
    expect(result.stderr).toMatch(/variable http_proxy\. .*export no_proxy=/);
    const direct = await runByUrl(url, sh(script), [], { env: { ...env, no_proxy: '127.0.0.1' } });
    expect(direct).toMatchObject({ exitCode: 0, stderr: '' });
  });

  test('and named with the way past it, where it answers nothing', async () => {
    const { mirror, url } = await served();
    const closed = `http://127.0.0.1:${(await callersProxy('HEAD')).port}`;
    const nobody = `http://me:secret@127.0.0.1:${await freePort()}`;
    const fails = async (from: RegExp, env: Readonly<Record<string, string>>, said: RegExp) => {
      const result = await runByUrl(url, sh(`curl -sS ${url}file`), [], { env });
      expectFailure(
        result,
        125,
        /cannot be reached by the proxy http:\/\/127/,
        said,
        from,
        /no_proxy=/,
      );
      expect(result.stderr).not.toContain('secret');
    };
    await fails(/variable http_proxy/, { http_proxy: closed }, /closed without an answer/);
    const env = { http_proxy: '', HTTP_PROXY: '', all_proxy: '', ALL_PROXY: '' };
    await fails(/variable ALL_PROXY/, { ...env, ALL_PROXY: nobody }, /nothing listens at/);
    writeFileSync(join(mirror.home, '.curlrc'), `proxy = ${nobody}\n`);
    await fails(/curl's configuration/, { ...env, HOME: mirror.home }, /nothing listens at/);
  });

  test('unless it is of another kind', async () => {
    const { url } = await served();
    const env = { all_proxy: 'socks5://127.0.0.1:9', http_proxy: '' };
    expectFailure(await runByUrl(url, ['true'], [], { env }), 125, /kind socks5/);
  });

  test('unless it is no URL', async () => {
    const { url } = await served();
    for (const proxy of ['http://[::1/', 'my proxy']) {
      const env = { http_proxy: '', https_proxy: proxy };
      const result = await runByUrl(url, ['true'], [], { env });
      expectFailure(result, 125, /proxy ".+" is no URL/, /the variable https_proxy/);
    }
  });
});

test('a server that accepts a connection and answers nothing is named, with the time that it had', async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  silent.on('request', () => {});
  await once(silent, 'listening');
  const outgoing = new Outgoing({ http: undefined, https: undefined, except: '' });
  onTestFinished(async () => {
    await outgoing.close();
    silent.closeAllConnections();
    silent.close();
  });
  const url = new URL(`http://127.0.0.1:${(silent.address() as AddressInfo).port}/`);
  const asked = outgoing.ask('HEAD', url, { timeoutMs: 100 });
  await expect(asked).rejects.toThrow(`${url} cannot be reached: no answer within 0.1 s`);
});

test('No server makes `run --http` ask it again and again, whatever times it names', async () => {
  const { server, url } = await served((request, response) => {
    if (request.url !== '/pins') return false;
    const pin = { token: 'one~x', id: 'one', seconds: 1e10 };
    response.writeHead(201).end(JSON.stringify(pin));
    return true;
  });
  await runByUrl(url, ['sleep', '0.5'], ['--allow-unseen']);
  expect(server.requests.filter((request) => request.startsWith('PUT '))).toEqual([]);
  const closed = await served((request, response) => {
    if (request.url !== '/pins') return false;
    response.writeHead(503, { 'Retry-After': '-1' }).end();
    return true;
  });
  await runByUrl(closed.url, ['true'], ['--wait', '2s']);
  expect(closed.server.requests.length).toBeLessThan(6);
});

describe('I14: `run --http` does not pretend:', () => {
  test('a command that requests nothing of the mirror ends with 125, unless that is allowed', async () => {
    const { server, url } = await served();
    const past = sh(`env -u http_proxy curl -sS ${url}file`);
    expectFailure(await runByUrl(url, past), 125, /requested nothing of .*\/current\//, /sudo/);
    const elsewhere = ['curl', '-sS', `${server.url}/snapshots/second/file`];
    expectFailure(await runByUrl(url, elsewhere), 125, /may have run unguarded/);
    const allowed = await runByUrl(url, past, ['--allow-unseen']);
    expect(allowed).toMatchObject({ exitCode: 0, stdout: 'second', stderr: '' });
    const failed = await runByUrl(url, ['false']);
    expectFailure(failed, 1, /requested nothing of/);
  });

  test('one of several mirrors that is not read is named', async () => {
    const one = await served();
    const other = await served();
    const result = await runByUrl([one.url, other.url], ['curl', '-sS', `${one.url}file`]);
    expectFailure(result, 0, new RegExp(`requested nothing of ${other.url}`));
  });

  test('a URL that cannot be pinned is refused before the command runs', async () => {
    const { mirror, server } = await served((request, response) => {
      const isMoved = request.url?.startsWith('/moved');
      if (!isMoved && !request.url?.startsWith('/into')) return false;
      const place = isMoved ? `https://example.org${request.url}` : '/login?next=pins';
      response.writeHead(301, { Location: place }).end();
      return true;
    });
    const marker = join(mirror.home, 'ran');
    const refused = async (url: string, ...said: RegExp[]) => {
      expectFailure(await runByUrl(url, ['touch', marker]), 125, ...said);
      expect(existsSync(marker)).toBe(false);
    };
    await refused(`${server.url}/nothing/current/`, /current\.json/, /whole mirror/);
    await refused(`${server.url}/moved/current/`, /https:\/\/example\.org\/moved\/current\//);
    await refused(`${server.url}/into/pages/current/`, /leads to .*\/login/, /whole mirror/);
    await refused(
      `${server.url}/snapshots/first/`,
      /cannot be pinned/,
      /Name the mirror itself: http.*\d\/current\/$/m,
    );
    await refused(
      `http://127.0.0.1:${await freePort()}/`,
      /nothing listens at 127/,
      /Check the URL/,
    );
    await refused('http://mirror.invalid/', /name mirror\.invalid is not found/, /getent hosts/);
    await refused('ftp://127.0.0.1/current/', /no URL of a mirror/);
    for (const path of ['../', '/etc/', 'http://example.org/', 'a/%2e%2e/', 'a']) {
      writeFileSync(
        join(mirror.root, 'current.json'),
        JSON.stringify({ format: 1, id: 'x', path }),
      );
      await refused(server.url, /is not a file of mirrorlatch/);
    }
    rmSync(join(mirror.root, 'current.json'));
    await refused(server.url, /cannot be pinned/);
  });

  test('a mirror that has nothing to read yet is waited for, or ends with 75', async () => {
    let isReady = false;
    const { url } = await served((_, response) => {
      if (!isReady) response.writeHead(503, { 'Retry-After': '1' }).end();
      return !isReady;
    });
    const command = ['curl', '-sS', `${url}file`];
    expectFailure(await runByUrl(url, command, ['--no-wait']), 75, /nothing to read/);
    const running = startProgram(['run', '--http', url, '--', ...command], { byLauncher: true });
    await eventually(() => expect(running.saidSoFar()).toContain('waiting for'));
    isReady = true;
    expect(await running.result).toMatchObject({ exitCode: 0, stdout: 'second' });
  });
});

describe('over https:, where no proxy can look in,', () => {
  test('the URL is replaced in the words of the command and in its environment', async () => {
    const { mirror, url, env } = await secure();
    const script = `${flip(mirror, 'first')}; curl -sS ${url}file && curl -sS "$WHERE/file"`;
    const given = { ...env, WHERE: url.slice(0, -1) };
    const { stdout } = await runByUrl(url, sh(script), [], { env: given });
    expect(stdout).toBe('secondsecond');
    const { stdout: byVariable } = await runByUrl(url, sh('curl -sS "$WHERE/file"'), [], {
      env: given,
    });
    expect(byVariable).toBe('second');
  });

  test('a command that works with what is on this host need not name the mirror', async () => {
    const { mirror, url, env } = await secure();
    const npm = join(mirror.home, 'npm');
    writeFileSync(npm, '#!/bin/sh\n', { mode: 0o755 });
    expect(await runByUrl(url, [npm, 'ls'], [], { env })).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    expectFailure(
      await runByUrl(url, [npm, 'ci'], [], { env }),
      125,
      /nothing that can be changed/,
    );
  });

  test('a command that names the mirror nowhere is refused, unless it reads the address of the pin', async () => {
    const { url, env } = await secure();
    const read = sh('curl -sS "$MIRRORLATCH_URL_PIN/file"');
    expectFailure(
      await runByUrl(url, read, [], { env }),
      125,
      /nothing that can be changed/,
      /--allow-unseen/,
    );
    const { stdout } = await runByUrl(url, read, ['--allow-unseen'], { env });
    expect(stdout).toBe('second');
  });
});

describe('the proxy lives', () => {
  const waiting = (mirror: SmallMirror, url: string) =>
    `(exec >'${mirror.home}/out' 2>&1; until [ -e '${mirror.home}/go' ]; do sleep 0.05; done
      curl -sS ${url}file; echo " ended with $?") & curl -sS ${url}file; echo " $http_proxy"`;
  const goOn = async ({ home }: SmallMirror, said: RegExp) => {
    writeFileSync(join(home, 'go'), '');
    await eventually(() => expect(readFileSync(join(home, 'out'), 'utf8')).toMatch(said));
  };
  const isGone = (proxy: string) =>
    eventually(() => expect(fetch(proxy)).rejects.toThrow('fetch failed'));

  test('as long as what the command has left running', async () => {
    const { mirror, url } = await served();
    const { stdout, exitCode } = await runByUrl(url, sh(waiting(mirror, url)));
    const [, proxy = ''] = stdout.split(' ');
    expect(exitCode).toBe(0);
    rmSync(join(mirror.root, 'current'));
    symlinkSync('snapshots/first', join(mirror.root, 'current'));
    await goOn(mirror, /^second ended with 0$/m);
    await isGone(proxy);
  });

  test('no longer, though something of another guard that had the same address is left', async () => {
    const { mirror, url } = await served();
    const running = startProgram(
      ['run', '--http', url, '--', ...sh(`env -0 >'${mirror.home}/env'; ${waiting(mirror, url)}`)],
      { byLauncher: true },
    );
    await eventually(() => expect(running.printedSoFar()).toContain('second'));
    const environment = readFileSync(join(mirror.home, 'env'), 'utf8').split('\0');
    const address = environment.filter((variable) => /^MIRRORLATCH_PROXY=/.test(variable));
    expect(address).toHaveLength(1);
    const left = spawn('env', [...address, 'MIRRORLATCH_PROXY_ID=of-another', 'sleep', '60']);
    onTestFinished(() => {
      left.kill();
    });
    const { stdout } = await running.result;
    await goOn(mirror, /^second ended with 0$/m);
    await isGone(stdout.split(' ')[1] ?? '');
    expect(left.exitCode).toBeNull();
  });

  test('until the command ends, with --release-on-exit', async () => {
    const { mirror, url } = await served();
    const { stdout } = await runByUrl(url, sh(waiting(mirror, url)), ['--release-on-exit']);
    await isGone(stdout.split(' ')[1] ?? '');
    await goOn(mirror, /ended with 7$/m);
  });

  test('not longer than mirrorlatch: if that is killed, the command is refused, and reads no other snapshot', async () => {
    const { mirror, url } = await served();
    const running = startProgram(
      ['run', '--http', url, '--', ...sh(`echo; ${waiting(mirror, url)} wait`)],
      {
        byLauncher: true,
      },
    );
    await eventually(() => expect(running.printedSoFar()).toContain('second'));
    running.kill('SIGKILL');
    await running.result;
    await goOn(mirror, /ended with 7$/m);
  });
});

test.runIf(runsAsRoot)('an ordinary user can run a command by URL', async () => {
  const { url } = await served();
  const program = { user: nobody, env: { HOME: '/' } };
  const { stdout } = await runByUrl(url, sh(`curl -sS ${url}file; echo " $(id -u)"`), [], program);
  expect(stdout).toBe(`second ${nobody.uid}\n`);
});
