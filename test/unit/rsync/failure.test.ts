import { describe, expect, test } from 'vitest';
import { judgeEnding } from '../../../src/rsync/failure.ts';

const failed = (code: string) => ({ kind: 'failed', error: { code } });

describe('by its exit code', () => {
  test.each([
    [1, 'failed', 'USAGE'],
    [4, 'failed', 'USAGE'],
    [11, 'failed', 'IO'],
    [14, 'failed', 'UNAVAILABLE'],
    [10, 'retry', 'UNAVAILABLE'],
    [12, 'retry', 'UNAVAILABLE'],
    [23, 'retry', 'UNAVAILABLE'],
    [24, 'retry', 'UNAVAILABLE'],
    [30, 'retry', 'UNAVAILABLE'],
    [35, 'retry', 'UNAVAILABLE'],
    [255, 'retry', 'UNAVAILABLE'],
    [20, 'failed', 'IO'],
    [137, 'failed', 'IO'],
    [143, 'failed', 'IO'],
    [25, 'retry', 'UNAVAILABLE'],
    [99, 'failed', 'IO'],
  ])('%i', (exitCode, kind, code) => {
    expect(judgeEnding(exitCode, '')).toMatchObject({ kind, error: { code } });
  });

  test('only 0 is clean, whatever the messages are', () => {
    for (let code = 1; code < 256; code += 1) expect(judgeEnding(code, '').kind).not.toBe('clean');
    expect(judgeEnding(0, 'rsync: warning')).toEqual({ kind: 'clean' });
  });

  test('too many names for one file is neither a failed connection nor worth another try', () => {
    const words = 'rsync: [generator] link "/m/b" => a failed: Too many links (31)\n';
    const closed = 'rsync: connection unexpectedly closed (3 bytes received so far) [sender]\n';
    for (const [code, said] of [
      [12, words + closed],
      [23, words],
    ] as const) {
      const ending = judgeEnding(code, said);
      expect(ending).toMatchObject(failed('IO'));
      expect(ending.kind !== 'clean' && ending.error.message).toMatch(/more names than the file/);
    }
    expect(judgeEnding(0, words), 'it was copied instead').toEqual({ kind: 'clean' });
  });

  test('a full disk is distinguished from a bad target, although both have the exit code 11', () => {
    const full = 'rsync: [receiver] write failed on "/x": No space left on device (28)\n';
    expect(judgeEnding(11, full)).toMatchObject(failed('NO_SPACE'));
    expect(judgeEnding(11, 'rsync: mkdir "/x" failed: Not a directory (20)')).toMatchObject(
      failed('IO'),
    );
  });

  test('a file that has gone since it was listed is no matter of permissions', () => {
    const gone = 'rsync: [sender] link_stat "/src/p" failed: No such file or directory (2)\n';
    expect(judgeEnding(23, gone)).toMatchObject({
      kind: 'retry',
      why: expect.stringMatching(/^files vanished/),
    });
    const name = 'link_stat "x" failed: No such file or directory (2)';
    const closed = `rsync: [sender] send_files failed to open "/src/${name}": Permission denied (13)\n`;
    expect(judgeEnding(23, closed)).toMatchObject({ why: 'some files could not be transferred' });
  });

  test('an rsync that was ended at the other end is a lost connection, and one on this host is not', () => {
    const ended = (role: string) =>
      `rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20) at rsync.c(733) [${role}=3.2.7]\n`;
    expect(judgeEnding(20, ended('sender'), 'there')).toMatchObject({ kind: 'retry' });
    expect(judgeEnding(20, ended('receiver'), 'there')).toMatchObject(failed('IO'));
    expect(judgeEnding(20, ended('sender'))).toMatchObject(failed('IO'));
  });

  test("the message contains rsync's own", () => {
    const said = 'rsync: [sender] send_files failed to open "/x": Permission denied (13)';
    const ending = judgeEnding(23, `${said}\nrsync error: some files (code 23) at main.c(1)\n`);
    expect(ending).toMatchObject({ error: { message: expect.stringContaining(said) } });
  });

  test('a file name that looks like another message does not change the ending', () => {
    const name = 'No space left on device';
    const said = `rsync: [sender] send_files failed to open "/src/${name}": Permission denied (13)`;
    expect(judgeEnding(23, said)).toMatchObject({ kind: 'retry' });
  });
});
