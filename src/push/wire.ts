import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { MirrorlatchError } from '../errors.ts';
import { type Checked, parseJson } from '../mirror/settings/records.ts';
import { lstatIfThere } from '../system/files.ts';

/** The largest message; bytes. A peer that sends more is hostile or broken. */
const LONGEST_LINE = 4 * 1024 * 1024;
const LONGEST_PAYLOAD = 1024 * 1024;

/** How long the last messages may take to leave; ms. */
const FAREWELL_MS = 5_000;

const NEWLINE = 0x0a;

export interface Frame<Message> {
  message: Message;
  /** rsync's own bytes; empty for any message but `data`. */
  payload: Buffer;
}

export interface WireOptions<Message> {
  input: Readable;
  output: Writable;
  check: (value: unknown) => Checked<Message>;
  /** How often to send a sign of life; ms. */
  beatMs?: number;
  /** After how long a silence the other end counts as gone; ms. */
  silenceMs?: number;
  /** Called once when the other end has been silent for too long. */
  onSilence?: () => void;
}

/**
 * One end of a connection on which each message is a line of JSON. A message of kind `data` also has
 * `bytes`, the number of bytes of rsync's stream that follow its line.
 *
 * A connection can end without notice (a router, a sleeping laptop), and would leave a lock held for
 * nobody: so both ends send a sign of life now and then.
 */
export class Wire<Outgoing extends { kind: string }, Incoming> {
  readonly #options: WireOptions<Incoming>;
  readonly #beat: NodeJS.Timeout;
  #heardAt = performance.now();
  /** While a message is being handled nothing is read, so silence proves nothing. */
  #isWorking = false;

  constructor(options: WireOptions<Incoming>) {
    this.#options = options;
    const { output, beatMs = 10_000, silenceMs = 120_000, onSilence } = options;
    // That the other end has gone shows at the end of `input`.
    output.on('error', () => {});
    this.#beat = setInterval(() => {
      void this.#write(Buffer.from('{"kind":"alive"}\n'));
      if (this.#isWorking || performance.now() - this.#heardAt < silenceMs) return;
      clearInterval(this.#beat);
      onSilence?.();
    }, beatMs);
  }

  /** Resolves when there is room for more; also when the other end has gone. */
  send(message: Outgoing, payload?: Uint8Array): Promise<void> {
    const header = payload === undefined ? message : { ...message, bytes: payload.length };
    const line = Buffer.from(`${JSON.stringify(header, withoutInfinity)}\n`);
    return this.#write(payload === undefined ? line : Buffer.concat([line, payload]));
  }

  /**
   * What the other end says, until it hangs up. The next message is read once the last one has been
   * handled.
   *
   * @throws MirrorlatchError UNAVAILABLE for anything but a message.
   */
  async *frames(): AsyncGenerator<Frame<Incoming>> {
    const source = new ByteReader(this.#options.input, () => {
      this.#heardAt = performance.now();
    });
    for (;;) {
      const line = await source.line();
      if (line === undefined) return;
      const { message, bytes } = this.#parse(line);
      const payload = await source.take(bytes);
      if (payload === undefined) return;
      this.#isWorking = true;
      yield { message, payload };
      this.#isWorking = false;
      this.#heardAt = performance.now();
    }
  }

  /** Sends what is left and ends; the other end may not be reading any more. */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    const { input, output } = this.#options;
    const gone = new Promise<void>((resolve) => {
      output.once('close', resolve);
      output.end(resolve);
    });
    const patience = new AbortController();
    await Promise.race([
      gone,
      sleep(FAREWELL_MS, undefined, { signal: patience.signal }).catch(() => {}),
    ]);
    patience.abort();
    output.destroy();
    input.destroy();
  }

  #parse(line: string): { message: Incoming; bytes: number } {
    const value = parseJson(line);
    if (typeof value !== 'object' || value === null)
      throw noMessage(line, 'it is not a JSON object');
    const { bytes, ...rest } = value as { bytes?: unknown; kind?: unknown };
    if (rest.kind !== 'data' && bytes === undefined) {
      return { message: this.#check(rest, line), bytes: 0 };
    }
    if (rest.kind !== 'data' || !isLength(bytes)) throw noMessage(line, 'its length is wrong');
    return { message: this.#check(rest, line), bytes };
  }

  #check(value: unknown, line: string): Incoming {
    const checked = this.#options.check(value);
    if ('record' in checked) return checked.record;
    throw noMessage(line, checked.problem);
  }

  #write(bytes: Buffer): Promise<void> {
    // If the other end has gone, the callback comes with an error.
    return new Promise((resolve) => this.#options.output.write(bytes, () => resolve()));
  }
}

/** Cuts a stream into lines, and into pieces of a known length. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #onHeard: () => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(input: Readable, onHeard: () => void) {
    this.#chunks = input[Symbol.asyncIterator]();
    this.#onHeard = onHeard;
  }

  /** The next line without its newline; undefined at the end of the stream. */
  async line(): Promise<string | undefined> {
    for (let from = 0; ; ) {
      const end = this.#rest.indexOf(NEWLINE, from);
      if (end !== -1) {
        const line = this.#rest.toString('utf8', 0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      if (this.#rest.length > LONGEST_LINE) {
        throw noMessage(this.#rest.toString('utf8', 0, 100), 'it is too long');
      }
      from = this.#rest.length;
      if (!(await this.#more())) return undefined;
    }
  }

  /** The next `length` bytes; undefined when the stream ends before. */
  async take(length: number): Promise<Buffer | undefined> {
    while (this.#rest.length < length) {
      if (!(await this.#more())) return undefined;
    }
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  async #more(): Promise<boolean> {
    // A reset connection has ended, too.
    const next = await this.#chunks.next().catch(() => undefined);
    if (next === undefined || next.done) return false;
    this.#onHeard();
    this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    return true;
  }
}

/** Writes to a stream and waits until it has room again; a closed stream is no failure. */
export function writeTo(stream: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (!stream.writable) resolve();
    else stream.write(bytes, () => resolve());
  });
}

/** Identifies a directory among all of one kernel; empty when there is none. */
export function inodeOf(path: string): string {
  const found = lstatIfThere(path);
  return found === undefined ? '' : `${found.dev}:${found.ino}`;
}

/** The other end's text, made safe for a terminal: control characters become spaces. */
export function harmless(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}

function isLength(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= LONGEST_PAYLOAD;
}

function noMessage(line: string, why: string): MirrorlatchError {
  const shown = JSON.stringify(harmless(line.slice(0, 100)));
  return new MirrorlatchError('UNAVAILABLE', `the other end of the push said ${shown}: ${why}`, {
    hint: 'Let nothing else write to this connection (look at ~/.bashrc on that host), and install the same version on both.',
  });
}

/** JSON has no infinity: a program's wait for ever is sent as one of the largest number of ms. */
function withoutInfinity(_name: string, value: unknown): unknown {
  return value === Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : value;
}
