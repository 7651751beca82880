import { appendFileSync, chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate, type PlainServer, servePlainly } from '../support/http/plain-server.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { launcher } from '../support/project.ts';
import { apt } from '../support/repositories/apt.ts';
import { type Client, updateAndInstall } from '../support/repositories/client.ts';
import { dnf } from '../support/repositories/dnf.ts';
import { Installation } from '../support/repositories/installation.ts';
import { mirrorOfRepositories } from '../support/repositories/mirror.ts';
import { npm } from '../support/repositories/npm.ts';
import { pipIndex } from '../support/repositories/pip.ts';
import { zypper } from '../support/repositories/zypper.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';

/** What is appended to one of a client's files. */
interface More {
  readonly client: Client;
  readonly file: string;
  /** @param given the file of the certificate, or the URL of a proxy. */
  readonly text: (given: string) => string;
  /** Changes what is there before. */
  readonly change?: (text: string, given: string) => string;
  /** The clients whose own words the guard needs, not those of a shell. */
  readonly isDirect?: boolean;
}

const PAST_PROXIES: readonly More[] = [
  { client: apt, file: 'apt.conf', text: () => 'Acquire::http::Proxy "DIRECT";\n' },
  {
    client: apt,
    file: 'etc/apt.conf.d/99proxy',
    text: () => 'Acquire::http::Proxy::127.0.0.1 "DIRECT";\n',
  },
  { client: dnf, file: 'repos.d/parts.repo', text: () => 'proxy=_none_\n', isDirect: true },
  {
    client: zypper,
    file: 'system/etc/zypp/repos.d/parts.repo',
    text: () => 'proxy=_none_\n',
    isDirect: true,
  },
  { client: npm, file: '.npmrc', text: () => 'noproxy=127.0.0.1\n' },
  { client: npm, file: '.npmrc', text: (proxy) => `proxy=${proxy}\nhttps-proxy=${proxy}\n` },
  { client: pipIndex, file: 'pip.conf', text: (proxy) => `proxy = ${proxy}\n` },
];

const OVER_TLS: readonly More[] = [
  { client: apt, file: 'apt.conf', text: (file) => `Acquire::https::CAInfo "${file}";\n` },
  {
    client: dnf,
    file: 'repos.d/parts.repo',
    text: (file) => `sslcacert=${file}\n`,
    isDirect: true,
  },
  {
    client: zypper,
    file: 'system/etc/zypp/repos.d/parts.repo',
    text: () => '',
    change: (text, file) => text.replace(/^baseurl=.*/m, `$&?ssl_capath=${dirname(file)}`),
    isDirect: true,
  },
  { client: pipIndex, file: 'pip.conf', text: (file) => `cert = ${file}\n` },
];

const why = (client: Client) =>
  runsAsRoot
    ? whyNotInstalled(...client.programs, ...client.repository.programs)
    : ' (skipped: only root can install)';

const home = makeScratch();
beforeAll(async () => {
  const clients = [apt, dnf, npm, pipIndex, zypper].filter((client) => why(client) === '');
  const repositories = new Set(clients.map(({ repository }) => repository));
  await mirrorOfRepositories(home.path, launcher, repositories, 2);
});
afterAll(() => home.remove());

describe('under `run --http`, one snapshot is read by', () => {
  for (const more of PAST_PROXIES) {
    const { client, file } = more;
    test.skipIf(why(client) !== '')(
      `${client.name}, though its ${file} has ${JSON.stringify(more.text('PROXY'))}${why(client)}`,
      async () => {
        const server = await servePlainly(home.path);
        await readsOneSnapshot(more, server, server.url);
      },
    );
  }

  for (const more of OVER_TLS) {
    const { client } = more;
    test.skipIf(why(client) !== '')(`${client.name} over https:${why(client)}`, async () => {
      const certificate = await makeCertificate(scratchDirectory());
      const server = await servePlainly(home.path, () => false, certificate);
      await readsOneSnapshot(more, server, certificate.file);
    });
  }
});

async function readsOneSnapshot(
  { client, file, text, change, isDirect = false }: More,
  server: PlainServer,
  given: string,
): Promise<void> {
  const url = `${server.url}/mirror/current`;
  const temporary = scratchDirectory();
  chmodSync(temporary, 0o1777);
  const environment = {
    TMPDIR: temporary,
    ...(url.startsWith('https:') ? { SSL_CERT_FILE: given } : {}),
  };
  const access = { name: 'run --http', url, around: () => [], environment };
  const installation = new Installation(client, access, scratchDirectory());
  const path = join(installation.directory, file);
  if (change !== undefined) writeFileSync(path, change(readFileSync(path, 'utf8'), given));
  appendFileSync(path, text(given));
  const commands = isDirect
    ? [client.update ?? '', client.install].map((command) =>
        command
          .split(' ')
          .map((word) => word.replace(/^"\$PWD(.*)"$/, `${installation.directory}$1`)),
      )
    : [updateAndInstall(client)];
  for (const command of commands) {
    const { exitCode, account } = await installation.run([
      launcher,
      'run',
      '--http',
      url,
      '--',
      ...command,
    ]);
    expect(exitCode, account).toBe(0);
  }
  expect(installation.generations).toEqual(['generation-2']);
  expect(readdirSync(temporary).filter((name) => name.startsWith('mirrorlatch-'))).toEqual([]);
  const bare = server.requests.filter((request) => request.includes('/mirror/current/'));
  expect(bare).toEqual([]);
}
