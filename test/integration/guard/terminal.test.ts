import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import {
  type Caller,
  callers,
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  pathOf,
} from '../../support/guards.ts';
import { runsAsRoot } from '../../support/privilege.ts';
import { nobodyRunsTheProgram } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';
import { openTerminal } from '../../support/terminal.ts';

const mirrors = mirrorsWith('first', 'second');

/** The words that run a command as this user. */
const as = ({ user }: Caller): string[] =>
  user === undefined
    ? []
    : ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', '--'];

const CTRL_C = '\x03';
const CTRL_D = '\x04';
const CTRL_Z = '\x1a';
const CTRL_BACKSLASH = '\x1c';

describe('I10: on a terminal', () => {
  for (const { guard, caller, name } of guardedCallers) {
    test(`the command owns it, gets Ctrl-C once, and notices a change of its size, by ${name}`, async () => {
      const { root } = await mirrors();
      const command = inShell(
        `trap 'echo interrupted' INT; trap 'echo "size: $(stty size)"' WINCH
         [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo "terminal: $(tty)."
         while :; do sleep 0.05; done`,
      );
      const terminal = openTerminal([...as(caller), ...guard.around(root, [], command)], {
        env: { PATH: pathOf(guard) },
      });
      await terminal.shows(/terminal: \S+\./);
      const [, device = ''] = /terminal: (\S+)\./.exec(terminal.shownSince()) ?? [];
      terminal.type(CTRL_C);
      await terminal.shows('interrupted');
      await pause(200);
      expect(terminal.shownSince().match(/interrupted/g)).toHaveLength(1);
      await execa('stty', ['-F', device, 'rows', '37', 'cols', '111']);
      await terminal.shows('size: 37 111');
      terminal.type(CTRL_BACKSLASH);
      expect(await terminal.exitCode).toBe(128 + 3);
    });
  }

  for (const guard of oneOfEachKind) {
    test(`Ctrl-Z stops the command and fg continues it, by ${guard.name}`, async () => {
      const { root } = await mirrors();
      const terminal = openTerminal(['bash', '--norc', '--noprofile', '-i'], {
        env: { PS1: 'prompt> ', TERM: 'dumb', HISTFILE: undefined },
      });
      await terminal.shows('prompt>');
      const line = (command: string) => `${guard.around(root, [], [command]).join(' ')}\n`;
      terminal.type(line("sh -c 'printf rea%s dy; exec cat - file'"));
      await terminal.shows('ready');
      terminal.type('line one\n');
      await terminal.shows(/line one\r\n[\s\S]*line one\r\n/);
      terminal.type(CTRL_Z);
      await terminal.shows(/Stopped[\s\S]*prompt>/);
      terminal.type('jobs -l\n');
      await terminal.shows(/Stopped[\s\S]*prompt>/);
      terminal.type('fg\n');
      await terminal.shows('cat - file');
      terminal.type('line two\n');
      await terminal.shows(/line two\r\n[\s\S]*line two\r\n/);
      terminal.type(CTRL_D);
      await terminal.shows(/secondprompt>/);
      terminal.type('echo "code $?."\n');
      await terminal.shows('code 0.');
      terminal.type(line("sh -c 'printf rea%s dy; exec sleep 600'"));
      await terminal.shows('ready');
      terminal.type(CTRL_C);
      await terminal.shows('prompt>');
      terminal.type('echo "code $?."\n');
      await terminal.shows('code 130.');
      terminal.type('exit 3\n');
      expect(await terminal.exitCode).toBe(3);
    });
  }
});

describe("without a command, run opens the user's shell", () => {
  test.skipIf(!runsAsRoot || !nobodyRunsTheProgram)(
    'and says to an ordinary user, not to root, that sudo has no effect there',
    async () => {
      const { root } = await mirrors();
      for (const caller of callers) {
        const words = [
          ...as(caller),
          'env',
          'SHELL=/bin/sh',
          ...(guards[0]?.around(root, [], []) ?? []),
        ];
        const terminal = openTerminal(words, { env: { PS1: undefined, HOME: '/' } });
        await terminal.shows('(second) $ ');
        const said = terminal.shownSince().includes(`type: sudo mirrorlatch run ${root}`);
        expect(said, terminal.shownSince()).toBe(caller.user !== undefined);
        terminal.type('exit 0\r');
        expect(await terminal.exitCode).toBe(0);
      }
    },
  );

  const [run] = guards;
  const shells: readonly { readonly shell: string; readonly files: Record<string, string> }[] = [
    { shell: 'bash', files: { '.bashrc': "MINE=mine PS1='my prompt: '\n" } },
    {
      shell: 'zsh',
      files: { '.zshenv': 'MINE=mi\n', '.zshrc': "MINE=$MINE'ne' PROMPT='my prompt: '\n" },
    },
    {
      shell: 'fish',
      files: {
        '.config/fish/config.fish':
          'set MINE mine\nfunction fish_prompt; printf "my prompt: "; end\n',
      },
    },
    { shell: 'dash', files: {} },
  ];

  test.for(shells)(
    'with its own start-up files and a prompt that names the snapshot: $shell',
    async ({ shell, files }) => {
      const { root } = await mirrors();
      const home = scratchDirectory();
      for (const [name, content] of Object.entries(files)) {
        await execa('mkdir', ['-p', join(home, name, '..')]);
        writeFileSync(join(home, name), content);
      }
      const path = (await execa('which', [shell])).stdout;
      const terminal = openTerminal(
        ['env', `SHELL=${path}`, ...(run?.around(root, ['--snapshot', 'first'], []) ?? [])],
        { env: { HOME: home, XDG_CONFIG_HOME: undefined, ZDOTDIR: undefined, PS1: undefined } },
      );
      await terminal.shows(shell === 'dash' ? '(first) $ ' : /\(first\) .*my prompt: /);
      terminal.type('echo "<$MIRRORLATCH_ID $MINE>"; cat file\r');
      await terminal.shows(shell === 'dash' ? '<first >' : '<first mine>');
      await terminal.shows(/(?<!\/)first(?! )/);
      terminal.type('exit 7\r');
      expect(await terminal.exitCode).toBe(7);
    },
  );

  test.for(['bash', 'zsh', 'fish', 'dash'])(
    'and the name of a directory is no code in the prompt: %s',
    async (shell) => {
      const home = scratchDirectory();
      const root = join(home, 'tree');
      mkdirSync(join(root, '$(touch made)%`touch made`'), { recursive: true });
      symlinkSync('$(touch made)%`touch made`', join(root, 'current'));
      writeFileSync(join(home, '.zshrc'), 'setopt prompt_subst\n');
      const path = (await execa('which', [shell])).stdout;
      const terminal = openTerminal(
        ['env', `SHELL=${path}`, ...(run?.around(root, [], []) ?? [])],
        { env: { HOME: home, XDG_CONFIG_HOME: undefined, ZDOTDIR: undefined, PS1: undefined } },
      );
      await terminal.shows(/\(.*touch.made.*\) /);
      terminal.type('exit 7\r');
      expect(await terminal.exitCode).toBe(7);
      expect(readdirSync(join(root, 'current'))).toEqual([]);
    },
  );
});
