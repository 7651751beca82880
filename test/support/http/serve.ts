import { request as httpRequest } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { type ProgramOptions, type ProgramResult, startProgram, transcript } from '../program.ts';

/** A running `mirrorlatch serve`. */
export interface ServeProcess {
  readonly pid: number;
  /** Of the first address, such as `http://127.0.0.1:40123`, or `unix:PATH`. */
  readonly address: string;
  readonly result: Promise<ProgramResult>;
  /** The access log, if the options send it to standard output. */
  printedSoFar(): string;
  saidSoFar(): string;
  kill(signal: NodeJS.Signals): void;
  /** Ends it by SIGTERM, and returns how it ended. */
  stop(): Promise<ProgramResult>;
}

/**
 * Starts `mirrorlatch serve MIRROR... OPTIONS`.
 *
 * @param listen where; by default on a free port of loopback, unless `words` say it.
 */
export async function startServe(
  words: readonly string[],
  options: ProgramOptions = {},
  listen = words.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'],
): Promise<ServeProcess> {
  const program = startProgram(['serve', ...words, ...listen, '--json'], options);
  let isOver = false;
  void program.result.then(() => {
    isOver = true;
  });
  // Without the help of vitest, because scripts/clients.sh starts servers, too.
  while (!isOver && !program.printedSoFar().includes('\n')) await pause(10);
  if (isOver) throw new Error(transcript(await program.result));
  const [line = ''] = program.printedSoFar().split('\n', 1);
  const [address] = (JSON.parse(line) as { addresses: [string] }).addresses;
  return {
    ...program,
    address,
    stop: () => {
      program.kill('SIGTERM');
      return program.result;
    },
  };
}

/** What came back. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** The body as text. */
  readonly text: string;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The local address to ask from. */
  readonly from?: string;
}

/** Sends one request as it is: the path is neither normalised nor escaped, and no redirect is followed. */
export function ask(address: string, path: string, options: AskOptions = {}): Promise<Reply> {
  const { method = 'GET', headers = {}, body, from } = options;
  const unix = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined;
  const { hostname, port } = new URL(unix === undefined ? address : 'http://localhost');
  const where = unix === undefined ? { host: hostname, port } : { socketPath: unix };
  return new Promise((resolve, reject) => {
    const sent = httpRequest({
      ...where,
      ...(from === undefined ? {} : { localAddress: from }),
      method,
      path,
      headers,
      agent: false,
    });
    sent.once('error', reject);
    sent.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const whole = Buffer.concat(chunks);
        const { statusCode = 0, headers: received } = response;
        resolve({ status: statusCode, headers: received, body: whole, text: whole.toString() });
      });
    });
    sent.end(body);
  });
}
