import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startDaemon } from '../daemon.ts';
import { runsAsRoot } from '../privilege.ts';
import { endsOfFiles, type WebServer } from './web-server.ts';

/** Where Debian has them. */
const MODULES = '/usr/lib/apache2/modules';

/** What every configuration of Debian loads, or may load with a2enmod(8). */
const basicModules = ['mpm_event', 'authz_core', 'authz_host', 'alias', 'dir', 'autoindex', 'mime'];

/** How Apache is started. */
export interface ApacheOptions {
  /** An empty directory for its files, which is made if need be. */
  readonly directory: string;
  /** The directives of the server; `port` is where it listens on 127.0.0.1. */
  readonly directives: (port: number) => string;
  /** What is loaded besides the basic modules, such as `rewrite`. */
  readonly modules?: readonly string[];
  /** Default: a free port. */
  readonly port?: number;
}

/** Starts a real Apache. */
export async function startApache({
  directory,
  directives,
  modules = [],
  ...options
}: ApacheOptions): Promise<WebServer> {
  const port = options.port ?? (await freePort());
  mkdirSync(directory, { recursive: true });
  const configuration = join(directory, 'apache2.conf');
  const loaded = [...basicModules, ...modules]
    .map((name) => ({ name, file: join(MODULES, `mod_${name}.so`) }))
    // What is built in has no file.
    .filter(({ file }) => existsSync(file));
  writeFileSync(join(directory, 'types'), 'text/html html\napplication/json json\n');
  writeFileSync(
    configuration,
    `ServerRoot ${directory}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${directory}/apache2.pid
Mutex file:${directory} default
${loaded.map(({ name, file }) => `LoadModule ${name}_module ${file}`).join('\n')}
${runsAsRoot ? 'User nobody\nGroup nogroup' : ''}
TypesConfig types
ErrorLog error.log
LogFormat "%a \\"%r\\" %>s \\"%{User-Agent}i\\" \\"%{Via}i\\"" clients
CustomLog access.log clients
<Directory />
  Require all granted
</Directory>
${directives(port)}
`,
  );
  const daemon = await startDaemon('apache2', ['-f', configuration, '-DFOREGROUND'], port);
  return {
    ...daemon,
    port,
    origin: `http://127.0.0.1:${port}`,
    logs: () => endsOfFiles(directory, ['error.log', 'access.log']),
    again: () => startApache({ directory, directives, modules, port }),
  };
}

/** A mirror as admins serve it without mirrorlatch: `/mirror/` is ROOT. */
export function bareMirror(root: string): string {
  return `Alias /mirror/ ${root}/
<Directory ${root}>
  Options Indexes FollowSymLinks
</Directory>
DirectoryIndex index.html index.json`;
}
