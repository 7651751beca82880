import { stripVTControlCharacters } from 'node:util';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { nameOfTopic, topics } from '../support/documents.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { runProgram, transcript } from '../support/program.ts';
import { project } from '../support/project.ts';

const ESCAPE = '\u001b';

test('help lists every command and every topic', async () => {
  const { stdout, stderr, exitCode } = await runProgram(['help']);
  expect(exitCode, stderr).toBe(0);
  for (const command of ['sync', 'shell-init', 'help']) {
    expect(stdout).toMatch(new RegExp(`^  ${command} .*  [a-z]`, 'm'));
  }
  for (const name of topics.map(nameOfTopic)) {
    expect(stdout).toMatch(new RegExp(`^  ${name} +[a-z]`, 'm'));
  }
});

test('--help prints the same as help', async () => {
  const [byCommand, byOption] = [await runProgram(['help']), await runProgram(['--help'])];
  expect(byCommand.stdout).toBe(byOption.stdout);
});

test('the help of a command breaks its prose, and no line that can be pasted', async () => {
  const { stdout } = await runProgram(['status', '--help']);
  expect(stdout).toMatch(/^ {2}\*\/5 \* \* \* \* {2}mirrorlatch status .{80,}\.prom$/m);
  const { stdout: verify } = await runProgram(['verify', '--help']);
  expect(verify).toMatch(/^ {2}75 {2}another process .*\n {6}mirror$/m);
});

test('the help of lock says what keeps the variable of its tree from your own shell', async () => {
  const { stdout } = await runProgram(['lock', '--help']);
  expect(stdout).toMatch(/within single quotes[\s\S]*"\$\{MIRRORLATCH_STAGING:\?\}"/);
});

test.for([[['sync']], [['wait']], [['gate', 'open']], [['lock']], [['verify']]])(
  'help %j shows what --help shows',
  async ([words]) => {
    const byHelp = await runProgram(['help', ...(words ?? [])]);
    const byOption = await runProgram([...(words ?? []), '--help']);
    expect(byHelp.exitCode, transcript(byHelp)).toBe(0);
    expect(byHelp.stdout).toBe(byOption.stdout);
    // Examples can be pasted, so they stay on their lines.
    const prose = byHelp.stdout.replace(/^Examples?:\n( .*\n)+/m, '');
    expect(tooWide(prose, 80)).toEqual([]);
    expect(prose).toMatch(/^Exit codes:\n {2}/m);
    expect(byHelp.stdout).toContain(`Usage: mirrorlatch ${words?.join(' ')}`);
  },
);

describe('A topic without a terminal', () => {
  test.for(topics.map(nameOfTopic))('%s is plain text of at most 80 columns', async (name) => {
    const { stdout, stderr, exitCode } = await runProgram(['help', name], {
      env: { CI: 'true', COLUMNS: '40' },
    });
    expect(exitCode, stderr).toBe(0);
    expect(stdout).not.toContain(ESCAPE);
    expect(tooWide(stdout, 80)).toEqual([]);
    expect(stdout).not.toMatch(/^#|^\|[ -]|^```|\]\(|\*\*\w/m);
    expect(stdout.length).toBeGreaterThan(500);
  });

  test('names the command that shows another topic, after the words of the link', async () => {
    const { stdout } = await runProgram(['help', 'containers']);
    expect(stdout).toMatch(/See also mirrorlatch help guard, mirrorlatch help exit-codes\./);
    const configuration = await runProgram(['help', 'configuration']);
    expect(configuration.stdout.replaceAll(/\s+/g, ' ')).toContain(
      'which snapshots are kept (mirrorlatch help keeping)',
    );
  });

  test('keeps the lines of code as they are', async () => {
    const { stdout } = await runProgram(['help', 'other-tools']);
    expect(stdout).toMatch(
      /^ {4}mirrorlatch lock \/srv\/mirror\/debs -- sh -c 'debmirror .{100,}$/m,
    );
  });
});

describe('A topic on a terminal', () => {
  test.for([60, 100])('is wrapped to its %i columns', async (columns) => {
    for (const name of topics.map(nameOfTopic)) {
      const shown = await onTerminal(['help', name], columns);
      expect(tooWide(shown, columns), name).toEqual([]);
      const widest = Math.max(...proseOf(shown).map((line) => line.length));
      expect(widest, name).toBeGreaterThan(columns - 12);
    }
  });

  test('is no wider than 100 columns, however wide the terminal is', async () => {
    expect(tooWide(await onTerminal(['help', 'recipes'], 200), 100)).toEqual([]);
  });

  test('has its headings and its code in bold', async () => {
    const shown = await onTerminal(['help', 'push'], 80);
    expect(shown).toContain(`${ESCAPE}[1mWhen the connection drops${ESCAPE}[22m`);
    expect(shown).toContain(`${ESCAPE}[1m--retries${ESCAPE}[22m`);
  });

  test('shows each row of a table as a paragraph if its columns do not fit', async () => {
    const shown = stripVTControlCharacters(await onTerminal(['help', 'measured'], 44));
    expect(shown).toMatch(
      /^client: pip, find-links\n {2}a flip every: 5 ms\n {2}bare: 0 \/ 0 \/ 40\n/m,
    );
  });

  test.for([{ NO_COLOR: '1' }, { TERM: 'dumb' }])('has no escape codes with %j', async (env) => {
    expect(await onTerminal(['help', 'push'], 80, env)).not.toContain(ESCAPE);
  });
});

describe('A name that is neither a command nor a topic', () => {
  test('is refused with the nearest one', async () => {
    const nearest = async (name: string) => {
      const result = await runProgram(['help', name]);
      expectFailure(result, 64, /no command or topic/, /mirrorlatch help/);
      expect(result.stdout).toBe('');
      return /Did you mean ([\w-]+)\?/.exec(result.stderr)?.[1];
    };
    expect(await nearest('inplace')).toBe('in-place');
    expect(await nearest('recipe')).toBe('recipes');
    expect(await nearest('snyc')).toBe('sync');
    expect(await nearest('rsync')).toBe('rsync-options');
    expect(await nearest('exit')).toBe('exit-codes');
    expect(await nearest('zzzzzz')).toBeUndefined();
  });

  test('is looked for in the titles of the topics, and in their text', async () => {
    const suggested = async (name: string) => (await runProgram(['help', name])).stderr;
    expect(await suggested('timers')).toContain('Did you mean scheduling?');
    expect(await suggested('NFS')).toContain('Did you mean readers-elsewhere?');
    expect(await suggested('Docker')).toContain('Did you mean containers?');
    expect(await suggested('adopt')).toContain('Did you mean in-place?');
  });
});

test('man shows every page without a warning', async () => {
  const pages = topics.map((topic) => `mirrorlatch-${nameOfTopic(topic)}.7`);
  for (const page of ['mirrorlatch.1', ...pages]) {
    const { stdout, stderr } = await execa('man', ['--warnings', '-l', `dist/man/${page}`], {
      cwd: project,
      env: { MANWIDTH: '80', MANPAGER: 'cat', LC_ALL: 'C.UTF-8' },
    });
    expect(stderr, page).toBe('');
    expect(stdout, page).toContain('NAME');
  }
});

/** The output of the program on its own terminal with this many columns, made by script(1). */
async function onTerminal(
  args: readonly string[],
  columns: number,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const command = `stty cols ${columns} && exec '${process.execPath}' dist/bin/main.cjs ${args.join(' ')}`;
  const { stdout } = await execa('script', ['-qec', command, '/dev/null'], {
    cwd: project,
    env: { TERM: 'xterm', ...env },
    stdin: 'ignore',
  });
  return stdout.replaceAll('\r\n', '\n');
}

/** Lines of text: code is indented, and never wrapped. */
function proseOf(shown: string): string[] {
  return stripVTControlCharacters(shown)
    .split('\n')
    .filter((line) => !/^ {4}/.test(line));
}

function tooWide(shown: string, columns: number): string[] {
  return proseOf(shown).filter((line) => line.length > columns);
}
