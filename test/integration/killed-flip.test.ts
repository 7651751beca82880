import { expect, test } from 'vitest';
import { makeTripwire } from '../stress/tripwire.ts';
import { currentJson, wrongCurrentJson } from '../support/current-json.ts';
import { servePlainly } from '../support/http/plain-server.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { copiesOf, type SmallMirror } from '../support/small-mirror.ts';

/** So that nothing but `current` and `previous` is kept. */
const KEEP_LITTLE = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];

/** A sync of it was killed when `current` named the fourth snapshot, and `current.json` the third. */
const killedMirrors = copiesOf(async (mirror) => {
  const scratch = makeScratch();
  try {
    const tripwire = makeTripwire(scratch.path);
    for (const id of ['first', 'second']) await mirror.publish(id, { file: id });
    const syncAs = (id: string) => {
      mirror.change({ file: id });
      return ['sync', mirror.root, '--id', id, '--no-prune'];
    };
    const points = await tripwire.points(syncAs('third'));
    const at = points.find(({ path }) => /-> \S+\/mirror\/current\.json$/.test(path));
    if (at === undefined) throw new Error('current.json is not written by a rename');
    await tripwire.start(syncAs('fourth'), { at }).result;
  } finally {
    await scratch.remove();
  }
});

const named = ({ root }: SmallMirror): unknown => currentJson(root)?.['id'];

test('I3, I5: after a kill between the two renames, readers by current.json have what was current before, whole', async () => {
  const mirror = await killedMirrors();
  expect([mirror.linked('current'), named(mirror)]).toEqual(['fourth', 'third']);
  const site = await servePlainly(mirror.root);
  const read = await runProgram(
    ['run', '--http', `${site.url}/current/`, '--', 'curl', '-sS', `${site.url}/current/file`],
    { byLauncher: true },
  );
  expect(read.stdout, transcript(read)).toBe('third');
  const planned = await runForJson(['prune', mirror.root, ...KEEP_LITTLE, '--dry-run']);
  expect(planned).toMatchObject({ removed: ['first', 'second'] });
});

test('status names the snapshot that current.json still names', async () => {
  const mirror = await killedMirrors();
  const status = await runProgram(['status', mirror.root]);
  expect(status.exitCode, transcript(status)).toBe(69);
  expect(status.stdout).toMatch(
    /snapshot fourth was published but not recorded .* current\.json still names third; the next sync/,
  );
});

test.each([
  ['a sync with nothing to do', ['sync']],
  ['a prune that keeps little', ['prune', ...KEEP_LITTLE]],
])('I9: %s brings current.json up', async (_, [command = '', ...options]) => {
  const mirror = await killedMirrors();
  const result = await runForJson([command, mirror.root, ...options]);
  expect(result['outcome'] ?? 'unchanged').toBe('unchanged');
  expect(wrongCurrentJson(mirror.root)).toEqual([]);
  expect(named(mirror)).toBe('fourth');
  expect(mirror.snapshots()).toEqual(expect.arrayContaining(['fourth', 'third']));
  await runForJson(['status', mirror.root]);
});
