import { cpSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { smallMirror } from '../support/small-mirror.ts';

/** A directory that holds what its source has, and `local`, which only an option excludes. */
async function adopted(...mode: string[]) {
  const { home, source, change } = smallMirror();
  const directory = join(home, "known's");
  cpSync(source, directory, { recursive: true, preserveTimestamps: true });
  mkdirSync(join(directory, 'local'));
  writeFileSync(join(directory, 'local/notes'), 'precious');
  const from = ['--source', source, '--', '--exclude=/local/'];
  await runForJson(['init', '--adopt', directory, ...mode, ...from]);
  return { home, source, change, directory, root: `${directory}.mirror` };
}

/** Runs a command that a message gives, as a person pastes it. */
async function paste(text: string, command: RegExp): Promise<void> {
  const line = command.exec(text)?.[0];
  expect(line, text).toBeDefined();
  const program = `mirrorlatch() { ${process.execPath} ${bin} "$@"; }`;
  await execa('sh', ['-c', `${program}\n${line}`]);
}

test.for([['in place', '--in-place'], ['as snapshots']])(
  'what an option excludes of an adopted directory is not deleted unasked, but let go by --delete-excluded (%s)',
  async ([, ...mode]) => {
    const { directory, root } = await adopted(...mode);
    const said =
      /the sync would delete 2 entries of .* that the options of rsync exclude: local\/;/;
    const dryRun = await runProgram(['sync', root, '--dry-run', '--allow-shrink']);
    expect(dryRun.stderr, transcript(dryRun)).toMatch(said);
    const refused = await runProgram(['sync', root, '--allow-shrink']);
    expectFailure(refused, 65, said);
    expect(readdirSync(directory)).toContain('local');
    await paste(refused.stderr, /(?<=let them go: )mirrorlatch init [^\n]*$/m);
    await runForJson(['sync', root, '--allow-shrink']);
    expect(readdirSync(directory)).not.toContain('local');
  },
);

test('what an option excludes in place stays there by the rules that the message gives', async () => {
  const { directory, root, change } = await adopted('--in-place');
  const kept = ["it's [a] \\*", 'lines\nof two', 'local'];
  for (const name of kept.slice(0, 2)) writeFileSync(join(directory, name), 'mine');
  mkdirSync(join(directory, 'old'));
  for (const name of ['a.bak', 'gone']) writeFileSync(join(directory, 'old', name), 'old');
  const rules = ['--exclude=/local/', '--exclude=it*', '--exclude=lines*', '--exclude=*.bak'];
  await runForJson(['init', root, '--', ...rules]);
  const refused = await runProgram(['sync', root, '--allow-shrink']);
  expectFailure(refused, 65, /the sync would delete 5 entries/);
  await paste(refused.stderr, /mirrorlatch init [^\n]*?(?=\. To let)/);
  change({ file: 'changed' });
  await runForJson(['sync', root, '--allow-shrink']);
  expect(readdirSync(directory).sort()).toEqual(['below', 'file', ...kept, 'old'].sort());
  expect(readdirSync(join(directory, 'local'))).toEqual(['notes']);
  expect(readdirSync(join(directory, 'old'))).toEqual(['a.bak']);
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'unchanged' });
});

test('what an option excludes of an adopted directory may be moved away, and a later snapshot lacks what is excluded', async () => {
  const { home, directory, root, source, change } = await adopted();
  renameSync(join(directory, 'local'), join(home, 'local'));
  change({ added: 'new' });
  await runForJson(['sync', root]);
  const later = await runForJson([
    'sync',
    source,
    root,
    '--allow-shrink',
    '--',
    '--exclude=/added',
  ]);
  expect(later['plan']).toMatchObject({ deletedFiles: 1 });
  expect(readdirSync(directory).sort()).toEqual(['below', 'file']);
});
