import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startDaemon } from '../daemon.ts';
import { endsOfFiles, type WebServer } from './web-server.ts';

/** A cache between clients and servers, which clients name as their proxy. */
export interface Squid extends WebServer {
  /** What has passed: a line of `METHOD URL RESULT/STATUS` for each request. */
  requests(): string[];
}

/** Starts a real squid with the caching rules that squid itself has. @param directory for its files. */
export async function startSquid(directory: string): Promise<Squid> {
  const port = await freePort();
  mkdirSync(directory, { recursive: true });
  // squid writes as its own user.
  chmodSync(directory, 0o777);
  const configuration = join(directory, 'squid.conf');
  const log = join(directory, 'access.log');
  writeFileSync(
    configuration,
    `http_port 127.0.0.1:${port}
visible_hostname localhost
http_access allow all
pid_filename none
cache_mem 64 MB
cache_log stdio:${directory}/cache.log
coredump_dir ${directory}
logformat requests %rm %ru %Ss/%03>Hs
access_log stdio:${log} requests
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
    requests: () => readFileSync(log, 'utf8').trimEnd().split('\n'),
  };
}
