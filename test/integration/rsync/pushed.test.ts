import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { relayOptions, serveSource } from '../../../src/rsync/pushed.ts';
import { splitShell } from '../../../src/rsync/remote-shell.ts';
import { type ChildResult, runProgram } from '../../../src/system/process.ts';
import { eventually } from '../../support/eventually.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { holdRsync } from '../../support/slow-sync.ts';

test('a remote shell is split as rsync splits it', () => {
  const shell = join(scratchDirectory(), 'shell');
  writeFileSync(shell, `#!/bin/sh\nprintf '%s\\n' "$@" > ${shell}.said\n`, { mode: 0o755 });
  const word = fc.stringMatching(/^[a-z"' ]{0,6}$/);
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 3 }), fc.boolean(), (words, double) => {
      const quote = double ? '"' : "'";
      const text = words
        .map((one) => quote + one.replaceAll(quote, quote + quote) + quote)
        .join(' ');
      expect(splitShell(text)).toEqual(words);
      spawnSync('rsync', ['-e', `${shell} ${text}`, 'HOST:', '/x']);
      const [shown] = readFileSync(`${shell}.said`, 'utf8').split('\nHOST\n');
      expect(shown).toBe(words.join('\n'));
    }),
    { numRuns: 30 },
  );
});

describe('the server of a pushed tree', () => {
  test('sends the whole tree through the relay, whatever its path is called', async () => {
    const source = makeSource("a %PATH% #;'\n\\ name ");
    const { result, target } = await pull(source, ['-a', '--checksum']);
    expect(result).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(target, 'below/file'), 'utf8')).toBe('below');
    expect(readlinkSync(join(target, 'out'))).toBe('../secret');
    expect(readdirSync(target).sort()).toEqual(['away', 'below', 'file', 'out']);
  });

  test('sends all of it to a receiver that pauses for a while', async () => {
    const source = makeSource('source');
    truncateSync(join(source, 'file'), 30_000_000);
    const target = join(scratchDirectory(), 'target');
    const options = ['-a', '--whole-file', '--bwlimit=5000'];
    const pulling = talk(source, [...options, 'x::source/', target]);
    // In the middle of the file.
    await eventually(() => expect(readdirSync(target).join()).toMatch(/\.file\.\w{6}/));
    const goOn = holdRsync(target);
    await pause(700);
    goOn();
    const { result } = await pulling;
    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    expect(statSync(join(target, 'file')).size).toBe(30_000_000);
  });

  const secret = (target: string) =>
    spawnSync('grep', ['-rl', 'secret', target], { encoding: 'utf8' }).stdout;

  test.each([
    { name: 'links to be followed', options: ['-aL'], says: /refuse --copy-links/ },
    {
      name: 'links that lead out to be followed',
      options: ['-a', '--copy-unsafe-links'],
      says: /refuse --copy-unsafe-links/,
    },
    {
      name: 'links to directories to be followed',
      options: ['-ak'],
      says: /refuse --copy-dirlinks/,
    },
    { name: 'a file above it', files: '../secret\0' },
    { name: 'a file behind a link', files: 'away/secret\0' },
    { name: 'another module', options: ['-a'], module: 'etc/' },
  ])(
    'sends nothing when it is asked for $name',
    async ({ options = ['-a'], files, module, says }) => {
      const source = makeSource('source');
      const { target, said } = await pull(source, options, { files, module });
      expect(secret(target)).toBe('');
      if (says) expect(said).toMatch(says);
    },
  );

  test('does not remove what it has sent when it is asked to', async () => {
    const source = makeSource('source');
    const { result } = await pull(source, ['-a', '--remove-source-files']);
    expect(result.exitCode).not.toBe(0);
    expect(existsSync(join(source, 'file'))).toBe(true);
  });

  test('accepts no files when it is asked to', async () => {
    const source = makeSource('source');
    const { result } = await talk(source, ['-a', join(source, 'below/'), 'x::source/']);
    expect(result.exitCode).not.toBe(0);
    expect(readdirSync(source).sort()).toEqual(['away', 'below', 'file', 'out']);
  });

  test("follows links with an option of its own host's user", async () => {
    const source = makeSource('source');
    symlinkSync('file', join(source, 'inside'));
    const { target } = await pull(source, ['-rtL', '--exclude=/away', '--exclude=/out'], {
      allowed: ['-L'],
    });
    expect(readFileSync(join(target, 'inside'), 'utf8')).toBe('file');
  });
});

function makeSource(name: string): string {
  const home = scratchDirectory();
  const source = join(home, name);
  mkdirSync(join(source, 'below'), { recursive: true });
  writeFileSync(join(home, 'secret'), 'secret');
  writeFileSync(join(source, 'file'), 'file');
  writeFileSync(join(source, 'below/file'), 'below');
  symlinkSync('../secret', join(source, 'out'));
  symlinkSync('..', join(source, 'away'));
  return source;
}

/** Pulls from a server of `source`, as the rsync on the mirror's host does. */
async function pull(
  source: string,
  options: readonly string[],
  more: { files?: string | undefined; module?: string | undefined; allowed?: string[] } = {},
): Promise<{ result: ChildResult; said: string; target: string }> {
  const home = scratchDirectory();
  const target = join(home, 'target');
  mkdirSync(target);
  const list = join(home, 'list');
  writeFileSync(list, more.files ?? '');
  const files = more.files === undefined ? [] : ['--from0', `--files-from=${list}`];
  const words = [...options, ...files, `x::${more.module ?? 'source/'}`, target];
  return { ...(await talk(source, words, more.allowed)), target };
}

async function talk(
  source: string,
  words: readonly string[],
  allowed: readonly string[] = [],
): Promise<{ result: ChildResult; said: string }> {
  const server = serveSource(source, allowed);
  const join = (channel: Duplex): void => {
    channel.pipe(server.stdin);
    // After a failed write to an rsync that has ended, `pipe` would not end it.
    channel.once('close', () => server.stdin.end());
    server.stdout.pipe(channel);
  };
  const result = await runProgram('rsync', [...relayOptions(0), ...words], { onChannel: join });
  return { result, said: (await server.ended).stderr };
}
