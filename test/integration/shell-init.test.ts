import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { type RealShell, SHELLS, typeInto } from '../support/shells.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { commandsReading } from '../support/watched-command.ts';

const twoSnapshots = mirrorsWith('first', 'second');

/** A mirror with two snapshots, in a directory whose name reveals careless quoting. */
async function awkwardMirror(): Promise<SmallMirror> {
  const home = join(scratchDirectory(), `it's "my" $mirror\n\`here\` \\ é`);
  mkdirSync(home);
  const mirror = smallMirror({ home });
  for (const id of ['first', 'second']) await mirror.publish(id, { file: id });
  return mirror;
}

/** The line for the start-up file. */
function startUp({ dialect }: RealShell, mirror: string, options: string): string {
  const line = `mirrorlatch shell-init ${dialect} --mirror ${mirror} ${options}`;
  return dialect === 'fish' ? `${line} | source` : `eval "$(${line})"`;
}

for (const shell of SHELLS) {
  test.runIf(mayMount)(
    `I1: ${shell.name}: a typed command sees one snapshot, also after sudo; bare it sees two`,
    async () => {
      const mirror = await awkwardMirror();
      const { env, whileFlipped } = commandsReading(mirror.root);
      const type = (line: string) => () =>
        typeInto(shell, [startUp(shell, shell.quote(mirror.root), '--sudo peruse'), line], env);
      expect(await whileFlipped(1, type('peruse 1'))).toEqual(['second', 'second', '/']);
      expect(mirror.linked('current')).toBe('first');
      expect(await whileFlipped(2, type('sudo peruse 2'))).toEqual(['first', 'first', '/']);
      expect(await whileFlipped(3, type('command peruse 3'))).toEqual(['second', 'first', '/']);
      expect(await whileFlipped(4, type('command sudo peruse 4'))).toEqual([
        'first',
        'second',
        '/',
      ]);
    },
  );
}

const oneOfEachKind = SHELLS.filter(({ name }) => ['bash', 'fish'].includes(name));

for (const shell of oneOfEachKind) {
  test.runIf(mayMount)(
    `${shell.name}: with --sticky apt-get install sees the snapshot that apt-get update saw`,
    async () => {
      const mirror = await awkwardMirror();
      const { bin, env } = commandsReading(mirror.root);
      const lines = [startUp(shell, shell.quote(mirror.root), '--sticky apt-get')];
      await typeInto(shell, [...lines, 'apt-get -q update'], env);
      await mirror.publish('third', { file: 'third' });
      await typeInto(shell, [...lines, 'apt-get install -y hello', 'apt-get update'], env);
      await typeInto(shell, [...lines, 'apt-get install -y hello'], env);
      expect(
        readFileSync(join(bin, '..', 'read'), 'utf8')
          .trim()
          .split('\n'),
      ).toEqual([...['second', 'second', 'third', 'third']]);
    },
  );
}

test('it prints the reader if there is one, with --root for each of several mirrors', async () => {
  const first = await twoSnapshots();
  const second = await twoSnapshots();
  const reader = join(first.root, '.mirrorlatch', 'reader');
  expect(await printed('bash', '-m', first.root, 'apt-get', 'apt')).toEqual([
    `alias apt-get='${reader} --chdir no -- apt-get'`,
    `alias apt='${reader} --chdir no -- apt'`,
  ]);
  expect(
    await printed('sh', '-m', first.root, '-m', second.root, '--wait', '1500ms', 'apt'),
  ).toEqual([
    `alias apt='${reader} --root ${first.root} --root ${second.root} --wait 2s --chdir no -- apt'`,
  ]);
  expect(await printed('bash', '-m', first.root, '--pin', 'cwd', '--', 'apt', 'apt')).toEqual([
    `alias apt='${reader} --pin cwd -- apt'`,
  ]);
});

test('without a reader, or with --sticky, it prints mirrorlatch run, by its path in PATH', async () => {
  const mirror = await twoSnapshots();
  const { bin, env } = commandsReading(mirror.root);
  const program = join(bin, 'mirrorlatch');
  const ofSticky = ['-m', mirror.root, '--sticky', '--or-current', 'apt'];
  const sticky = await runProgram(['shell-init', 'bash', ...ofSticky], { env });
  expect(sticky.stdout, transcript(sticky)).toBe(
    `alias apt='${program} run ${mirror.root} --preset --or-current --chdir no -- apt'\n`,
  );
  rmSync(mirror.state('reader'));
  const absent = await runProgram(['shell-init', 'bash', '-m', mirror.root, 'apt'], { env });
  expect(absent.stdout).toBe(`alias apt='${program} run ${mirror.root} --chdir no -- apt'\n`);
  const nowhere = await runProgram(['shell-init', 'bash', '-m', '/no/mirror yet', 'apt'], {
    env: { PATH: '/usr/bin:/bin' },
  });
  expect(nowhere.stdout).toBe(
    `alias apt='mirrorlatch run '\\''/no/mirror yet'\\'' --chdir no -- apt'\n`,
  );
  expect(absent.stderr).toBe('');
  expect(nowhere.stderr).toContain('warning: there is no mirror in /no/mirror yet yet');
});

test('ROOT may be relative, and is printed absolute, without .. but with its symlinks', async () => {
  const mirror = await twoSnapshots();
  await execa('ln', ['-s', mirror.root, join(mirror.home, 'link')]);
  for (const [root, shown] of [
    ['mirror', 'mirror'],
    ['./mirror//', 'mirror'],
    ['link', 'link'],
    ['link/../mirror', 'mirror'],
  ] as const) {
    const { stdout } = await runProgram(['shell-init', 'sh', '-m', root, 'apt'], {
      cwd: mirror.home,
    });
    expect(stdout).toContain(`'${join(mirror.home, shown)}/.mirrorlatch/reader `);
  }
});

test.runIf(mayMount)('a mirror that is mounted noexec is read by /bin/sh', async () => {
  const mirror = await twoSnapshots();
  const mounted = join(mirror.home, 'mounted');
  mkdirSync(mounted);
  await execa('mount', ['--bind', mirror.root, mounted]);
  await execa('mount', ['-o', 'remount,bind,ro,noexec', mounted]);
  const { env, whileFlipped } = commandsReading(mounted, mirror.root);
  for (const [index, shell] of oneOfEachKind.entries()) {
    const lines = [startUp(shell, shell.quote(mounted), 'peruse'), `peruse ${index}`];
    const [before, after, cwd] = await whileFlipped(index, () => typeInto(shell, lines, env));
    expect([before, cwd], shell.name).toEqual([after, '/']);
  }
  const { stdout } = await runProgram(['shell-init', 'sh', '-m', mounted, 'apt']);
  expect(stdout).toBe(`alias apt='/bin/sh ${mounted}/.mirrorlatch/reader --chdir no -- apt'\n`);
});

test('zsh completes the arguments of a guarded command as those of the bare command', async () => {
  const mirror = await twoSnapshots();
  const home = scratchDirectory();
  const init = join(home, 'init.zsh');
  const lines = await printed('zsh', '-m', mirror.root, '--sudo', 'apt-get');
  const undo = (await runProgram(['shell-init', 'zsh', '--remove', '--sudo', 'apt-get'])).stdout;
  writeFileSync(init, lines.join('\n'));
  writeFileSync(join(home, 'undo.zsh'), undo);
  writeFileSync(join(home, 'session.zsh'), COMPLETION_SESSION);
  const { stdout } = await execa('zsh', ['-f', join(home, 'session.zsh'), home], {
    env: { TERM: 'dumb' },
    timeout: 30_000,
  });
  expect(stdout.split('\n')).toEqual([
    'apt-get: of-apt-get-word-2',
    'sudo apt-get: of-apt-get-word-2',
    'left-behind:0,0',
  ]);
});

/** Presses Tab on a terminal made by zsh itself (zshmodules(1), zsh/zpty). */
const COMPLETION_SESSION = `
zmodload zsh/zpty
zpty terminal 'TERM=dumb PS1= zsh -f -i'
say() zpty -w terminal "$1"
hear() { zpty -r terminal heard "*$1*" }
say 'autoload -Uz compinit; compinit -u -D; unsetopt beep'
say '_of_apt_get() { compadd of-\${words[1]}-word-$CURRENT }; compdef _of_apt_get apt-get'
say "source $1/init.zsh"
say 'echo is-"ready"'
hear is-ready
for line in 'apt-get' 'sudo apt-get'; do
  zpty -w -n terminal "$line of-"$'\\t'
  hear 'word-[0-9]'
  [[ $heard =~ 'of-[a-z-]+[0-9]+' ]] && print -r -- "$line: $MATCH"
  zpty -w -n terminal $'\\C-u'
done
say "source $1/undo.zsh"
say 'echo left-"behind":\${#\${(k)_comps[(R)_mirrorlatch*]}},\${+functions[_mirrorlatch_guarded]}.'
hear 'left-behind:*.'
[[ $heard =~ 'left-behind:[^.]*' ]] && print -r -- $MATCH
zpty -d terminal
`;

test('an invalid command line exits with 64 and prints no code', async () => {
  const mirror = await twoSnapshots();
  const of = (...words: string[]) => runProgram(['shell-init', ...words]);
  for (const [result, ...said] of [
    [await of('bash', 'apt'), /no mirror was given/],
    [await of('bash', '-m', mirror.root), /no command was named/],
    [await of('bash', '--remove'), /no command was named/],
    [await of('tcsh', '-m', mirror.root, 'apt'), /tcsh/],
    [await of('bash', '-m', mirror.root, 'a b'), /"a b" cannot have an alias/],
    [await of('bash', '-m', mirror.root, '--', '-x'), /"-x" cannot have an alias/],
    [await of('fish', '-m', mirror.root, 'end'), /a word of the shells/],
    [await of('bash', '-m', mirror.root, 'sudo'), /--sudo/],
    [await of('bash', '-m', mirror.root, '--or-current', 'apt'), /--sticky/],
    [await of('bash', '-m', '', 'apt'), /cannot name a mirror/],
    [await of('bash', '-m', mirror.root, '--wait', 'soon', 'apt'), /duration/],
    [await of('bash', '-m', mirror.root, '--pin', 'hard', 'apt'), /namespace/],
  ] as const) {
    expectFailure(result, 64, ...said);
    expect(result.stdout).toBe('');
  }
});

async function printed(...words: string[]): Promise<string[]> {
  const result = await runProgram(['shell-init', ...words]);
  expect(result.exitCode, transcript(result)).toBe(0);
  return result.stdout.trimEnd().split('\n');
}
