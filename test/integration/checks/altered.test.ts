import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import { fileListOf } from '../../support/file-list.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { runForJson, runProgram, transcript } from '../../support/program.ts';
import type { SmallMirror } from '../../support/small-mirror.ts';
import { checkedMirror, summedFiles } from '../../support/summed-files.ts';

const inPlace = mirrorsInPlace();

const AGAIN = /the hook before-publish has changed the tree, so it is looked at again/;

/** A function that syncs the mirror with this hook before the publication. */
function withHook({ home, root, source }: SmallMirror, hook: string, ...lines: string[]) {
  const file = join(home, 'hook.toml');
  const table = ['[mirrors.m]', `root = "${root}"`, `source = "${source}/"`, 'check = "auto"'];
  writeFileSync(file, [...table, ...lines, `before-publish = ${JSON.stringify(hook)}`].join('\n'));
  return (...words: string[]) =>
    runProgram(['--config', file, 'sync', 'm', '--retries', '0', ...words]);
}

async function expectSound({ root }: SmallMirror): Promise<void> {
  expect(await runForJson(['verify', root, '--bitrot', '--all'])).toMatchObject({ isWhole: true });
}

describe('the hook before the publication', () => {
  test.each(['a snapshot', 'in place'])(
    'cannot break a file that was checked: %s',
    async (mode) => {
      const mirror = mode === 'in place' ? await inPlace() : await checkedMirror();
      mirror.change(summedFiles('second'));
      // Neither its size nor its time shows that.
      const breaks =
        'cp -p images/a.iso old && echo -n Second | dd of=old conv=notrunc && touch -r images/a.iso old && mv old images/a.iso';
      // The source cannot mend it, so it is not asked again.
      const result = await withHook(mirror, breaks)('--retries', '5');
      expectFailure(
        result,
        65,
        AGAIN,
        /: after the hook before-publish, the new tree is not .*images\/a\.iso: sha256/,
        /Mend the hook: .* It is the key before-publish .* --no-hooks\./,
      );
      const explained = await runProgram(['explain', mirror.root]);
      for (const said of [result.stderr, explained.stdout])
        expect(said).not.toMatch(/heals by itself|try 1/);
      expect(explained.stdout).toMatch(
        /Mend the hook before-publish: .* mirrorlatch config show /s,
      );
      const mended = await withHook(mirror, 'true')();
      expect(mended.exitCode, transcript(mended)).toBe(0);
      expect(readFileSync(join(mirror.root, 'current/images/a.iso'), 'utf8')).toBe('second a');
      await expectSound(mirror);
    },
  );

  test.each(['a snapshot', 'in place'])(
    'may add, replace and remove others, and that is what is recorded: %s',
    async (mode) => {
      const mirror = mode === 'in place' ? await inPlace() : await checkedMirror();
      mirror.change({ ...summedFiles('second'), other: 'of the source', gone: 'of the source' });
      const adds = 'echo new > added; rm gone other; echo of the person > other; chmod 755 below';
      const result = await withHook(mirror, adds)();
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr).toMatch(AGAIN);
      await expectSound(mirror);
      mirror.change(summedFiles('third'));
      expect((await withHook(mirror, 'true')()).exitCode).toBe(0);
      expect(existsSync(join(mirror.root, 'current/added'))).toBe(false);
      expect(readFileSync(join(mirror.root, 'current/other'), 'utf8')).toBe('of the source');
      await expectSound(mirror);
    },
  );

  test.each(['a snapshot', 'in place'])(
    'costs no second check if it changes nothing: %s',
    async (mode) => {
      const mirror = mode === 'in place' ? await inPlace() : await checkedMirror();
      mirror.change(summedFiles('second'));
      const result = await withHook(mirror, 'cat images/a.iso; ls -lR; touch /tmp')();
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr).not.toMatch(AGAIN);
    },
  );

  test('keeps the next sync from the list of files, if the tree is not what that says', async () => {
    const mirror = await checkedMirror();
    const name = 'fullfiletimelist-test';
    let seconds = Date.now() / 1_000;
    const publish = (word: string) => {
      mirror.change(summedFiles(word));
      // The list has no fractions of a second, and the lists of sums are of the same size.
      seconds += 2;
      for (const path of Object.keys(summedFiles(word)))
        utimesSync(join(mirror.source, path), seconds, seconds);
      writeFileSync(join(mirror.source, name), fileListOf(mirror.source, { skip: [name] }));
    };
    const sync = (hook: string) => withHook(mirror, hook, 'file-list = "auto"')('--verbose');
    publish('second');
    await sync('true');
    publish('third');
    const altered = await sync('echo new > added');
    expect(altered.stderr).toMatch(AGAIN);
    expect(mirror.history().at(-1)).toMatchObject({ look: 'file-list' });
    publish('fourth');
    expect((await sync('true')).stderr).toMatch(/looking at everything/);
    expect(existsSync(join(mirror.root, 'current/added'))).toBe(false);
  });

  test('leads no recycled snapshot astray', async () => {
    const mirror = await checkedMirror();
    const unseen = 'cp -p file old && printf CONTENT > old && touch -r file old && mv old file';
    for (const word of ['second', 'third', 'fourth']) {
      mirror.change(summedFiles(word));
      const sync = withHook(
        mirror,
        word === 'third' ? unseen : 'true',
        'keep-last = 1',
        'grace = 0',
      );
      const result = await sync('--id', word);
      expect(result.exitCode, transcript(result)).toBe(0);
    }
    await expectSound(mirror);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('CONTENT');
  });
});
