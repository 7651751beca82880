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
  ])('%j is refused, because it is bound to one host', (...given) => {
    expect(() => dividePushOptions(given)).toThrow(/cannot be used in a push/);
    expect(() => checkPushedOptions(given)).toThrow(/cannot be used in a push/);
  });

  test('what rsync does not get is told by the other host, and all that is bound is refused at once', () => {
    const { options } = dividePushOptions(['-av', '--delay-updates', '--max-delete=5', '--delete']);
    expect(options).toEqual(['-a', '-v', '--delay-updates', '--max-delete=5', '--delete']);
    const bound = /--log-file=x cannot be used in a push.*\n.*--port=1 cannot be used in a push/;
    expect(() => dividePushOptions(['--log-file=x', '--port=1'])).toThrow(bound);
  });

  test('the host of the mirror accepts no remote shell', () => {
    expect(() => checkPushedOptions(['-e', 'touch x'])).toThrow(/cannot be used in a push/);
    expect(() => checkPushedOptions(['-f', '- *.iso', '--bwlimit=5m', '-L'])).not.toThrow();
  });
});
