import { Agent, get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import type { Dice } from '../dice.ts';
import {
  areSame,
  Comparison,
  entry,
  generationOf,
  type LoadedFile,
  large,
  small,
} from './bodies.ts';

/** What all readers have seen so far. */
export interface Tally {
  /** Bodies compared with their snapshot. */
  bodies: number;
  /** Answers of 304, compared with the body that the reader has. */
  unchanged: number;
  /** Bodies of whatever was current, because mirrorlatch was away. */
  unpinned: number;
  /** Runs that failed: the server was away, or their snapshot. */
  broken: number;
  /** Those of the latter. */
  lost: number;
  /** Each snapshot that was read. */
  readonly generations: Set<number>;
  /** One sentence for each wrong answer. */
  readonly wrong: string[];
}

export function emptyTally(): Tally {
  return {
    bodies: 0,
    unchanged: 0,
    unpinned: 0,
    broken: 0,
    lost: 0,
    generations: new Set(),
    wrong: [],
  };
}

/** Where and how readers read. */
export interface Readers {
  /** The URL of `current`, with a slash at its end. */
  readonly url: string;
  readonly tally: Tally;
  readonly dice: Dice;
  /** Returns true when they have to end. */
  isOver(): boolean;
  /** Grows when a server is killed, and again when it is back: odd while it is away. */
  absences(): number;
}

/** What a reader knows of a file that it has. */
interface Kept {
  readonly etag: string;
  readonly generation: number;
}

/** The pause of a slow reader after each chunk, in ms. */
const SLOW_MS = [500, 1_500] as const;
/** The pause of a quick reader between two requests, in ms. */
const THINK_MS = [500, 3_500] as const;

/** Downloads large files on one connection, so slowly that most of each waits in the server. */
export async function readSlowly(readers: Readers, userAgent: string): Promise<void> {
  await onOneConnection(readers, userAgent, (reader) =>
    reader.fetch(readers.dice.pick(large), { isSlow: true }),
  );
}

/** Runs as a package manager does, again and again on one connection: the entry document, and files. */
export async function readQuickly(readers: Readers, userAgent: string): Promise<void> {
  const { dice } = readers;
  await onOneConnection(readers, userAgent, async (reader) => {
    await reader.fetch(entry);
    const files = dice.whole(1, 6);
    for (let file = 0; file < files && !readers.isOver(); file += 1) {
      await pause(dice.between(...THINK_MS));
      await reader.fetch(dice.pick(small), { isRange: dice.chance(0.2) });
    }
  });
}

async function onOneConnection(
  readers: Readers,
  userAgent: string,
  read: (reader: Reader) => Promise<void>,
): Promise<void> {
  const reader = new Reader(readers, userAgent);
  await pause(readers.dice.between(0, 5_000));
  while (!readers.isOver()) {
    try {
      await read(reader);
    } catch {
      // The server was killed, the snapshot is lost, or the test is over.
      if (!readers.isOver()) readers.tally.broken += 1;
      await pause(readers.dice.between(200, 1_000));
    }
  }
  reader.end();
}

/** One connection. */
class Reader {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #kept = new Map<LoadedFile, Kept>();
  readonly #readers: Readers;
  readonly #userAgent: string;

  constructor(readers: Readers, userAgent: string) {
    this.#readers = readers;
    this.#userAgent = userAgent;
  }

  end(): void {
    this.#agent.destroy();
  }

  /** Fetches a file and compares it. @throws Error if the connection breaks. */
  async fetch(
    file: LoadedFile,
    { isSlow = false, isRange = false }: { isSlow?: boolean; isRange?: boolean } = {},
  ): Promise<void> {
    const { dice, tally, absences } = this.#readers;
    const absencesBefore = absences();
    const kept = this.#kept.get(file);
    const from = isRange && file.size > 1 ? dice.whole(1, file.size - 1) : 0;
    const response = await this.#request(file, {
      'user-agent': this.#userAgent,
      ...(from > 0 ? { range: `bytes=${from}-` } : {}),
      ...(from === 0 && kept !== undefined ? { 'if-none-match': kept.etag } : {}),
    });
    const snapshot = header(response, 'x-mirrorlatch-snapshot');
    const isUnpinned = snapshot === 'unpinned';
    let generation = Number(/^g(\d+)$/.exec(snapshot)?.[1]);
    let comparison = new Comparison(generation, file, from);
    const blame = (what: string) => {
      tally.wrong.push(`${file.path} of ${snapshot} for ${this.#userAgent}: ${what}`);
    };
    if (response.statusCode === 503) {
      const said = await text(response);
      const mayBeAway = absencesBefore % 2 === 1 || absences() > absencesBefore;
      // The snapshot was pruned, because nobody held it then, or too many others were held.
      if (said.includes('has lost the snapshot')) tally.lost += 1;
      else if (!mayBeAway) blame(`status 503: ${said}`);
      throw new Error('the run has failed');
    }
    let received = 0;
    try {
      for await (const chunk of response) {
        if (isUnpinned && received === 0) {
          // A body has to be whole even while mirrorlatch is down.
          generation = generationOf(chunk, from) ?? generation;
          comparison = new Comparison(generation, file, from);
        }
        received += (chunk as Buffer).length;
        if (!isUnpinned || !Number.isNaN(generation)) comparison.take(chunk as Buffer);
        if (isSlow) await pause(dice.between(...SLOW_MS));
        if (isSlow && this.#readers.isOver()) throw new Error('the test is over');
      }
    } catch (error) {
      // What had come of a broken answer has to be right, too.
      const wrong = comparison.wrong(file.size);
      if (wrong?.startsWith('differs') === true) blame(wrong);
      throw error;
    }
    if (response.statusCode === 304) {
      // Caches update by it what they keep (RFC 9110, section 8.6).
      const length = header(response, 'content-length');
      if (length !== '' && length !== `${file.size}`) blame(`304 with the length ${length}`);
      if (kept === undefined) blame('304 without a question');
      else if (!areSame(file, kept.generation, generation)) {
        blame(`304 for what is of g${kept.generation}`);
      }
      tally.unchanged += 1;
      return;
    }
    if (response.statusCode !== (from > 0 ? 206 : 200)) {
      blame(`status ${response.statusCode}`);
      return;
    }
    if (isUnpinned) tally.unpinned += 1;
    const wrong = comparison.wrong(file.size);
    if (wrong !== undefined && !(isUnpinned && Number.isNaN(generation))) blame(wrong);
    tally.bodies += 1;
    tally.generations.add(generation);
    const etag = header(response, 'etag');
    if (etag !== '') this.#kept.set(file, { etag, generation });
  }

  #request({ path }: LoadedFile, headers: Record<string, string>): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const options = { agent: this.#agent, headers };
      get(`${this.#readers.url}${path}`, options, resolve).once('error', reject);
    });
  }
}

function header({ headers }: IncomingMessage, name: string): string {
  return String(headers[name] ?? '');
}
