import { expect, test } from 'vitest';
import { quoteForFish, quoteForSh } from '../../../src/system/quote.ts';

test('what needs no quotes has none', () => {
  for (const quote of [quoteForSh, quoteForFish]) {
    expect(quote('/srv/mirror/debian-12/.mirrorlatch/reader')).toBe(
      '/srv/mirror/debian-12/.mirrorlatch/reader',
    );
    for (const word of ['', '~', '=ls', 'a=b', '%1', 'a b', '!', '{a,b}', '^', 'é']) {
      expect(quote(word)).toMatch(/^'[^']*'$/);
    }
  }
});
