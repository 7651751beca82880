import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AccessLogFile } from '../../../src/http/server/access-log-file.ts';
import { eventually } from '../../support/eventually.ts';
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

describe('The access log that logrotate moves away', () => {
  function openLog(): { path: string; log: AccessLogFile; warnings: string[] } {
    const path = join(scratchDirectory(), 'access.log');
    const warnings: string[] = [];
    const log = new AccessLogFile(path, (message) => warnings.push(message));
    onTestFinished(() => log.close());
    return { path, log, warnings };
  }

  test('goes on in a new file, and what was written until then is in the one that was moved', async () => {
    const { path, log, warnings } = openLog();
    renameSync(path, `${path}.1`);
    log.write('late\n');
    await eventually(() => expect(readFileSync(path, 'utf8')).toBe(''));
    log.write('next\n');
    await eventually(() => expect(readFileSync(path, 'utf8')).toBe('next\n'));
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('late\n');
    expect(warnings).toEqual([]);
  });

  test('says that lines may be lost if the file was compressed at once', async () => {
    const { path, log, warnings } = openLog();
    rmSync(path);
    log.write('too late\n');
    await eventually(() => expect(warnings).toEqual([expect.stringContaining('delaycompress')]));
    rmSync(path);
    await eventually(() => expect(readFileSync(path, 'utf8')).toBe(''));
    expect(warnings).toHaveLength(1);
  });
});
