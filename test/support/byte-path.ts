/**
 * A path or the target of a link, one character per byte (latin1). Names are bytes and need not be
 * valid UTF-8, so decoding them as UTF-8 could lose some.
 */
export type BytePath = string;

/** The path whose bytes are `text` in UTF-8. */
export function utf8(text: string): BytePath {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The path for Node's file functions. */
export function toBuffer(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1');
}

/** The path `root/path` for Node's file functions; `root` is an ordinary string. */
export function below(root: string, path: BytePath): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`, 'utf8'), toBuffer(path)]);
}

/** The path in quotes for messages, with unprintable and non-ASCII bytes as `\xNN`. */
export function quoted(path: BytePath): string {
  const body = path.replace(/[^ -~]|["\\]/g, (byte) =>
    byte === '"' || byte === '\\'
      ? `\\${byte}`
      : `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `"${body}"`;
}
