import { withoutEntities } from './entities.ts';

/** An element of XML in a text of one character per byte (latin1). */
export interface Element {
  /** The tag that begins it, up to its `>`. */
  tag: string;
  /** All between its tags. */
  body: string;
}

/**
 * The elements of a name in a text of XML. The lists of a repository need no more of XML, and what a hostile one has is
 * read in a time that grows with its length: no expression may look twice at what one `<` has not closed.
 */
export function* elementsIn(text: string, name: string): Generator<Element> {
  const [open, close] = [`<${name}`, `</${name}>`];
  for (let at = text.indexOf(open); at !== -1; ) {
    const after = at + open.length;
    if (!/[\s/>]/.test(text[after] ?? '')) {
      at = text.indexOf(open, after);
      continue;
    }
    const end = text.indexOf('>', after);
    if (end === -1) return;
    const isEmpty = text[end - 1] === '/';
    const over = isEmpty ? end + 1 : text.indexOf(close, end);
    if (over === -1) return;
    yield { tag: text.slice(at, end), body: text.slice(end + 1, over) };
    at = text.indexOf(open, over);
  }
}

/** The value of an attribute; undefined if the element has none of that name. */
export function attributeOf({ tag }: Element, name: string): string | undefined {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1];
  return value === undefined ? value : withoutEntities(value);
}
