import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AccessLogFile } from '../../../src/http/server/access-log-file.ts';
import { blocks, topics } from '../../support/documents.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { ask } from '../../support/http/ask.ts';
import { serversOfTests } from '../../support/http/servers.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { nobody, runsAsRoot } from '../../support/privilege.ts';
import { runProgram } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const published = mirrorsWith('one');
const serve = serversOfTests();

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

describe.runIf(runsAsRoot)('The access log of a server that root starts', () => {
  const why = whyNotInstalled('logrotate');
  const places = [
    { whose: 'nobody', of: nobody, adapted: (lines: string) => lines },
    {
      whose: 'root',
      of: { uid: 0, gid: 0 },
      adapted: (lines: string) => lines.replace(/su nobody nogroup/, 'create'),
    },
  ];

  test.skipIf(why !== '').for(places)(
    `in a directory of $whose is rotated by the lines of the manual${why}`,
    async ({ of, adapted }) => {
      const { directory, log } = directoryOf(of);
      const [lines = '', ...others] = topics.flatMap((topic) => blocks(topic, 'logrotate'));
      expect(others).toEqual([]);
      const configuration = join(scratchDirectory(), 'logrotate.conf');
      writeFileSync(configuration, adapted(lines).replace(/^\S+/, log));
      chmodSync(configuration, 0o644);
      const server = await serve((await published()).root, '--access-log', log);
      for (const name of ['first', 'second', 'third']) {
        await ask(server.address, `/${name}`);
        await eventually(() => expect(readFileSync(log, 'utf8')).toContain(`GET /${name} `));
        const state = `${configuration}.state`;
        await execa('logrotate', ['--force', '--state', state, configuration]);
        await eventually(() => expect(openFiles(server.pid)).toContain(log));
      }
      const kept = ['access.log', 'access.log.1', 'access.log.2.gz', 'access.log.3.gz'];
      expect(readdirSync(directory).sort()).toEqual(kept);
      expect(readFileSync(`${log}.1`, 'utf8')).toContain('GET /third ');
      const { stdout } = await execa('zcat', [`${log}.3.gz`]);
      expect(stdout).toContain('GET /first ');
      expect(server.saidSoFar()).toBe('');
    },
  );

  test('is not written by root through a symlink that nobody has put there', async () => {
    const { log } = directoryOf(nobody);
    const victim = join(scratchDirectory(), 'victim');
    writeFileSync(victim, 'own\n', { mode: 0o600 });
    symlinkSync(victim, log);
    const words = ['serve', (await published()).root, '--listen', '127.0.0.1:0'];
    const result = await runProgram([...words, '--access-log', log]);
    expectFailure(result, 64, /access\.log" is a symlink that the server's user may not follow/);
    expect(readFileSync(victim, 'utf8')).toBe('own\n');
  });

  test('that is of another user is written, with a warning of what comes after a rotation', async () => {
    const { log } = directoryOf(nobody);
    writeFileSync(log, '', { mode: 0o640 });
    const server = await serve((await published()).root, '--access-log', log);
    await ask(server.address, '/first');
    await eventually(() => expect(readFileSync(log, 'utf8')).toContain('GET /first '));
    expect(statSync(log).uid).toBe(0);
    expect(server.saidSoFar()).toMatch(
      /belongs to another user than nobody.*: chown nobody \S+log$/m,
    );
  });

  test('goes on where nobody may not look, and that is said once', async () => {
    const { directory, log } = directoryOf({ uid: 0, gid: 0 });
    chmodSync(directory, 0o700);
    const server = await serve((await published()).root, '--access-log', log);
    const warning = /whether the access log was moved cannot be seen: EACCES/g;
    await eventually(() => expect(server.saidSoFar()).toMatch(warning));
    await ask(server.address, '/first');
    await eventually(() => expect(readFileSync(log, 'utf8')).toContain('GET /first '));
    expect(server.saidSoFar().match(warning)).toHaveLength(1);
  });

  function openFiles(pid: number): string[] {
    const fds = `/proc/${pid}/fd`;
    return readdirSync(fds).map((fd) => readlinkSync(join(fds, fd)));
  }

  function directoryOf({ uid, gid }: { uid: number; gid: number }) {
    const directory = join(scratchDirectory(), 'log');
    mkdirSync(directory);
    chownSync(directory, uid, gid);
    return { directory, log: join(directory, 'access.log') };
  }
});
