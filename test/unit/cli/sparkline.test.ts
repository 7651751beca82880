import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isUtf8Terminal, sparkline } from '../../../src/cli/sparkline.ts';

test('the largest number has the highest bar, nothing has the lowest, and little has more than nothing', () => {
  expect(sparkline([0, 1, 400, 1000, 500], true)).toBe('▁▂▄█▅');
  expect(sparkline([0, 1, 400, 1000, 500], false)).toBe('_.~#=');
});

test('without numbers there are no bars, and where all are 0 all bars are the lowest', () => {
  expect(sparkline([], true)).toBe('');
  expect(sparkline([0, 0], true)).toBe('▁▁');
});

test('each number has one character, and a larger one no lower bar', () => {
  const order = '▁▂▃▄▅▆▇█';
  fc.assert(
    fc.property(fc.array(fc.nat()), (values) => {
      const bars = [...sparkline(values, true)];
      expect(bars).toHaveLength(values.length);
      const inOrder = values
        .map((value, at) => ({ value, height: order.indexOf(bars[at] ?? '') }))
        .sort((a, b) => a.value - b.value);
      const heights = inOrder.map(({ height }) => height);
      expect(heights).toEqual(heights.toSorted((a, b) => a - b));
    }),
  );
});

test('a terminal shows UTF-8 where the locale in force says so, unless it is dumb', () => {
  expect(isUtf8Terminal({ LANG: 'en_US.UTF-8', TERM: 'xterm' })).toBe(true);
  expect(isUtf8Terminal({ LANG: 'C.utf8', TERM: 'xterm' })).toBe(true);
  expect(isUtf8Terminal({ LANG: 'en_US.UTF-8', LC_ALL: 'C', TERM: 'xterm' })).toBe(false);
  expect(isUtf8Terminal({ LANG: 'en_US.UTF-8', TERM: 'dumb' })).toBe(false);
  expect(isUtf8Terminal({})).toBe(false);
});
