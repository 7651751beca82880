/**
 * Percent-encodes bytes (RFC 3986, 2.1).
 *
 * @param bytes one character per byte (latin1).
 * @param unsafe matches each byte to encode; with the flag `g`.
 */
export function percentEncoded(bytes: string, unsafe: RegExp): string {
  return bytes.replace(
    unsafe,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/** @returns one character per byte (latin1). What only looks like an escape stays as it is. */
export function percentDecoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
