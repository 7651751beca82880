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
