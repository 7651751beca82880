/**
 * A printable form of a file name. Names are bytes: if they are not valid UTF-8 or contain control
 * characters, other bytes than printable ASCII are escaped as `\xHH`, and `bytes` is the exact name
 * in hexadecimal.
 *
 * @param name one character per byte (latin1).
 */
export function readableName(name: string): { name: string; bytes?: string } {
  const raw = Buffer.from(name, 'latin1');
  const text = raw.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(raw) && !/[\p{Cc}]/u.test(text)) return { name: text };
  const escaped = name.replace(
    /[^ -~]/g,
    (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return { name: escaped, bytes: raw.toString('hex') };
}
