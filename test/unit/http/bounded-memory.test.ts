import { expect, test } from 'vitest';
import { BoundedMemory } from '../../../src/http/files/bounded-memory.ts';

test('What was not asked for longest is forgotten first', () => {
  const memory = new BoundedMemory<string>(30);
  for (const key of ['a', 'b', 'c']) memory.set(key, key, 10);
  memory.get('a');
  memory.set('d', 'd', 10);
  expect(['a', 'b', 'c', 'd'].map((key) => memory.get(key))).toEqual(['a', undefined, 'c', 'd']);
});

test('A value that takes more than there is, is not kept, and nothing is forgotten for it', () => {
  const memory = new BoundedMemory<string>(30);
  memory.set('small', 'small', 10);
  memory.set('large', 'large', 31);
  expect(memory.get('large')).toBeUndefined();
  expect(memory.get('small')).toBe('small');
});

test('A value that is set again, or deleted, takes its room once', () => {
  const memory = new BoundedMemory<string>(30);
  for (let count = 0; count < 100; count += 1) memory.set('a', `${count}`, 10);
  memory.set('gone', 'gone', 10);
  memory.delete('gone');
  memory.delete('never there');
  memory.set('b', 'b', 20);
  expect([memory.get('a'), memory.get('b')]).toEqual(['99', 'b']);
});
