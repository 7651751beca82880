import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startDaemon } from '../daemon.ts';
import { endsOfFiles, type WebServer } from './web-server.ts';

/**
 * Starts a real apt-cacher-ng, a cache that apt names as its proxy.
 *
 * @param directory for its files.
 * @param settings lines of its acng.conf, besides those that it needs to run here.
 */
export async function startAptCacherNg(
  directory: string,
  settings: readonly string[] = [],
  givenPort?: number,
): Promise<WebServer> {
  const port = givenPort ?? (await freePort());
  for (const name of ['conf', 'cache', 'log'])
    mkdirSync(join(directory, name), { recursive: true });
  chmodSync(directory, 0o755);
  const lines = [
    `Port: ${port}`,
    'BindAddress: 127.0.0.1',
    `CacheDir: ${directory}/cache`,
    `LogDir: ${directory}/log`,
    `SocketPath: ${directory}/socket`,
    'ForeGround: 1',
    'VerboseLog: 2',
    // It forwards to port 80 alone without this.
    'AllowUserPorts: 0',
    ...settings,
  ];
  writeFileSync(join(directory, 'conf', 'acng.conf'), `${lines.join('\n')}\n`);
  const daemon = await startDaemon('apt-cacher-ng', ['-c', join(directory, 'conf')], port);
  return {
    ...daemon,
    port,
    origin: `http://127.0.0.1:${port}`,
    logs: () => endsOfFiles(join(directory, 'log'), ['apt-cacher.err', 'apt-cacher.log']),
    again: () => startAptCacherNg(directory, settings, port),
  };
}
