import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** A server that keeps what it is sent, and answers with this status. */
async function webhook(status = 204) {
  const received: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      if (request.url === '/elsewhere') return void response.writeHead(200).end();
      received.push(JSON.parse(Buffer.concat(parts).toString()));
      response.writeHead(hook.status, { Location: '/elsewhere' }).end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const hook = { status, received, url: `http://127.0.0.1:${port}/secret` };
  return hook;
}

function events({ received }: { received: readonly Record<string, unknown>[] }): unknown[] {
  return received.map(({ event }) => event);
}

/** A mirror of a configuration with these lines, synced once. */
async function mirrorWith(...lines: string[]) {
  const home = realpathSync(scratchDirectory());
  const [root, source, file] = [join(home, 'mirror'), join(home, 'source'), join(home, 'c.toml')];
  const fill = () => {
    mkdirSync(source);
    writeFileSync(join(source, 'a'), 'one');
  };
  fill();
  writeFileSync(
    file,
    ['[mirrors.debian]', `root = "${root}"`, `source = "${source}/"`, ...lines].join('\n'),
  );
  const run = (words: readonly string[], through: readonly string[] = []) =>
    runProgram(words, { env: { MIRRORLATCH_CONFIG: file, NO_PROXY: '*' }, through });
  const sync = () => run(['sync', 'debian', '--retries', '0', '--quiet']);
  await run(['init', 'debian']);
  expect((await sync()).exitCode).toBe(0);
  return { home, root, source, run, sync, fill, lose: () => rmSync(source, { recursive: true }) };
}

describe('a webhook', () => {
  test('gets the failure of a sync, not again while it is the same, and its end', async () => {
    const hook = await webhook();
    const { sync, lose, fill, root } = await mirrorWith(`notify-webhook = "${hook.url}"`);
    expect(hook.received).toEqual([]);
    lose();
    for (let count = 0; count < 2; count += 1) expect((await sync()).exitCode).toBe(66);
    expect(hook.received).toMatchObject([
      { event: 'failed', mirror: 'debian', root, code: 'NO_SOURCE', since: expect.any(String) },
    ]);
    expect(hook.received[0]?.['text']).toMatch(/does not exist.*mirrorlatch status debian/s);
    fill();
    await sync();
    expect(events(hook)).toEqual(['failed', 'recovered']);
    expect(readFileSync(join(root, '.mirrorlatch/notices.json'), 'utf8')).not.toContain('secret');
  });

  test('gets one from several syncs at once', async () => {
    const hook = await webhook();
    const { run, lose } = await mirrorWith(`notify-webhook = "${hook.url}"`);
    lose();
    await run(['sync', '--all', '--retries', '0']);
    await Promise.all([1, 2, 3].map(() => run(['notify', '--all'])));
    expect(events(hook)).toEqual(['failed']);
  });

  test('that does not take it gets it later, and the sync ends as it would', async () => {
    const hook = await webhook(500);
    const { sync, lose, run } = await mirrorWith(`notify-webhook = "${hook.url}"`);
    lose();
    const result = await sync();
    expectFailure(
      result,
      66,
      /warning: the webhook on 127.0.0.1:\d+ does not take .* it answers 500/,
    );
    expect(result.stderr).not.toContain('secret');
    hook.status = 302;
    expectFailure(await run(['notify', 'debian']), 69, /it answers 302/);
    hook.status = 200;
    expect((await run(['notify', 'debian'])).exitCode).toBe(0);
    expect(events(hook)).toEqual(['failed', 'failed', 'failed']);
    await run(['notify', 'debian']);
    expect(hook.received).toHaveLength(3);
  });
});

test('of a mirror that no sync brings up to date, notify tells that it is stale', async () => {
  const hook = await webhook();
  const { run } = await mirrorWith(`notify-webhook = "${hook.url}"`, 'max-age = "1ms"');
  // The sync itself has told it already: its success was longer ago than that.
  const before = hook.received.length;
  const result = await run(['notify', '--all', '--json']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(events(hook)).toEqual(['stale']);
  expect(JSON.parse(result.stdout)).toHaveLength(1 - before);
});

test.runIf(mayMount)('mail goes through sendmail, with one address each', async () => {
  const { home, lose, run } = await mirrorWith('notify-mail = ["root", "ops@example.org"]');
  lose();
  const sendmail = join(home, 'sendmail');
  writeFileSync(sendmail, `#!/bin/sh\necho "$@" >>${home}/mail\ncat >>${home}/mail\n`);
  chmodSync(sendmail, 0o755);
  const inNamespace = `mkdir -p /usr/sbin && mount -t tmpfs tmpfs /usr/sbin && cp ${sendmail} /usr/sbin/sendmail && exec "$@"`;
  const result = await run(
    ['sync', 'debian', '--retries', '0'],
    [...['unshare', '--mount', 'sh', '-c', inNamespace, 'sh']],
  );
  expect(result.exitCode, transcript(result)).toBe(66);
  const mail = readFileSync(join(home, 'mail'), 'utf8');
  expect(mail.match(/^-oi -t$/gm)).toHaveLength(2);
  expect(mail).toMatch(/^To: root\nSubject: mirrorlatch: debian on .* has failed: NO_SOURCE$/m);
  expect(mail).toMatch(/^To: ops@example.org$/m);
  expect(mail).toMatch(/The sync of .* failed at .*:\n.*does not exist/);
});

test.runIf(mayMount)(
  'mail that cannot be sent is told with its reason, and sent later',
  async () => {
    const { home, lose, run } = await mirrorWith('notify-mail = ["root"]');
    lose();
    const sendmail = join(home, 'sendmail');
    const inNamespace = `mkdir -p /usr/sbin && mount -t tmpfs tmpfs /usr/sbin && { [ ! -e ${sendmail} ] || cp ${sendmail} /usr/sbin/sendmail; } && exec "$@"`;
    const through = ['unshare', '--mount', 'sh', '-c', inNamespace, 'sh'];
    const failed = await run(['sync', 'debian', '--retries', '0'], through);
    expectFailure(failed, 66, /there is no \/usr\/sbin\/sendmail/, /webhook/);
    for (const [script, message] of [
      ['echo "the queue is full" >&2; exit 75', /the queue is full/],
      ['exit 1', /it ended with 1/],
      ['kill -9 $$', /does not take the notice/],
    ] as const) {
      writeFileSync(sendmail, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      expectFailure(await run(['notify', 'debian'], through), 69, message);
    }
    writeFileSync(sendmail, `#!/bin/sh\ncat >>${home}/mail\n`);
    expect((await run(['notify', 'debian'], through)).exitCode).toBe(0);
    expect(readFileSync(join(home, 'mail'), 'utf8')).toMatch(
      /^Subject: .* has failed: NO_SOURCE$/m,
    );
  },
);

describe('the service manager', () => {
  test('gets the state of the unit by the real systemd-notify', async () => {
    const { home, lose, sync, run } = await mirrorWith('notify-systemd = true');
    lose();
    await sync();
    const [socket, received] = [join(home, 'notify'), join(home, 'received')];
    const manager = execa('perl', ['-MIO::Socket::UNIX', '-e', MANAGER, socket, received], {
      reject: false,
    });
    onTestFinished(() => void manager.kill());
    await eventually(() => expect(existsSync(socket)).toBe(true));
    const told = await run(['notify', 'debian'], ['env', `NOTIFY_SOCKET=${socket}`]);
    expect(told.exitCode, transcript(told)).toBe(0);
    await eventually(() => expect(existsSync(received)).toBe(true));
    expect(readFileSync(received, 'utf8')).toMatch(/^STATUS=debian on .* has failed: NO_SOURCE$/m);
  });

  test('that cannot be reached is told, and no sync hangs', async () => {
    const { home, lose, run } = await mirrorWith('notify-systemd = true');
    lose();
    const through = ['env', `NOTIFY_SOCKET=${join(home, 'none')}`];
    const failed = await run(['sync', 'debian', '--retries', '0'], through);
    expectFailure(failed, 66, /warning: systemd-notify failed: /, /NotifyAccess=all/);
    const without = await run(['notify', 'debian']);
    expect(without.exitCode, transcript(without)).toBe(0);
  });
});

/** What a service manager does with the datagrams of one socket; it drops the barriers, which lets their senders go on. */
const MANAGER = `
  my ($path, $to) = @ARGV;
  my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die $!;
  while (sysread $socket, my $text, 4096) {
    next unless $text =~ /^STATUS=/m;
    open my $file, '>', "$to.new" or die $!;
    print $file $text; close $file; rename "$to.new", $to;
  }`;

test('what was told is not lost with a damaged file, which may cost a repetition', async () => {
  const hook = await webhook();
  const { root, lose, sync, run } = await mirrorWith(`notify-webhook = "${hook.url}"`);
  lose();
  await sync();
  writeFileSync(join(root, '.mirrorlatch/notices.json'), '{"torn');
  expect((await run(['notify', 'debian'])).exitCode).toBe(0);
  expect(events(hook)).toEqual(['failed', 'failed']);
  rmSync(join(root, '.mirrorlatch/notices.json'));
  mkdirSync(join(root, '.mirrorlatch/notices.json'));
  expectFailure(await run(['notify', 'debian']), 78, /notices.json is not a file/);
});
