import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from '../daemon.ts';

/** A running web server on loopback, with all its files in a directory of its own. */
export interface WebServer extends Daemon {
  readonly port: number;
  /** `http://127.0.0.1:PORT`. */
  readonly origin: string;
  /** The ends of its logs, for the message of a failing test. */
  logs(): string;
  /** Starts it again on the same port, after its end. */
  again(): Promise<WebServer>;
}

/** The last lines of the files that exist. */
export function endsOfFiles(directory: string, names: readonly string[], lines = 40): string {
  return names
    .map((name) => join(directory, name))
    .filter((file) => existsSync(file))
    .map((file) => {
      const end = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines);
      return [`${file}:`, ...end].join('\n');
    })
    .join('\n');
}
