/** What was found, as far as it says what to do. */
export interface Found {
  /** See `FindingKind`. */
  kinds: readonly string[];
  first: { name: string; kind: string } | undefined;
}

/**
 * What a person can do about a tree in which all this was found, in sentences, without the last full stop.
 *
 * @param keyring how the keyring is called.
 */
export function wayOut({ kinds, first }: Found, keyring = 'the keyring'): string {
  if (kinds.includes('signature'))
    return `A source that is being updated heals by itself: try again later. If it stays so, publish it only if you know who has made it. A key that the upstream has newly, or has extended, belongs into ${keyring}; if it signs nothing, check-keyring asks too much`;
  if (kinds.includes('command'))
    return 'Mend what the command complains of, or the command itself: it is check-command';
  if (kinds.length > 0 && kinds.every((kind) => kind === 'expired'))
    return 'Nobody has renewed it: look whether its source is still kept, or take another one; and whether the clock of this host is right. To publish it as it is, add --publish-anyway';
  const again =
    'A source that is being updated heals by itself: try again later, or add --publish-anyway to publish it as it is';
  return isOfNothing(first) ? `If it never has any, take that kind out of check. ${again}` : again;
}

/** Whether a tree has nothing at all of a kind that it was to be checked for. */
function isOfNothing(first: Found['first']): boolean {
  return first?.name === '.' && first.kind === 'missing';
}
