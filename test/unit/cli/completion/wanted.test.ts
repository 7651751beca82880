import { expect, test } from 'vitest';
import { type Grammar, questionAt } from '../../../../src/cli/completion/wanted.ts';

const option = (long: string, value?: string, choices?: string[]) => ({
  long: `--${long}`,
  short: value === undefined ? undefined : `-${long.slice(0, 1)}`,
  value,
  choices,
  namesMirror: value === 'mirror',
});
const argument = (name: string, more = {}) => ({
  name,
  choices: undefined,
  variadic: false,
  namesMirror: name === 'ROOT',
  ...more,
});
const RUN: Grammar = {
  options: [option('verbose'), option('pin', 'kind', ['cwd']), option('mirror', 'mirror')],
  args: [argument('ROOT'), argument('ID')],
  operands: 'command',
  takesRsyncOptions: false,
};
const SYNC: Grammar = {
  ...RUN,
  args: [argument('paths', { variadic: true })],
  operands: 'none',
  takesRsyncOptions: true,
};

test('an argument is the one of its place, and the last for ever if it may be repeated', () => {
  expect(questionAt([''], RUN).wanted).toEqual({ kind: 'mirror' });
  expect(questionAt(['/m', ''], RUN)).toEqual({
    wanted: { kind: 'value', name: 'ID' },
    before: '',
    mirror: '/m',
  });
  expect(questionAt(['/m', 'id', ''], RUN).wanted).toEqual({ kind: 'choice', choices: [] });
  expect(questionAt(['a', 'b', 'c'], SYNC).wanted).toEqual({ kind: 'value', name: 'paths' });
});

test('the value of an option stands behind it, or behind its equals sign', () => {
  const choice = { kind: 'choice', choices: ['cwd'] };
  expect(questionAt(['/m', '--pin', ''], RUN).wanted).toEqual(choice);
  expect(questionAt(['-p', 'c'], RUN).wanted).toEqual(choice);
  expect(questionAt(['/m', '--pin=c'], RUN)).toMatchObject({ wanted: choice, before: '--pin=' });
  expect(questionAt(['--pin', 'cwd', '/m', ''], RUN).mirror).toBe('/m');
  expect(questionAt(['--verbose', '/m', ''], RUN).mirror).toBe('/m');
  expect(questionAt(['--mirror=/m', '--mirror', '/o', '--pin', ''], RUN).mirror).toBe('/m');
});

test('of the paths of a sync, the last is the mirror', () => {
  const sync = { ...SYNC, args: [argument('paths', { variadic: true, namesMirror: true })] };
  expect(questionAt(['/source', '/m', '--pin', ''], sync).mirror).toBe('/m');
  expect(questionAt(['debian', '--pin', ''], sync).mirror).toBe('debian');
});

test('options of rsync take their values away from the arguments of sync', () => {
  expect(questionAt(['--exclude', 'a', '-'], SYNC).wanted).toEqual({ kind: 'option' });
  expect(questionAt(['--exclude', 'a', ''], SYNC).wanted).toEqual({ kind: 'value', name: 'paths' });
});

test('behind -- comes a command, or an option of rsync, or nothing', () => {
  expect(questionAt(['/m', '--', ''], RUN).wanted).toEqual({ kind: 'command' });
  expect(questionAt(['/m', '--', 'ls', '-'], RUN).wanted).toEqual({ kind: 'command' });
  expect(questionAt(['--', '-'], { ...RUN, operands: 'rsync' }).wanted).toEqual({
    kind: 'rsync-option',
  });
  expect(questionAt(['--', '-'], SYNC).wanted).toEqual({ kind: 'choice', choices: [] });
});
