import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { type Daemon, freePort, startDaemon } from './daemon.ts';
import { runsAsRoot } from './privilege.ts';
import { makeScratch } from './scratch.ts';

/** A real sshd on loopback that admits the test's own user with a new key. */
export interface SshDaemon extends Daemon {
  readonly port: number;
  /** The host for `HOST:PATH`, an alias that only the client's configuration knows. */
  readonly host: string;
  /** The remote shell for rsync's `-e` or `RSYNC_RSH`. */
  readonly remoteShell: string;
}

/** Starts the daemon and waits until it accepts connections. */
export async function startSshDaemon(): Promise<SshDaemon> {
  const scratch = makeScratch();
  const at = (name: string): string => join(scratch.path, name);
  const port = await freePort();
  for (const key of ['host-key', 'client-key']) {
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(key)]);
  }
  writeFileSync(at('sshd_config'), serverConfiguration(port, at));
  writeFileSync(
    at('known_hosts'),
    `[127.0.0.1]:${port} ${readFileSync(at('host-key.pub'), 'utf8')}`,
  );
  writeFileSync(at('ssh_config'), clientConfiguration(port, at));
  // sshd's unprivileged child is confined there; Debian's service makes it at each start.
  if (runsAsRoot) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const daemon = await startDaemon('/usr/sbin/sshd', ['-D', '-e', '-f', at('sshd_config')], port);
  return {
    ...daemon,
    port,
    host: hostAlias,
    remoteShell: `ssh -F ${at('ssh_config')}`,
    stop: async () => {
      await daemon.stop();
      await scratch.remove();
    },
  };
}

const hostAlias = 'upstream';

function serverConfiguration(port: number, at: (name: string) => string): string {
  return [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${at('host-key')}`,
    `AuthorizedKeysFile ${at('client-key.pub')}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    '',
  ].join('\n');
}

function clientConfiguration(port: number, at: (name: string) => string): string {
  return [
    `Host ${hostAlias}`,
    'HostName 127.0.0.1',
    `Port ${port}`,
    `User ${userInfo().username}`,
    `IdentityFile ${at('client-key')}`,
    'IdentitiesOnly yes',
    `UserKnownHostsFile ${at('known_hosts')}`,
    'StrictHostKeyChecking yes',
    'BatchMode yes',
    'LogLevel ERROR',
    '',
  ].join('\n');
}
