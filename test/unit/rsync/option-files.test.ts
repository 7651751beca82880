import { expect, test } from 'vitest';
import { refuseProtectingRules } from '../../../src/rsync/option-files.ts';

test.each([
  'P /x',
  'P,!_x',
  'P/ /x',
  'protect x',
  'protect,!_x',
  'R *',
  'risk_x',
  '-r x',
  '-,rs x',
  '+r x',
  'exclude,r x',
  'include,pr x',
  'merge,r x',
  '.r x',
  'dir-merge,r x',
  ':rn x',
])('the rule %j protects something', (rule) => {
  expect(() => refuseProtectingRules(['-f', rule])).toThrow(/in which a rule protects nothing/);
});

test.each([
  '- r x',
  '-_P x',
  '- /r',
  '+ risk',
  'exclude r',
  'exclude,! r',
  'include protect',
  'H r',
  'hide risk x',
  'show,! r',
  'S P',
  's r',
  'merge rules',
  '. rules',
  ': .rsync-filter',
  'dir-merge .rsync-filter',
  '!',
  'clear',
])('the rule %j protects nothing', (rule) => {
  refuseProtectingRules([`--filter=${rule}`, '--exclude=P x', '--include', 'protect x']);
});
