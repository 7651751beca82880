import { expect, test } from 'vitest';
import { describeFindings } from '../../../src/mirror/describe-finding.ts';
import { layoutOf } from '../../../src/mirror/layout.ts';
import type { Finding } from '../../../src/mirror/survey.ts';

test('of much of one kind the first few are named and the rest is counted, and all else is named', () => {
  const removed = Array.from({ length: 99_600 }, (_, at): Finding => {
    return { kind: 'unrecorded-removal', id: `${at}` };
  });
  const findings: Finding[] = [...removed, { kind: 'foreign-tree', id: 'mine' }];
  expect(describeFindings(layoutOf('/srv/mirror/debian'), findings, false)).toEqual([
    expect.stringMatching(/^snapshot 0 was removed, .*; the next sync takes care of it$/),
    expect.stringMatching(/^snapshot 1 /),
    expect.stringMatching(/^snapshot 2 /),
    'and 99597 more of that kind',
    'the tree mine in snapshots was not made by mirrorlatch; nothing changes or removes it',
  ]);
});
