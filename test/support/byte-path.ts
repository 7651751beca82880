/**
 * A path or a link target, one character a byte (latin1): names are bytes, not all of them are
 * UTF-8, and a plain string would not bring those back.
 */
export type BytePath = string;

/** The bytes of a text in UTF-8, as a path. */
export function utf8(text: string): BytePath {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The path as Node's file functions take it. */
export function toBuffer(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Where `path` lies under the directory `root` (an ordinary string), for Node's file functions. */
export function below(root: string, path: BytePath): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`, 'utf8'), toBuffer(path)]);
}

/** The path in quotes, every unprintable or non-ASCII byte as `\xNN`, for messages. */
export function quoted(path: BytePath): string {
  const body = path.replace(/[^ -~]|["\\]/g, (byte) =>
    byte === '"' || byte === '\\'
      ? `\\${byte}`
      : `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `"${body}"`;
}
