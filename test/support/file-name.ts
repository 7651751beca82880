import fc from 'fast-check';

/** Any name that a file or a directory can have, with a liking for those that shells trip over. */
export const fileName = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
    fc.string({
      unit: fc.constantFrom(...`'"\\\`$!*?[]{}()<>|&;#~=%^ \t\n-ax漢é\uf600`),
      minLength: 1,
      maxLength: 20,
    }),
  )
  .map((some) => some.replaceAll(/[\0/]/g, ''))
  .filter((some) => !['', '.', '..'].includes(some));
