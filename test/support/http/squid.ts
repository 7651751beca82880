import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startDaemon } from '../daemon.ts';
import { endsOfFiles, type WebServer } from './web-server.ts';

/** What only squid knows as a name of this host: a client that goes past squid finds nothing. */
export const hostBehindSquid = 'mirror.test';

/**
 * Starts a real squid, a cache that clients name as their proxy, with the caching rules of its own.
 *
 * @param directory for its files.
 */
export async function startSquid(directory: string, givenPort?: number): Promise<WebServer> {
  const port = givenPort ?? (await freePort());
  mkdirSync(directory, { recursive: true });
  // squid writes as its own user.
  chmodSync(directory, 0o777);
  const configuration = join(directory, 'squid.conf');
  writeFileSync(join(directory, 'hosts'), `127.0.0.1 ${hostBehindSquid}\n`);
  writeFileSync(
    configuration,
    `http_port 127.0.0.1:${port}
visible_hostname localhost
hosts_file ${directory}/hosts
http_access allow all
pid_filename none
cache_mem 64 MB
cache_log stdio:${directory}/cache.log
coredump_dir ${directory}
logformat requests %rm %ru %Ss/%03>Hs
access_log stdio:${directory}/access.log requests
netdb_filename none
pinger_enable off
# The lines of Debian's squid.conf.
refresh_pattern . 0 20% 4320
shutdown_lifetime 0 seconds
`,
  );
  const daemon = await startDaemon('squid', ['-N', '-f', configuration], port);
  return {
    ...daemon,
    port,
    origin: `http://127.0.0.1:${port}`,
    logs: () => endsOfFiles(directory, ['cache.log', 'access.log']),
    again: () => startSquid(directory, port),
  };
}
