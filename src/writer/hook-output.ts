import { StringDecoder } from 'node:string_decoder';

/** How many lines are passed on. */
const MOST_LINES = 200;

/** The longest line that is passed on; characters. */
const LONGEST_LINE = 1_000;

/** How many of the last lines say why it failed. */
const LAST_LINES = 3;

/** What a hook writes, line by line, however much that is. */
export class HookOutput {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  readonly #last: string[] = [];
  #rest = '';
  #count = 0;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  add(chunk: Buffer): void {
    const [first = '', ...others] = this.#decoder.write(chunk).split(/\r\n|\n|\r/);
    this.#rest = `${this.#rest}${first}`.slice(0, LONGEST_LINE + 1);
    for (const next of others) {
      this.#pass(this.#rest);
      this.#rest = next.slice(0, LONGEST_LINE + 1);
    }
  }

  /** @returns the last lines, as one. */
  end(): string {
    this.#pass(this.#rest);
    this.#rest = '';
    const more = this.#count - MOST_LINES;
    if (more > 0) this.#onLine(`… and ${more} more lines`);
    return this.#last.join('; ');
  }

  #pass(whole: string): void {
    if (whole.trim() === '') return;
    const line = whole.length > LONGEST_LINE ? `${whole.slice(0, LONGEST_LINE)} …` : whole;
    this.#last.push(line);
    if (this.#last.length > LAST_LINES) this.#last.shift();
    this.#count += 1;
    if (this.#count <= MOST_LINES) this.#onLine(line);
  }
}
