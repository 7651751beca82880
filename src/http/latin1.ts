/** The bytes of a text in UTF-8, one character each (latin1): for a header, and wherever names are bytes. */
export function inLatin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** The text of such bytes. What is no UTF-8 becomes a replacement character. */
export function fromLatin1(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString();
}
