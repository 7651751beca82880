import { execa } from 'execa';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';
import { bin } from './project.ts';

/** One line of `mirrorlatch watch --json`. */
interface WatchedEvent {
  readonly event: string;
  readonly at: string;
  readonly [name: string]: unknown;
}

export interface EventStreamOptions {
  /** Words before `node main.cjs watch`: a program that executes its arguments. */
  readonly through?: readonly string[];
  /** The command after `--`. */
  readonly command?: readonly string[];
  readonly cwd?: string;
}

/** A running `mirrorlatch watch --json`. */
export interface EventStream {
  readonly pid: number;
  /** All events so far. */
  readonly events: readonly WatchedEvent[];
  /** The ids that `current` was flipped to, in the order of the events. */
  flips(): string[];
  /** The events of one kind so far. */
  of(event: string): WatchedEvent[];
  /** Its standard error so far. */
  said(): string;
  /** Waits until there are `count` events of a kind. */
  until(event: string, count?: number): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly end: Promise<{ exitCode: number | undefined; signal: string | undefined }>;
}

/** Starts `watch ROOT --json`, and resolves when it has begun to watch. */
export async function startWatch(
  root: string,
  words: readonly string[] = [],
  { through = [], command = [], cwd }: EventStreamOptions = {},
): Promise<EventStream> {
  const [file = '', ...args] = [
    ...[...through, process.execPath, bin, 'watch', root, '--json', ...words],
    ...(command.length === 0 ? [] : ['--', ...command]),
  ];
  const subprocess = execa(file, args, {
    reject: false,
    stdin: 'ignore',
    buffer: false,
    // In its own process group, as a shell starts a job.
    detached: true,
    ...(cwd === undefined ? {} : { cwd }),
  });
  const events: WatchedEvent[] = [];
  let rest = '';
  let said = '';
  subprocess.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    events.push(...lines.map((line) => JSON.parse(line)));
  });
  subprocess.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const end = subprocess.then(({ exitCode, signal }) => ({ exitCode, signal }));
  const { pid } = subprocess;
  if (pid === undefined) throw new Error(`${file} could not be started`);
  onTestFinished(async () => {
    subprocess.kill('SIGKILL');
    await end;
  });
  const of = (event: string) => events.filter((one) => one.event === event);
  const until = async (event: string, count = 1): Promise<void> => {
    await eventually(() => {
      const told = of(event).length;
      if (told < count) {
        throw new Error(
          `${told} of ${count} ${event}\n${events.map((one) => JSON.stringify(one)).join('\n')}\n${said}`,
        );
      }
    });
  };
  await until('watching');
  return {
    pid,
    events,
    of,
    until,
    end,
    flips: () =>
      events
        .filter(({ event }) => event === 'published' || event === 'rolled-back')
        .map(({ id }) => String(id)),
    said: () => said,
    kill: (signal) => {
      subprocess.kill(signal);
    },
  };
}
