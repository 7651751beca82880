import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AccessLogFile } from '../../../src/http/server/access-log-file.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** A pipe with a name, open for a reader that reads only when it is asked to. */
async function slowlyReadPipe(): Promise<{ path: string; readAll: () => string }> {
  const path = join(scratchDirectory(), 'pipe');
  await execa('mkfifo', [path]);
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(descriptor));
  const buffer = Buffer.alloc(64 * 1024);
  const readAll = (): string => {
    let text = '';
    try {
      for (let length = -1; length !== 0; ) {
        length = readSync(descriptor, buffer);
        text += buffer.toString('latin1', 0, length);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    return text;
  };
  return { path, readAll };
}

const LINES = 5_000;
const lineOf = (number: number): string => `${number} ${'x'.repeat(1_000)}`;

/** A busy second of a server. */
async function writeAll(log: AccessLogFile): Promise<void> {
  for (let number = 0; number < LINES; number += 1) {
    log.write(`${lineOf(number)}\n`);
    if (number % 100 === 0) await turn();
  }
}

describe('The access log on a pipe that nobody reads', () => {
  test('stops nothing, loses whole lines, and says how many', async () => {
    const { path, readAll } = await slowlyReadPipe();
    const warnings: string[] = [];
    const log = new AccessLogFile(path, (message) => warnings.push(message));
    await writeAll(log);
    expect(warnings).toEqual([expect.stringContaining('cannot be written: nobody reads it')]);

    let text = '';
    await expect
      .poll(() => {
        text += readAll();
        return text.length;
      })
      .toBeGreaterThan(1_000_000);
    log.write('the last\n');
    log.close();
    text += readAll();
    const lines = text.split('\n').slice(0, -1);
    expect(lines.at(-1)).toBe('the last');
    expect(lines.slice(0, -1)).toEqual(lines.slice(0, -1).map((_, number) => lineOf(number)));
    expect(warnings[1]).toMatch(`lost: ${LINES - (lines.length - 1)}`);
    expect(warnings).toHaveLength(2);
  });

  test('counts what still waits for the reader at the end', async () => {
    const { path, readAll } = await slowlyReadPipe();
    const warnings: string[] = [];
    const log = new AccessLogFile(path, (message) => warnings.push(message));
    await writeAll(log);
    log.close();
    const whole = readAll().split('\n').length - 1;
    expect(warnings.at(-1)).toMatch(`lost: ${LINES - whole}`);
  });

  test('is refused if nobody has opened it', async () => {
    const path = join(scratchDirectory(), 'pipe');
    await execa('mkfifo', [path]);
    expect(() => new AccessLogFile(path, () => {})).toThrow('nobody reads the pipe');
  });
});
