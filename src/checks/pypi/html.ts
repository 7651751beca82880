import { withoutEntities } from '../entities.ts';
import { Malformed } from '../tree-files.ts';

/** The start or the end of an element, with its attributes by their names in small letters. */
export interface Tag {
  name: string;
  isEnd: boolean;
  /** One character per byte (latin1), without references. */
  attributes: ReadonlyMap<string, string>;
}

/** No tag, comment or script of an index is longer; characters. */
const LONGEST = 1024 * 1024;

/** What lies in these is text, whatever it looks like (HTML, the syntax of raw text elements). */
const RAW = /^(script|style|title|textarea)$/;

/** Finds the tags in a text of HTML that comes piece by piece, one character per byte (latin1). */
export class Tags {
  readonly #onTag: (tag: Tag, text: string) => void;
  #rest = '';
  /** The element whose text is being skipped. */
  #raw = '';

  /** @param onTag also gets the text before a tag that ends an element such as `title`. */
  constructor(onTag: (tag: Tag, text: string) => void) {
    this.#onTag = onTag;
  }

  /** Whether the text has ended within a tag, a comment or a script. */
  get isWithin(): boolean {
    return this.#rest !== '' || this.#raw !== '';
  }

  /** @throws Malformed for a tag that does not end. */
  add(piece: string): void {
    const text = this.#rest + piece;
    let at = 0;
    for (;;) {
      const start = this.#startIn(text, at);
      const end = start === -1 ? text.length : endOf(text, start);
      if (end === -1 || (start === -1 && this.#raw !== '')) break;
      if (start !== -1) this.#read(text.slice(at, start), text.slice(start, end));
      at = end;
      if (start === -1) break;
    }
    this.#rest = text.slice(at);
    if (this.#rest.length > LONGEST) throw new Malformed('it has a tag of more than 1 MiB');
  }

  #startIn(text: string, from: number): number {
    if (this.#raw === '') return text.indexOf('<', from);
    const end = new RegExp(`</${this.#raw}[\\s/>]`, 'gi');
    end.lastIndex = from;
    return end.exec(text)?.index ?? -1;
  }

  #read(before: string, text: string): void {
    const [, slash = '', name = '', attributes = ''] =
      /^<(\/?)([a-zA-Z][^\s/>]*)(.*)>$/s.exec(text) ?? [];
    if (name === '') return;
    const tag = { name: name.toLowerCase(), isEnd: slash !== '', attributes: parsed(attributes) };
    this.#raw = !tag.isEnd && RAW.test(tag.name) ? tag.name : '';
    this.#onTag(tag, before);
  }
}

/** @returns where what begins at `start` is over; -1 if it is not. */
function endOf(text: string, start: number): number {
  if (text.startsWith('<!--', start)) return after(text, '-->', start + 4);
  if (/[!?]/.test(text[start + 1] ?? '')) return after(text, '>', start);
  const [next, second] = [text[start + 1] ?? '', text[start + 2] ?? ''];
  if (next === '' || (next === '/' && second === '')) return -1;
  if (!/[a-zA-Z]/.test(next === '/' ? second : next)) return start + 1;
  const stops = />|=\s*(["'])/g;
  stops.lastIndex = start;
  for (let stop = stops.exec(text); stop !== null; stop = stops.exec(text)) {
    const [, quote] = stop;
    if (quote === undefined) return stops.lastIndex;
    const close = text.indexOf(quote, stops.lastIndex);
    if (close === -1) return -1;
    stops.lastIndex = close + 1;
  }
  return -1;
}

function after(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from);
  return at === -1 ? -1 : at + end.length;
}

/** Of attributes with the same name, the first counts. */
function parsed(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  const all = /([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g;
  for (const [, name = '', double, single, bare] of text.matchAll(all)) {
    const key = name.toLowerCase();
    if (!attributes.has(key)) attributes.set(key, withoutEntities(double ?? single ?? bare ?? ''));
  }
  return attributes;
}
