/** Bytes in the path of a URL (RFC 3986, percent-encoding); one character per byte (latin1). */
export function percentDecoded(text: string): string {
  return text.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** @param what which characters are to be encoded. */
export function percentEncoded(text: string, what: RegExp): string {
  return text.replaceAll(
    what,
    (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
