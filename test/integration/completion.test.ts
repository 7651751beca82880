import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { quoteForFish, quoteForSh } from '../../src/system/quote.ts';
import { missingOf, whyNotInstalled } from '../support/installed.ts';
import { runForJson, runProgram } from '../support/program.ts';
import { launcher, project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith } from '../support/small-mirror.ts';
import { openTerminal, type Terminal } from '../support/terminal.ts';

const twoSnapshots = mirrorsWith('first', 'second');

/** A shell at whose prompt words are typed. */
interface TypingShell {
  readonly name: string;
  readonly words: readonly string[];
  /** What is typed before the first line that is completed. */
  readonly begin: string;
}

const BASH: TypingShell = {
  name: 'bash',
  words: ['bash', '--norc', '--noprofile', '-i'],
  begin: `bind 'set bell-style none'; bind 'set show-all-if-ambiguous on'; eval "$(mirrorlatch completion bash)"`,
};
const ZSH: TypingShell = {
  name: 'zsh',
  words: ['zsh', '-f', '-i'],
  begin:
    'unsetopt beep zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; eval "$(mirrorlatch completion zsh)"',
};
const TYPING = [BASH, ZSH];

const END = 'end of words';

/** A directory with a program `mirrorlatch` that answers completions, and else prints the words that it is given. */
function programs(): string {
  const directory = scratchDirectory();
  const script = [
    '#!/bin/sh',
    `case $1 in complete | completion) exec '${launcher}' "$@" ;; esac`,
    `printf '<%s>' "$@"`,
    `echo ' ${END}'`,
  ];
  writeFileSync(join(directory, 'mirrorlatch'), `${script.join('\n')}\n`, { mode: 0o755 });
  return directory;
}

/** A configuration with one mirror, `debian`. */
function configurationOf(home: string, root: string): string {
  const file = join(home, 'config.toml');
  writeFileSync(file, `[mirrors.debian]\nroot = "${root}"\n`, { mode: 0o644 });
  return file;
}

/** The words that a command line has after TAB and Enter. */
async function typed(
  shell: TypingShell,
  lines: readonly string[],
  { cwd, config }: { cwd?: string; config?: string } = {},
): Promise<string[]> {
  const terminal = openTerminal(shell.words, {
    ...(cwd === undefined ? {} : { cwd }),
    env: {
      PATH: `${programs()}:${process.env['PATH']}`,
      HOME: scratchDirectory(),
      MIRRORLATCH_CONFIG: config,
      PS1: '$ ',
      TERM: 'xterm',
    },
    columns: 200,
  });
  await isReady(terminal, shell);
  const found: string[] = [];
  for (const line of lines) {
    terminal.type(`${line}\t`);
    // The shell echoes what it completes; Enter waits in the terminal until it has.
    terminal.type('\r');
    await terminal.shows(`> ${END}`);
    found.push(
      /(<.*>) end of words/s.exec(terminal.shownSince())?.[1]?.replaceAll('\r\n', '\n') ?? '',
    );
  }
  return found;
}

async function isReady(terminal: Terminal, { begin }: TypingShell): Promise<void> {
  await terminal.shows('$ ');
  terminal.type(`${begin}; echo rea''dy\r`);
  await terminal.shows(/ready/);
}

describe.each(TYPING)('TAB in $name completes', (shell) => {
  const skips = missingOf(shell.name).length > 0;
  const why = whyNotInstalled(shell.name);

  test.skipIf(skips)(`commands, options and their values${why}`, async () => {
    const lines = ['mirrorlatch rollb', 'mirrorlatch run --snap', 'mirrorlatch run --pin=c'];
    const more = ['mirrorlatch run --pin name', 'mirrorlatch gate cl', 'mirrorlatch shell-init f'];
    expect(await typed(shell, [...lines, ...more])).toEqual([
      '<rollback>',
      '<run><--snapshot>',
      '<run><--pin=cwd>',
      '<run><--pin><namespace>',
      '<gate><close>',
      '<shell-init><fish>',
    ]);
  });

  test.skipIf(skips)(`options of rsync${why}`, async () => {
    const { root } = await twoSnapshots();
    expect(
      await typed(shell, [
        'mirrorlatch sync --hard-',
        `mirrorlatch sync --exclude a --numer`,
        `mirrorlatch init ${root} -- --delete-exc`,
      ]),
    ).toEqual([
      '<sync><--hard-links>',
      '<sync><--exclude><a><--numeric-ids>',
      `<init><${root}><--><--delete-excluded>`,
    ]);
  });

  test.skipIf(skips)(`snapshots of the mirror on the line, and tags${why}`, async () => {
    const { root } = await twoSnapshots();
    await runForJson(['tag', root, 'first', 'tested']);
    expect(
      await typed(shell, [
        `mirrorlatch rollback ${root} fi`,
        `mirrorlatch run ${root} --snapshot sec`,
        `mirrorlatch run -m ${root} --snapshot=prev`,
        `mirrorlatch prune ${root} --keep-tag=tes`,
      ]),
    ).toEqual([
      `<rollback><${root}><first>`,
      `<run><${root}><--snapshot><second>`,
      `<run><-m><${root}><--snapshot=previous>`,
      `<prune><${root}><--keep-tag=tested>`,
    ]);
  });

  test.skipIf(skips)(
    `names of mirrors in the configuration, and their snapshots${why}`,
    async () => {
      const { home, root } = await twoSnapshots();
      const config = configurationOf(home, root);
      const lines = [
        'mirrorlatch status deb',
        'mirrorlatch rollback debian fi',
        'mirrorlatch run -m deb',
      ];
      expect(await typed(shell, lines, { config })).toEqual([
        '<status><debian>',
        '<rollback><debian><first>',
        '<run><-m><debian>',
      ]);
    },
  );

  test.skipIf(skips)(`paths, whatever is in their names${why}`, async () => {
    const home = scratchDirectory();
    const names = [
      'a mirror',
      "b'mirror",
      'c"mirror',
      'd:mirror',
      'e=mirror',
      'f$mirror',
      'g\nmirror',
      'h\\mirror',
    ];
    for (const name of [...names, '-mirror']) mkdirSync(join(home, name));
    const lines = names.map((name) => `mirrorlatch status ${home}/${name.slice(0, 1)}`);
    // zsh takes the slash at the end away at Enter.
    const found = (await typed(shell, lines)).map((words) => words.replace(/\/>$/, '>'));
    expect(found).toEqual(names.map((name) => `<status><${home}/${name}>`));
    const [dashed = ''] = await typed(shell, ['mirrorlatch init ./-'], { cwd: home });
    expect(dashed.replace(/\/>$/, '>')).toBe('<init><./-mirror>');
  });

  test.skipIf(skips)(`snapshots of a mirror whose path has to be quoted${why}`, async () => {
    const mirror = await twoSnapshots();
    const names = ["it's a mirror", 'a:b', 'c=d', 'e"f', 'g$h'];
    for (const name of names) symlinkSync(mirror.root, join(mirror.home, name));
    const paths = names.map((name) => join(mirror.home, name));
    const lines = paths.map((path) => `mirrorlatch rollback ${quoteForSh(path)} fir`);
    expect(await typed(shell, lines)).toEqual(paths.map((path) => `<rollback><${path}><first>`));
  });

  test.skipIf(skips)(`a command behind --, and its files${why}`, async () => {
    const { root } = await twoSnapshots();
    const home = scratchDirectory();
    writeFileSync(join(home, 'a file'), '');
    expect(
      await typed(
        shell,
        [`mirrorlatch run ${root} -- setpri`, `mirrorlatch run ${root} -- cat a`],
        { cwd: home },
      ),
    ).toEqual([`<run><${root}><--><setpriv>`, `<run><${root}><--><cat><a file>`]);
  });
});

test.skipIf(missingOf('bash').length > 0)(
  'TAB in bash completes the options of a command behind --, by its own completion',
  async () => {
    const { root } = await twoSnapshots();
    const own = `_own() { [ "\${COMP_WORDS[0]}" = own ] && [ "$COMP_CWORD" = 1 ] && COMPREPLY=(--of-its-own); }`;
    const shell = { ...BASH, begin: `${BASH.begin}; ${own}; complete -F _own own` };
    expect(await typed(shell, [`mirrorlatch run ${root} -- own --of`])).toEqual([
      `<run><${root}><--><own><--of-its-own>`,
    ]);
  },
);

test.skipIf(missingOf('zsh').length > 0)(
  'TAB in zsh finds the file that a package puts among its functions',
  async () => {
    const functions = scratchDirectory();
    symlinkSync(join(project, 'dist/completion/zsh'), join(functions, '_mirrorlatch'));
    const begin = `unsetopt beep; fpath=(${functions} $fpath); autoload -Uz compinit; compinit -u -D`;
    const lines = ['mirrorlatch rollb', 'mirrorlatch run --pin=c'];
    expect(await typed({ ...ZSH, begin }, lines)).toEqual(['<rollback>', '<run><--pin=cwd>']);
  },
);

describe('TAB in fish completes', () => {
  const skips = missingOf('fish').length > 0;
  const why = whyNotInstalled('fish');

  /** What `complete -C` offers for a line, without descriptions. */
  async function offered(line: string, cwd = '/', env = {}): Promise<string[]> {
    const script = `mirrorlatch completion fish | source; complete -C ${quoteForFish(line)}`;
    const { stdout } = await execa('fish', ['--no-config', '-c', script], {
      cwd,
      env: { PATH: `${programs()}:${process.env['PATH']}`, ...env },
    });
    return stdout.split('\n').map((each) => each.split('\t')[0] ?? '');
  }

  test.skipIf(skips)(`commands, options, values and snapshots${why}`, async () => {
    const { root } = await twoSnapshots();
    expect(await offered('mirrorlatch rollb')).toEqual(['rollback']);
    expect(await offered('mirrorlatch run --snap')).toEqual(['--snapshot']);
    expect(await offered('mirrorlatch run --pin=c')).toEqual(['--pin=cwd']);
    expect(await offered('mirrorlatch run --pin n')).toEqual(['namespace']);
    expect(await offered(`mirrorlatch rollback ${root} fi`)).toEqual(['first']);
    expect(await offered(`mirrorlatch run -m ${root} --snapshot=sec`)).toEqual([
      '--snapshot=second',
    ]);
    await runForJson(['tag', root, 'first', 'tested']);
    expect(await offered(`mirrorlatch tag ${root} second te`)).toEqual(['tested']);
    expect(await offered('mirrorlatch sync --hard-l')).toEqual(['--hard-links']);
  });

  test.skipIf(skips)(`paths, also of mirrors, whatever is in their names${why}`, async () => {
    const mirror = await twoSnapshots();
    for (const name of ["it's a mirror", 'a:b', 'c=d', 'e"f', 'g$h']) {
      const path = join(mirror.home, name);
      symlinkSync(mirror.root, path);
      const line = `mirrorlatch rollback ${quoteForFish(path)} fir`;
      expect(await offered(line), line).toEqual(['first']);
      const half = `mirrorlatch status ${mirror.home}/${name.slice(0, 1)}`;
      expect(await offered(half), half).toEqual([`${path}/`]);
    }
  });

  test.skipIf(skips)(
    `names of mirrors in the configuration, and their snapshots${why}`,
    async () => {
      const { home, root } = await twoSnapshots();
      const env = { MIRRORLATCH_CONFIG: configurationOf(home, root) };
      expect(await offered('mirrorlatch status deb', '/', env)).toEqual(['debian']);
      expect(await offered('mirrorlatch rollback debian fi', '/', env)).toEqual(['first']);
    },
  );

  test.skipIf(skips)(`a command behind --, and its files${why}`, async () => {
    const { root, home } = await twoSnapshots();
    expect(await offered(`mirrorlatch run ${root} -- setpri`)).toEqual(['setpriv']);
    expect(await offered(`mirrorlatch run ${root} -- cat sour`, home)).toEqual(['source/']);
  });
});

describe('Completion', () => {
  const answers = async (...words: readonly string[]) => {
    const result = await runProgram(['complete', 'zsh', '--', ...words]);
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toBe('');
    const [kind, ...lines] = result.stdout.trimEnd().split('\n');
    return { kind, values: lines.map((line) => line.split('\t')[0]) };
  };

  test('offers every command that the help shows, and no hidden one', async () => {
    const { values } = await answers('');
    const { stdout } = await runProgram(['--help']);
    const [, list = ''] = stdout.split('Commands:\n');
    const shown = list.split('\n\n')[0]?.match(/^ {2}[a-z][\w-]*/gm) ?? [];
    expect(values).toEqual(shown.map((name) => name.trim()));
    expect(values).not.toContain('complete');
  });

  test('offers the channels of a mirror where one is wanted, and no other symlink', async () => {
    const { root } = await twoSnapshots();
    await runForJson(['promote', root, 'first', '--to', 'production']);
    symlinkSync('/etc', join(root, 'elsewhere'));
    for (const words of [
      ['promote', root, '--to'],
      ['current', root, '--channel'],
    ])
      expect(await answers(...words, '')).toEqual({ kind: 'none', values: ['production'] });
  });

  test('offers the tags of a mirror where one is wanted, of snapshots and of its rules', async () => {
    const { root } = await twoSnapshots();
    await runForJson(['tag', root, 'first', 'tested', 'release-1']);
    await runForJson(['init', root, '--keep-tag', 'kept']);
    for (const words of [
      ['tag', root, 'second'],
      ['tag', root, 'first', '--remove'],
      ['prune', root, '--keep-tag'],
      ['sync', '/srv/source', root, '--tag'],
    ])
      expect(await answers(...words, '')).toEqual({
        kind: 'none',
        values: ['kept', 'release-1', 'tested'],
      });
  });

  test('offers commands and topics to help', async () => {
    const { values } = await answers('help', '');
    expect(values).toEqual(expect.arrayContaining(['sync', 'help', 'installing']));
  });

  test('offers names of the configuration alone where there is a use for nothing else', async () => {
    const { home, root } = await twoSnapshots();
    const env = { MIRRORLATCH_CONFIG: configurationOf(home, root) };
    for (const words of [['systemd'], ['cron']]) {
      const { stdout } = await runProgram(['complete', 'zsh', '--', ...words, ''], { env });
      expect(stdout).toBe(`none\ndebian\t${root}\n`);
    }
    const { stdout } = await runProgram(['complete', 'zsh', '--', 'config', 'show', ''], { env });
    expect(stdout).toBe(`directories\ndebian\t${root}\n`);
  });

  test('says nothing of what is not there', async () => {
    for (const words of [
      ['no-such', ''],
      ['rollback', '/no/such', ''],
      ['list', '/a', '/b'],
    ])
      expect(await answers(...words)).toMatchObject({ kind: 'none', values: [] });
  });
});
