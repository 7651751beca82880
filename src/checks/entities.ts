/**
 * Undoes the character references of XML and HTML in a text of one character per byte (latin1). Those that only
 * HTML has names for stay as they are: no index needs them.
 */
export function withoutEntities(text: string): string {
  return text.replaceAll(/&(\w+|#\d+|#[xX][0-9a-fA-F]+);/g, (whole, entity: string) => {
    const [, hex, digits] = /^#(?:[xX]([0-9a-fA-F]+)|(\d+))$/.exec(entity) ?? [];
    const code = hex === undefined ? Number(digits) : Number.parseInt(hex, 16);
    if (code > 0 && code < 0x110000)
      return Buffer.from(String.fromCodePoint(code)).toString('latin1');
    return ENTITIES[entity] ?? whole;
  });
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};
