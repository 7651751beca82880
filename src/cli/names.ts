/**
 * A name for people and scripts: names are bytes, so one that is no UTF-8 is shown with its bytes
 * escaped as `\xHH`, as are control characters; `bytes` tells it exactly, in hexadecimal.
 *
 * @param name one character a byte (latin1).
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
