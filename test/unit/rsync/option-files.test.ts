import { expect, test } from 'vitest';
import { checkOptions } from '../../../src/rsync/option-files.ts';

const ofSnapshots = { frozen: [], isLocal: true, isInPlace: false };

test.each([
  'P /x',
  'P,!_x',
  'P/ /x',
  'protect x',
  'protect,!_x',
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
  const why = /in which a rule protects nothing/;
  expect(() => checkOptions(['-f', rule], ofSnapshots)).toThrow(why);
});

test.each([
  '- r x',
  '-_P x',
  '- /r',
  '+ risk',
  'R .~tmp~',
  'risk .~tmp~/',
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
  const options = [`--filter=${rule}`, '--exclude=P x', '--include', 'protect x'];
  // The file of a merge rule is not there, which is another matter.
  expect(() => checkOptions(options, ofSnapshots)).not.toThrow(/protects nothing/);
});
