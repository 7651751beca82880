import { Tokenizer, TokenParser, TokenType } from '@streamparser/json';
import { Malformed } from './tree-files.ts';

/** More of a text than this is no single value in one of the upper levels of an index; bytes. */
const LONGEST_VALUE = 4 * 1024 * 1024;

/** Values that are nested deeper than this are no index. */
const DEEPEST = 100;

/** At this depth lie the largest values that are taken as a whole, such as all of one version. */
const WHOLE_DEPTH = 3;

/**
 * Reads a text of JSON (RFC 8259) piece by piece, because an index may be larger than what should be in memory.
 *
 * @param paths of the values that are handed on: `$.files.*` for each element of the list, or object, `files`.
 * @param onValue called with the keys that lead to a value, as soon as it is whole.
 * @throws Malformed for what is no JSON, is cut off, or has too large a value.
 */
export async function readJson(
  content: AsyncIterable<Buffer>,
  paths: readonly string[],
  onValue: (keys: readonly string[], value: unknown) => void,
): Promise<void> {
  const tokenizer = new Tokenizer({ stringBufferSize: 64 * 1024 });
  const parser = new TokenParser({ paths: [...paths], keepStack: false });
  let fault: unknown;
  const fail = (error: Error): void => {
    fault ??= error instanceof Malformed ? error : new Malformed('it is no JSON');
  };
  tokenizer.onError = fail;
  parser.onError = fail;
  parser.onValue = ({ value, key, stack }) => {
    const keys = [...stack.slice(1).map((level) => level.key), key];
    try {
      onValue(keys.map(String), value);
    } catch (error) {
      fault ??= error;
    }
  };
  let [depth, read, whole] = [0, 0, 0];
  tokenizer.onToken = (token) => {
    if (token.token === TokenType.LEFT_BRACE || token.token === TokenType.LEFT_BRACKET) depth += 1;
    if (token.token === TokenType.RIGHT_BRACE || token.token === TokenType.RIGHT_BRACKET)
      depth -= 1;
    if (depth > DEEPEST) throw new Malformed(`it is nested in more than ${DEEPEST} levels`);
    if (depth <= WHOLE_DEPTH) whole = token.offset;
    parser.write(token);
  };
  for await (const chunk of content) {
    tokenizer.write(chunk);
    read += chunk.length;
    if (fault !== undefined) break;
    if (read - whole > LONGEST_VALUE + chunk.length)
      throw new Malformed('it has a value of more than 4 MiB');
  }
  if (fault !== undefined) throw fault;
  if (!parser.isEnded) throw new Malformed('it is cut off');
}

/** A name in a text of JSON as names in a tree are kept, one character per byte (latin1). */
export function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** The entry of an object; undefined where there is none, or no object. */
export function entryOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
