import { expect, test } from 'vitest';
import { Turns } from '../../../src/http/files/turns.ts';

/** A piece of work that is under way until it is let end. */
interface Piece {
  readonly name: string;
  end(): void;
}

/** Lets clients want pieces of work, and notes in which order they begin. */
function tableWith(turns: Turns) {
  const begun: Piece[] = [];
  const want = (client: string, name: string): void => {
    void turns
      .enter(client)
      ?.turn(() => new Promise<void>((end) => begun.push({ name, end: () => end() })));
  };
  return { begun, want };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('clients have their turns one after the other, however much one of them wants', async () => {
  const { begun, want } = tableWith(new Turns({ together: 1, most: 9, mostOfClient: 9 }));
  for (const name of ['a1', 'a2', 'a3', 'a4']) want('a', name);
  for (const name of ['b1', 'b2']) want('b', name);
  want('c', 'c1');
  const order: string[] = [];
  for (let piece = begun.shift(); piece !== undefined; piece = begun.shift()) {
    // Never is another under way.
    expect(begun).toEqual([]);
    order.push(piece.name);
    piece.end();
    await settled();
  }
  expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
});

test('as many pieces are under way as the limit says, also after one has failed', async () => {
  const turns = new Turns({ together: 2, most: 9, mostOfClient: 9 });
  const { begun, want } = tableWith(turns);
  const guest = turns.enter('a');
  await expect(guest?.turn(() => Promise.reject(new Error('lost')))).rejects.toThrow('lost');
  for (const name of ['a1', 'a2', 'a3']) want('a', name);
  expect(begun.map(({ name }) => name)).toEqual(['a1', 'a2']);
  begun[1]?.end();
  await settled();
  expect(begun.map(({ name }) => name)).toEqual(['a1', 'a2', 'a3']);
});

test('too many guests, of all clients or of one, are not admitted until others leave', () => {
  const turns = new Turns({ together: 1, most: 3, mostOfClient: 2 });
  const first = turns.enter('a');
  expect([turns.enter('a'), turns.enter('a')]).toEqual([expect.anything(), undefined]);
  expect([turns.enter('b'), turns.enter('c')]).toEqual([expect.anything(), undefined]);
  first?.leave();
  expect(turns.enter('c')).toBeDefined();
});
