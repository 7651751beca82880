import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  init,
  list,
  MirrorlatchError,
  pin,
  planSync,
  prune,
  push,
  type SyncOptions,
  status,
  sync,
  type WatchEvent,
  wait,
  watch,
} from '../../src/index.ts';
import { oneOfEachKind, runGuarded } from '../support/guards.ts';
import { transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

/** A mirror with one snapshot, and a source that changes at each call. */
async function makeMirror() {
  const place = scratchDirectory();
  const source = join(place, 'source');
  const root = join(place, 'mirror');
  mkdirSync(source);
  let generation = 0;
  const publish = async () => {
    generation += 1;
    writeFileSync(join(source, 'generation'), `generation ${generation}`);
    return sync({ source, root, id: `g${generation}`, retention: { keepLast: 1, graceMs: 0 } });
  };
  await publish();
  return { root, publish };
}

describe('A Node program', () => {
  test('keeps the snapshot that it has pinned until it releases it', async () => {
    const { root, publish } = await makeMirror();
    const held = await pin({ root });
    await publish();
    await publish();
    expect(held.id).toBe('g1');
    expect(readFileSync(join(held.path, 'generation'), 'utf8')).toBe('generation 1');
    const child = await runGuarded(oneOfEachKind[1], root, ['cat', 'generation']);
    expect(child.stdout, transcript(child)).toBe('generation 3');
    expect((await prune({ root })).kept.find(({ id }) => id === 'g1')?.reasons).toEqual([
      'is held by a reader',
    ]);
    held.release();
    expect((await prune({ root })).removed).toEqual(['g1']);
    expect(existsSync(held.path)).toBe(false);
  });

  test('pins what is current then, if a snapshot is removed just before it is held', async () => {
    const { root, publish } = await makeMirror();
    await publish();
    // What a rollback and a prune do after the lease was opened, and before flock(1) locks it.
    const goes = `if [ "$1" = --shared ] && [ -e '${root}/snapshots/g2' ]; then
      ln -s snapshots/g1 '${root}/new' && mv -T '${root}/new' '${root}/current'
      rm -r '${root}/snapshots/g2' && rm -f '${root}/.mirrorlatch/leases/g2'
    fi`;
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.stubEnv('PATH', standInFor('flock', join(root, '..', 'programs'), goes));
    const held = await pin({ root });
    held.release();
    expect(held.id).toBe('g1');
  });

  test('gets no pin for what is no snapshot, nor for one that its lease has outlived', async () => {
    const { root } = await makeMirror();
    writeFileSync(join(root, '.mirrorlatch', 'leases', 'gone'), '');
    for (const id of ['', '.', '..', '../reader', 'gone', 'live', 'none']) {
      await expect(pin({ root, id }), id).rejects.toMatchObject({ code: 'NO_MIRROR' });
    }
    (await pin({ root, id: 'g1' })).release();
  });

  test('does not get behind a gate that is closed just before it holds the tree', async () => {
    const place = scratchDirectory();
    const [root, source] = [join(place, 'mirror'), join(place, 'source')];
    mkdirSync(source);
    writeFileSync(join(source, 'file'), 'content');
    init({ root, inPlace: true, source });
    await sync({ root });
    onTestFinished(() => void vi.unstubAllEnvs());
    // It looks at the gate, takes the lease by flock(1), and looks again.
    const close = `'${launcher}' gate close '${root}' >/dev/null 2>&1`;
    const closes = `[ "$1" != --shared ] || PATH='${process.env['PATH']}' ${close}`;
    vi.stubEnv('PATH', standInFor('flock', join(place, 'programs'), closes));
    await expect(pin({ root })).rejects.toMatchObject({ code: 'BUSY' });
  });

  test('gets USAGE for a number that is none or out of range, which removes and publishes nothing', async () => {
    const { root, publish } = await makeMirror();
    await publish();
    const [source, untouched] = [join(root, '../source'), join(root, '../untouched')];
    const before = describeTree(root);
    const groups: [Partial<SyncOptions>, string][] = [
      [{ retention: { keepLast: 1, graceMs: Number.NaN } }, 'retention.graceMs is NaN'],
      [{ retention: { keepLast: -1 } }, 'retention.keepLast is -1'],
      [{ retention: { keepLast: 1.5 } }, 'retention.keepLast is 1.5'],
      [{ retention: { keepWithinMs: Number.NaN } }, 'retention.keepWithinMs is NaN'],
      [{ lock: { waitMs: -1 } }, 'lock.waitMs is -1'],
      [{ lock: { staleAfterMs: Number.NaN } }, 'lock.staleAfterMs is NaN'],
      [{ retry: { retries: Number.NaN } }, 'retry.retries is NaN'],
      [{ retry: { delayMs: -5 } }, 'retry.delayMs is -5'],
      [{ drain: { drainMs: Number.NaN } }, 'drain.drainMs is NaN'],
      [{ drain: { afterDrain: 'wait' as never } }, "drain.afterDrain is 'wait'"],
      [{ shrink: { maxPercent: 500 } }, 'shrink.maxPercent is 500'],
      [{ shrink: { maxPercentIn: { pool: Number.NaN } } }, 'shrink.maxPercentIn is { pool: NaN }'],
      [{ shrink: { isAllowed: 'no' as never } }, "shrink.isAllowed is 'no'"],
      [{ shrink: 30 as never }, 'shrink is 30, and must be an object'],
      [{ retention: { keep: 1 } as never }, 'there is no option retention.keep'],
      [{ hooks: { timeoutMs: -1 } }, 'hooks.timeoutMs is -1'],
      [{ hooks: { commands: { 'on-fail': ['x'] } as never } }, 'hooks.commands is '],
      [{ hooks: { commands: { 'on-failure': 'x' as never } } }, 'hooks.commands is '],
      [{ at: new Date('never') }, 'at is Invalid Date'],
      [{ rsyncOptions: '--exclude=x' as never }, "rsyncOptions is '--exclude=x'"],
      [{ rsyncOptions: [1] as never }, 'rsyncOptions is [ 1 ]'],
    ];
    for (const [options, message] of groups) {
      const usage = { code: 'USAGE', message: expect.stringContaining(message) };
      const destination = `host:${untouched}`;
      await expect(sync({ root, source, ...options }), message).rejects.toMatchObject(usage);
      await expect(sync({ root: untouched, source, ...options })).rejects.toMatchObject(usage);
      await expect(planSync({ root, source, ...options })).rejects.toMatchObject(usage);
      await expect(push({ source, destination, ...options })).rejects.toMatchObject(usage);
    }
    const retention = { keepLast: 1, graceMs: Number.NaN };
    const retry = { retries: -1 };
    const limited = {
      code: 'USAGE',
      message: expect.stringMatching(/^[\w.]+ is .*, and must be /),
    };
    await expect(prune({ root, retention })).rejects.toMatchObject(limited);
    await expect(prune({ root, retention, dryRun: true })).rejects.toMatchObject(limited);
    await expect(wait({ root, timeoutMs: Number.NaN })).rejects.toMatchObject(limited);
    for (const act of [
      () => init({ root, retention }),
      () => init({ root, shrink: { maxPercent: 500 } }),
      () => status(root, { maxAgeMs: Number.NaN }),
      () => watch({ root, pollMs: 0 }),
      () => watch({ root, command: { words: ['true'], retry } }),
    ]) {
      expect(act).toThrow(expect.objectContaining(limited));
    }
    expect(difference(before, describeTree(root))).toEqual([]);
    expect(existsSync(untouched)).toBe(false);
  });

  test('may wait for ever', async () => {
    const { root, publish } = await makeMirror();
    await publish();
    const forever = Number.POSITIVE_INFINITY;
    const { removed } = await prune({
      root,
      lock: { waitMs: forever },
      retention: { keepLast: 1, graceMs: forever },
    });
    expect(removed).toEqual([]);
  });

  test('gets each publication once and in order, however fast they come', async () => {
    const { root, publish } = await makeMirror();
    const stop = new AbortController();
    const heard: WatchEvent[] = [];
    const listening = (async () => {
      for await (const entry of watch({ root, signal: stop.signal })) {
        heard.push(entry);
        if (entry.event === 'published' && entry.id === 'g8') stop.abort();
      }
    })();
    for (let count = 2; count <= 8; count += 1) await publish();
    await listening;
    const published = heard.flatMap((entry) => (entry.event === 'published' ? [entry.id] : []));
    expect(published).toEqual(['g2', 'g3', 'g4', 'g5', 'g6', 'g7', 'g8']);
  });

  test('gets a MirrorlatchError with the cause and a hint', async () => {
    const root = join(scratchDirectory(), 'nothing here');
    const error = await pin({ root }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MirrorlatchError);
    expect(error).toMatchObject({ code: 'NO_MIRROR', exitCode: 66 });
    expect((error as MirrorlatchError).hint).toContain('Check the path');
    expect(() => list(root)).toThrow(MirrorlatchError);
  });
});
