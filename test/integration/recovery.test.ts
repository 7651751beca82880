import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { wrongCurrentJson } from '../support/current-json.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { rsyncProcesses, startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const twoSnapshots = mirrorsWith('first', 'second');

/** A leftover of a crash, made by hand in a mirror with the snapshots first and second. */
interface Leftover {
  readonly kind: string;
  /** The human output of status. */
  readonly said: RegExp;
  make(mirror: SmallMirror): void;
  /** What else must hold after the next sync. */
  check?(mirror: SmallMirror): void;
}

const leftovers: readonly Leftover[] = [
  {
    kind: 'unfinished-tree',
    said: /a sync that did not finish left .*staging\/killed/,
    make: (mirror) => {
      mkdirSync(mirror.state('staging', 'killed'));
      writeFileSync(mirror.state('staging', 'killed', 'file'), 'half of i');
    },
  },
  {
    kind: 'unfinished-clone',
    said: /an interrupted clone left .*staging\/killed\.clone/,
    make: (mirror) => {
      mkdirSync(mirror.state('staging', 'killed.clone'));
      writeFileSync(mirror.state('staging', 'killed.clone', 'file'), 'second');
    },
  },
  {
    kind: 'unpublished-snapshot',
    said: /snapshot killed was made but not published/,
    make: (mirror) => {
      cpSync(mirror.source, join(mirror.root, 'snapshots', 'killed'), { recursive: true });
      writeFileSync(mirror.state('leases', 'killed'), '', { mode: 0o444 });
    },
    check: (mirror) => {
      expect(mirror.snapshots()).toEqual(['first', 'next', 'second']);
      expect(readdirSync(mirror.state('leases')).sort()).toEqual(['first', 'next', 'second']);
    },
  },
  {
    kind: 'unrecorded-publication',
    said: /snapshot second was published but not recorded in history/,
    make: (mirror) => {
      const lines = readFileSync(mirror.state('history.jsonl'), 'utf8').trimEnd().split('\n');
      writeFileSync(mirror.state('history.jsonl'), `${lines.slice(0, -1).join('\n')}\n`);
      const file = join(mirror.root, 'current.json');
      writeFileSync(file, readFileSync(file, 'utf8').replaceAll('second', 'first'));
    },
    check: (mirror) => {
      expect(flips(mirror)).toEqual([
        ['first', null],
        ['second', 'first'],
        ['next', 'second'],
      ]);
    },
  },
  {
    kind: 'missing-lease',
    said: /snapshot first has no lease file/,
    make: (mirror) => rmSync(mirror.state('leases', 'first')),
    check: (mirror) => {
      const lease = statSync(mirror.state('leases', 'first'));
      expect(lease.mode & 0o777).toBe(0o444);
      expect(lease.size).toBe(0);
    },
  },
  {
    kind: 'unfinished-removal',
    said: /an interrupted removal left .*trash\/old\.1; the next prune removes it/,
    make: (mirror) => {
      mkdirSync(mirror.state('trash', 'old.1', 'below'), { recursive: true });
      writeFileSync(mirror.state('trash', 'old.1', 'below', 'file'), 'old');
    },
  },
  {
    kind: 'lock-remains',
    said: /an interrupted command left .*sync\.lock\.token\.new/,
    make: (mirror) => {
      mkdirSync(mirror.state('sync.lock.token.new', 'token'), { recursive: true });
      symlinkSync('snapshots/second', mirror.state('sync.lock.token.new', 'token', 'link'));
    },
  },
];

describe('what a crash left', () => {
  test.for(leftovers)('$kind: status reports it, and the next sync repairs it', async (one) => {
    const mirror = await twoSnapshots();
    one.make(mirror);
    const before = describeTree(mirror.root);
    const status = await runProgram(['status', mirror.root, '--json']);
    expect(status.exitCode, transcript(status)).toBe(69);
    expect(status.json()).toMatchObject({ findings: [{ kind: one.kind }], isHealthy: false });
    expect(difference(before, describeTree(mirror.root)), 'status only looks').toEqual([]);

    mirror.change({ file: 'third' });
    expect(await mirror.sync('--id', 'next')).toMatchObject({
      outcome: 'published',
      recovered: [{ kind: one.kind }],
    });
    await isWhole(mirror);
    one.check?.(mirror);
  });

  test('all at once: status reports each, and a sync with nothing to do repairs them all', async () => {
    const mirror = await twoSnapshots();
    for (const one of leftovers) one.make(mirror);
    const { stdout } = await runProgram(['status', mirror.root]);
    expect(stdout).toMatch(/needs attention$/m);
    for (const { said } of leftovers) expect(stdout).toMatch(said);
    const { outcome, recovered } = await mirror.sync('--id', 'next');
    expect(outcome).toBe('unchanged');
    const kinds = (recovered as { kind: string }[]).map(({ kind }) => kind);
    expect(new Set(kinds)).toEqual(new Set(leftovers.map(({ kind }) => kind)));
    await isWhole(mirror);
  });

  test.for(['prune', 'rollback'])(
    '%s repairs it too, and keeps the tree that only the next sync can use',
    async (command) => {
      const mirror = await twoSnapshots();
      for (const one of leftovers) one.make(mirror);
      const result = await runProgram([command, mirror.root]);
      expect(result.exitCode, transcript(result)).toBe(0);
      const { findings } = (await runProgram(['status', mirror.root, '--json'])).json();
      const kinds = (findings as { kind: string }[]).map(({ kind }) => kind);
      expect(new Set(kinds)).toEqual(new Set(['unfinished-tree']));
    },
  );
});

test('a history whose last line a crash tore is read, and continues on a new line', async () => {
  const mirror = await twoSnapshots();
  const text = readFileSync(mirror.state('history.jsonl'), 'utf8');
  writeFileSync(mirror.state('history.jsonl'), `${text}{"event":"unchan`);
  expect(await runForJson(['status', mirror.root])).toMatchObject({
    lastSync: { event: 'published', id: 'second' },
  });
  await mirror.publish('third', { file: 'third' });
  const lines = readFileSync(mirror.state('history.jsonl'), 'utf8').trimEnd().split('\n');
  expect(lines.slice(-2)[0]).toBe('{"event":"unchan');
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ event: 'published', id: 'third' });
});

test('a half-made mirror is finished by the next sync', async () => {
  const mirror = smallMirror();
  mkdirSync(join(mirror.root, 'snapshots'), { recursive: true });
  mkdirSync(mirror.state());
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  await isWhole(mirror);
});

test('after a real kill, status reports the unfinished tree, and after the next sync it is healthy', async () => {
  const mirror = await twoSnapshots();
  const holder = await startSlowSync(mirror, { id: 'killed' });
  holder.kill('SIGKILL');
  await holder.result;
  await expect.poll(() => rsyncProcesses(mirror.root)).toEqual([]);
  const status = await runProgram(['status', mirror.root, '--json']);
  expect(status.exitCode, transcript(status)).toBe(69);
  expect(status.json()).toMatchObject({
    lock: { state: { kind: 'dead', owner: { pid: holder.pid } } },
    findings: [{ kind: 'unfinished-tree', path: mirror.state('staging', 'killed') }],
    problems: ['the holder of the lock is dead', 'something was left behind'],
    isHealthy: false,
  });
  await mirror.sync();
  await isWhole(mirror);
});

describe('after a power cut', () => {
  const ways = [
    { way: 'a sync', mirrorWith: 'first', words: [] },
    { way: 'the first sync', mirrorWith: undefined, words: [] },
    { way: 'a sync by copies', mirrorWith: 'first', words: ['--clone', 'copy'] },
    { way: 'a whole pass', mirrorWith: 'first', words: ['--strategy', 'link-dest'] },
  ] as const;

  test.for(ways)(
    'I2, I7, I8: $way that continues checks what was left, publishes no zeros and fetches nothing else again',
    async ({ mirrorWith, words }) => {
      const mirror = mirrorWith === undefined ? smallMirror() : await twoSnapshots();
      const daemon = await startRsyncDaemon([
        {
          name: 'tree',
          path: mirror.source,
          more: ['transfer logging = yes', 'log format = sent %f: %b'],
        },
      ]);
      onTestFinished(() => daemon.stop());
      const source = `${daemon.url('tree')}/`;
      const size = 200_000;
      const holder = await startSlowSync(mirror, {
        id: 'killed',
        source,
        seconds: 5,
        words,
        files: { 'a-lost': 'content', 'b-lost': randomBytes(50_000), 'c-whole': randomBytes(size) },
      });
      holder.kill('SIGKILL');
      await holder.result;
      await expect.poll(() => rsyncProcesses(mirror.root)).toEqual([]);
      const tree = mirror.state('staging', 'killed');
      for (const name of ['a-lost', 'b-lost']) loseContent(join(tree, name));
      const frozen = mirror
        .snapshots()
        .map((id) => [id, describeTree(join(mirror.root, 'snapshots', id))] as const);
      writeFileSync(mirror.state('staging', '.boot'), 'of an earlier boot');

      const start = statSync(daemon.log).size;
      const next = await runProgram([
        'sync',
        source,
        mirror.root,
        '--other-source',
        '--id',
        'next',
        ...words,
      ]);
      expect(next.exitCode, transcript(next)).toBe(0);
      await isWhole(mirror);
      expect(readdirSync(mirror.state('staging'))).toEqual([]);
      for (const [id, before] of frozen) {
        expect(difference(before, describeTree(join(mirror.root, 'snapshots', id)))).toEqual([]);
      }
      const sent = () => {
        const log = readFileSync(daemon.log, 'utf8').slice(start);
        const lines = [...log.matchAll(/sent (\S+): (\d+)$/gm)];
        return new Map(lines.map(([, name, bytes]) => [name, Number(bytes)]));
      };
      await expect.poll(() => sent().get('slow')).toBeDefined();
      expect(next.stderr).toContain('the machine was restarted');
      expect(sent().get('b-lost')).toBeGreaterThan(50_000);
      expect(sent().get('c-whole')).toBeLessThan(size / 20);
    },
  );
});

test('a kill between the two renames of a flip costs no snapshot: previous names again what it did', async () => {
  const mirror = await twoSnapshots();
  const previous = join(mirror.root, 'previous');
  rmSync(previous);
  symlinkSync('snapshots/second', previous);
  const status = await runProgram(['status', mirror.root]);
  expect(status.exitCode, transcript(status)).toBe(69);
  expect(status.stdout).toMatch(/left previous at what is current; it named snapshot first;/);

  const nothing = '--keep-last 1 --keep-within 0 --grace 0'.split(' ');
  for (const words of [['--dry-run'], []]) {
    const result = await runForJson(['prune', mirror.root, ...nothing, ...words]);
    expect(result).toMatchObject({
      removed: [],
      kept: [{ id: 'first', reasons: ['is previous'] }, { id: 'second' }],
    });
  }
  expect(readlinkSync(previous)).toBe('snapshots/first');
  await isWhole(mirror);
  expect(await runForJson(['rollback', mirror.root])).toMatchObject({ id: 'first' });
});

test('a dry run of prune after a kill between the two renames of a flip says what prune then does', async () => {
  const mirror = await twoSnapshots();
  await mirror.publish('third', { file: 'third' });
  cpSync(mirror.source, join(mirror.root, 'snapshots', 'killed'), { recursive: true });
  writeFileSync(mirror.state('leases', 'killed'), '', { mode: 0o444 });
  rmSync(join(mirror.root, 'previous'));
  symlinkSync('snapshots/third', join(mirror.root, 'previous'));
  const rules = '--keep-within 0 --grace 0'.split(' ');
  for (const last of ['3', '1']) {
    const words = ['prune', mirror.root, '--keep-last', last, ...rules];
    const { snapshots: _, ...planned } = await runForJson([...words, '--dry-run']);
    expect(await runForJson(words)).toEqual(planned);
  }
  expect(mirror.snapshots()).toEqual(['second', 'third']);
});

test('I7: a snapshot that was renamed but not flipped is continued, not fetched again', async () => {
  const mirror = await twoSnapshots();
  mirror.change({ big: 'x'.repeat(1_000_000) });
  const unpublished = join(mirror.root, 'snapshots', 'killed');
  writeFileSync(mirror.state('leases', 'killed'), '', { mode: 0o444 });
  await execa('cp', ['-a', '--', mirror.source, unpublished]);
  const { ino } = statSync(join(unpublished, 'big'));
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  writeFileSync(
    mirror.state('staging', '.boot'),
    `${boot} ${statSync(mirror.state('staging')).dev}\n`,
  );
  expect(await mirror.sync('--id', 'next')).toMatchObject({ outcome: 'published' });
  expect(statSync(join(mirror.root, 'current', 'big')).ino).toBe(ino);
  await isWhole(mirror);
});

/** What a power cut can leave of a file: its size and its times, but not its content. */
function loseContent(path: string): void {
  const script = 'touch -r "$1" "$1.times"; dd if=/dev/zero of="$1" bs="$2" count=1 conv=notrunc';
  const restore = 'touch -r "$1.times" "$1"; rm "$1.times"';
  execFileSync('sh', ['-ec', `${script}; ${restore}`, 'sh', path, String(statSync(path).size)], {
    stdio: 'ignore',
  });
}

/** Nothing is left over, `current` equals the source, and earlier snapshots are unchanged. */
async function isWhole(mirror: SmallMirror): Promise<void> {
  const status = await runProgram(['status', mirror.root, '--json']);
  expect(status.exitCode, transcript(status)).toBe(0);
  expect(status.json()).toMatchObject({ findings: [], isHealthy: true });
  expect(wrongCurrentJson(mirror.root)).toEqual([]);
  expect(
    difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
  ).toEqual([]);
  const first = join(mirror.root, 'snapshots', 'first', 'file');
  if (existsSync(first)) expect(readFileSync(first, 'utf8')).toBe('first');
  expect(existsSync(mirror.state('trash')) ? readdirSync(mirror.state('trash')) : []).toEqual([]);
}

function flips(mirror: SmallMirror): unknown[] {
  return mirror
    .history()
    .filter(({ event }) => event === 'published')
    .map(({ id, previous }) => [id, previous]);
}
