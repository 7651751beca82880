import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startDaemon } from '../daemon.ts';
import { endsOfFiles, type WebServer } from './web-server.ts';

/** Starts a real nginx. */
export interface NginxOptions {
  /** An empty directory for its files, which is made if need be. */
  readonly directory: string;
  /** The directives of the `http` block; `port` is where a server has to listen on 127.0.0.1. */
  readonly http: (port: number) => string;
  /** Default: a free port. */
  readonly port?: number;
}

/** The kinds of temporary files that nginx makes directories for when it starts. */
const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

export async function startNginx({
  directory,
  http,
  ...options
}: NginxOptions): Promise<WebServer> {
  const port = options.port ?? (await freePort());
  mkdirSync(directory, { recursive: true });
  const configuration = join(directory, 'nginx.conf');
  writeFileSync(
    configuration,
    `daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events { worker_connections 8192; }
http {
  types { text/html html; application/json json; }
  default_type application/octet-stream;
  log_format clients '$remote_addr "$request" $status "$http_user_agent" "$http_via"';
  access_log access.log clients;
${kinds.map((kind) => `  ${kind}_temp_path ${kind};`).join('\n')}
${http(port)}
}
`,
  );
  // -e: otherwise it opens the error log of the system before it reads its configuration.
  const words = ['-p', `${directory}/`, '-c', configuration, '-e', join(directory, 'error.log')];
  const daemon = await startDaemon('nginx', words, port);
  return {
    ...daemon,
    port,
    origin: `http://127.0.0.1:${port}`,
    logs: () => endsOfFiles(directory, ['error.log', 'access.log']),
    again: () => startNginx({ directory, http, port }),
  };
}

/** A mirror as admins serve it without mirrorlatch: `/mirror/` is ROOT. */
export function bareMirror(root: string): (port: number) => string {
  return (port) => `  server {
    listen 127.0.0.1:${port};
    location /mirror/ { alias ${root}/; autoindex on; index index.html index.json; }
  }`;
}
