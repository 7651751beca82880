import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applyArguments,
  DEFAULT_NAMES,
  type DefaultName,
  inPlaceArguments,
  planArguments,
  wholePassArguments,
} from '../../../src/rsync/arguments.ts';
import { transferOf } from '../../support/transfer.ts';

const listed = { path: '/list', namesNoEntry: false };
const options = { from: ['/base'], how: 'link', partial: '/partial' } as const;

describe('the order of the words', () => {
  const everySet = fc.subarray([...DEFAULT_NAMES]);
  const user = fc.array(
    fc.constantFrom('--recursive', '-r', '-z', '--timeout=1', '--dirs', '--archive', '-a'),
    { maxLength: 5 },
  );

  test('--no-recursive comes after every option that could turn on recursion', () => {
    fc.assert(
      fc.property(user, everySet, (given, without) => {
        const args = applyArguments(transferOf('/src', given, without), '/tree', listed, options);
        const last = Math.max(
          ...['--recursive', '-r', '--archive', '-a'].map((word) => args.lastIndexOf(word)),
        );
        expect(args.lastIndexOf('--no-recursive')).toBeGreaterThan(last);
      }),
    );
  });

  test("the user's options come after the defaults, and paths after --", () => {
    fc.assert(
      fc.property(user, everySet, (given, without) => {
        for (const args of [
          planArguments(transferOf('/src', given, without), '/tree'),
          wholePassArguments(transferOf('/src', given, without), '/tree', '/excluded', options),
        ]) {
          expect(args.slice(args.indexOf('--'))).toEqual(['--', '/src/', '/tree/']);
          const defaults = args.findIndex((word) => word.startsWith('--timeout=600'));
          const own = args.lastIndexOf('--timeout=1');
          if (own !== -1) expect(own).toBeGreaterThan(defaults);
        }
      }),
    );
  });

  test('only a plan is a dry run, and nothing but a plan or a whole pass deletes', () => {
    const transfer = transferOf('/src');
    expect(planArguments(transfer, '/t')).toContain('--dry-run');
    expect(applyArguments(transfer, '/t', listed, options)).not.toContain('--dry-run');
    expect(
      applyArguments(transfer, '/t', listed, options).filter((word) => word.startsWith('--delete')),
    ).toEqual([]);
    expect(wholePassArguments(transfer, '/t', '/excluded', options)).not.toContain('--dry-run');
  });

  test('each default of a plan can be turned off alone', () => {
    const all = planArguments(transferOf('host::module'), '/t');
    const ofPlans: DefaultName[] = ['nanoseconds', 'safe-links', 'timeout'];
    for (const name of ofPlans) {
      const fewer = planArguments(transferOf('host::module', [], [name]), '/t');
      expect(fewer.length, name).toBeLessThan(all.length);
      expect(all, name).toEqual(expect.arrayContaining(fewer));
    }
    expect(planArguments(transferOf('/src', [], ['archive']), '/t')).not.toContain('--archive');
  });

  test('a plan lists what is left out by name; a pass of rsync excludes it before all other filters', () => {
    const transfer = transferOf('/src', ['--include=*']);
    expect(planArguments(transfer, '/t').filter((word) => word.includes('exclude='))).toEqual([]);
    for (const [args, ...first] of [
      [wholePassArguments(transfer, '/t', '/list', options), '--exclude-from=/list'],
      [
        inPlaceArguments(transfer, '/t', '/list', 'deleted', 0),
        '--filter=protect .~tmp~/',
        '--filter=merge,-s /list',
      ],
    ] as const) {
      const filters = args.filter((word) => /^--(exclude|include|filter)/.test(word));
      expect(filters).toEqual([...first, '--include=*']);
    }
  });

  test('a pass over a live tree deletes no more than is planned, and nothing with --without delete', () => {
    const args = inPlaceArguments(transferOf('/src'), '/t', '/list', 'deleted', 3);
    expect(args).toEqual(expect.arrayContaining(['--delete', '--max-delete=3']));
    const kept = inPlaceArguments(transferOf('/src', [], ['delete']), '/t', '/list', 'deleted', 3);
    expect(kept.filter((word) => word.includes('delete'))).toEqual([]);
  });
});
