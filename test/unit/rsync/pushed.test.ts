import { describe, expect, test } from 'vitest';
import { checkPushedOptions, dividePushOptions } from '../../../src/rsync/pushed.ts';

describe('the options of a push are divided between the two hosts', () => {
  test.each([
    [
      ['-e', 'ssh -p 22'],
      ['ssh', '-p', '22'],
    ],
    [['-essh -p 22'], ['ssh', '-p', '22']],
    [['--rsh=ssh -F "my config"'], ['ssh', '-F', 'my config']],
    [
      ['--rsh', "ssh -o 'User=a b'"],
      ['ssh', '-o', 'User=a b'],
    ],
    [['-e', 'first', '-e', 'last'], ['last']],
    [['-z'], undefined],
  ])('%j has the remote shell %j', (given, remoteShell) => {
    expect(dividePushOptions([...given, '--exclude=/iso/', '-z'])).toMatchObject({
      remoteShell,
      options: expect.arrayContaining(['--exclude=/iso/', '-z']),
    });
    expect(dividePushOptions(given).options.join(' ')).not.toMatch(/ssh|rsh|last/);
  });

  test.each([
    ['--rsync-path=/opt/rsync'],
    ['--exclude-from=/list'],
    ['--include-from', '/list'],
    ['--log-file=/log'],
    ['-M--log-file=/log'],
    ['--filter=merge /rules'],
    ['--filter=. /rules'],
    ['-f', '.,- /rules'],
    ['--password-file=/secret'],
    ['--early-input=/secret'],
  ])('%j is refused, for it would be of the other host', (...given) => {
    expect(() => dividePushOptions(given)).toThrow(/cannot be used in a push/);
    expect(() => checkPushedOptions(given)).toThrow(/cannot be used in a push/);
  });

  test('beside the mirror no remote shell is taken', () => {
    expect(() => checkPushedOptions(['-e', 'touch x'])).toThrow(/cannot be used in a push/);
    expect(() => checkPushedOptions(['-f', '- *.iso', '--bwlimit=5m', '-L'])).not.toThrow();
  });
});
