import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, expect, it } from 'vitest';
import { mayMount, nobody, type User } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { makeScratch } from '../support/scratch.ts';
import { diceOf } from './dice.ts';
import { linkedId, wrongHistory } from './mirror-checks.ts';
import { byScale, HOUR_MS, tellProgress, tellSummary } from './scale.ts';

const beside = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const writer = beside('prune-readers/writer.mjs');
const pinner = beside('prune-readers/pin.mjs');
const reader = beside('prune-readers/reader.sh');

const FILES = 8;
const READERS = byScale({ sample: 200, all: 10_000 });
/** At least so many readers must hold a snapshot that only they keep, or nothing was tested. */
const KEPT = READERS / 20;
/** Readers at the same time. */
const CROWD = 30;

/** A way to pin one snapshot of `root`. */
interface Way {
  readonly name: string;
  /** Its relative frequency: ways that start Node are slow. */
  readonly weight: number;
  /** The words before the command. */
  readonly guard: (root: string) => readonly string[];
  /** The path of the snapshot for the command. */
  readonly directory: (root: string) => string;
}

const here = () => '.';
const throughCurrent = (root: string) => join(root, 'current');
const ways: readonly Way[] = [
  {
    name: 'the reader, cwd',
    weight: 8,
    guard: (root) => [join(root, '.mirrorlatch', 'reader'), '--pin', 'cwd', '--'],
    directory: here,
  },
  {
    name: 'mirrorlatch run, cwd',
    weight: 1,
    guard: (root) => [launcher, 'run', root, '--pin', 'cwd', '--'],
    directory: here,
  },
  {
    name: 'the library',
    weight: 1,
    guard: (root) => [process.execPath, pinner, root],
    directory: here,
  },
  ...(mayMount
    ? [
        {
          name: 'the reader, namespace',
          weight: 8,
          guard: (root: string) => [
            join(root, '.mirrorlatch', 'reader'),
            '--pin',
            'namespace',
            '--',
          ],
          directory: throughCurrent,
        },
        {
          name: 'mirrorlatch run, namespace',
          weight: 1,
          guard: (root: string) => [launcher, 'run', root, '--pin', 'namespace', '--'],
          directory: throughCurrent,
        },
      ]
    : []),
];

/** A user, and the path of the mirror for that user. */
interface Caller {
  readonly root: string;
  readonly user?: User;
}

/** The result of one reader. */
interface Account {
  /** What was wrong, with the reader's output; undefined if nothing was. */
  readonly wrong: string | undefined;
  /** At the end its snapshot was neither current nor previous: only this reader kept it. */
  readonly kept: boolean;
}

const scratch = makeScratch();
const dice = diceOf('readers');

afterAll(() => scratch.remove());

it(`${READERS} readers that come and go while snapshots are published and pruned lose no file, and all that nobody reads is gone in the end`, {
  timeout: byScale({ sample: HOUR_MS / 6, all: HOUR_MS }),
}, async () => {
  const root = join(scratch.path, 'mirror');
  const callers = [{ root }, ...(await ordinaryUser(root))];
  const writing = startWriter(join(scratch.path, 'source'), root);
  await writing.publication;

  const accounts: Account[] = [];
  const wrong = () => accounts.flatMap((account) => account.wrong ?? []);
  const kept = () => accounts.filter((account) => account.kept).length;
  const isEnough = () =>
    accounts.length >= READERS && (kept() >= KEPT || wrong().length > 0 || writing.hasEnded());
  const readInTurn = async () => {
    while (!isEnough()) {
      await sleep(dice.between(0, 200));
      accounts.push(await read(dice.draw(ways), dice.pick(callers), root));
      tellProgress('prune and readers', accounts.length, READERS);
    }
  };
  await Promise.all(Array.from({ length: CROWD }, readInTurn));
  const publications = await writing.end();

  tellSummary(
    `prune and readers: ${wrong().length} of ${accounts.length} readers failed; ${kept()} read what ${publications} publications and prunes would have removed`,
  );
  expect(wrong()).toEqual([]);
  expect(accounts.length).toBeGreaterThanOrEqual(READERS);
  expect(kept()).toBeGreaterThanOrEqual(KEPT);

  await runForJson(['prune', root, '--keep-last', '1', '--grace', '0s']);
  const last = [`g${publications - 1}`, `g${publications}`];
  expect([linkedId(root, 'previous'), linkedId(root, 'current')]).toEqual(last);
  const namesIn = (...path: string[]) => readdirSync(join(root, ...path)).sort();
  expect(namesIn('snapshots')).toEqual(last.toSorted());
  expect(namesIn('.mirrorlatch', 'leases')).toEqual(last.toSorted());
  expect(namesIn('.mirrorlatch', 'trash')).toEqual([]);
  expect(wrongHistory(root)).toEqual([]);
});

/** An ordinary user who reads the mirror through a read-only mount, as a client does. */
async function ordinaryUser(root: string): Promise<Caller[]> {
  if (!mayMount || !nobodyRunsTheProgram) return [];
  const mount = join(scratch.path, 'read-only mount');
  for (const directory of [root, mount]) mkdirSync(directory, { mode: 0o755 });
  await execa('mount', ['--bind', root, mount]);
  await execa('mount', ['-o', 'remount,bind,ro', mount]);
  return [{ root: mount, user: nobody }];
}

/**
 * Starts the writer, if possible in its own PID namespace: there it knows the readers only by their
 * leases, like those on other hosts, and cannot see them in /proc.
 */
function startWriter(source: string, root: string) {
  const inNamespace = mayMount ? ['unshare', '--pid', '--fork', '--mount-proc'] : [];
  const [file = '', ...args] = [...inNamespace, process.execPath, writer, source, root, `${FILES}`];
  const subprocess = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let hasEnded = false;
  let publications = 0;
  const ended = new Promise<void>((resolve, reject) => {
    subprocess.once('error', reject);
    subprocess.once('close', (code) => {
      hasEnded = true;
      if (code === 0) resolve();
      else reject(new Error(`the writer ended with ${code} after ${publications} publications`));
    });
  });
  const publication = new Promise<void>((resolve) => {
    subprocess.stdout.on('data', (chunk: Buffer) => {
      publications = Number(chunk.toString('utf8').trimEnd().split('\n').at(-1));
      resolve();
    });
  });
  return {
    /** Resolves at the first publication. */
    publication: Promise.race([publication, ended]),
    hasEnded: () => hasEnded,
    /** Lets it finish; resolves to the number of publications. */
    end: async () => {
      subprocess.stdin.end();
      await ended;
      return publications;
    },
  };
}

async function read(way: Way, caller: Caller, root: string): Promise<Account> {
  const times = dice.whole(1, 4);
  const pause = dice.between(0, 0.8).toFixed(2);
  const [file = '', ...args] = [
    ...way.guard(caller.root),
    ...['sh', reader, way.directory(caller.root), `${FILES}`, `${times}`, pause],
  ];
  const { exitCode, signal, stdout, stderr } = await execa(file, args, {
    ...caller.user,
    cwd: '/',
    reject: false,
    stdin: 'ignore',
  });
  const id = stdout.trim();
  const isWhole = exitCode === 0 && /^g\d+$/.test(id) && stderr === '';
  const who = caller.user === undefined ? '' : ', an ordinary user';
  return {
    wrong: isWhole
      ? undefined
      : `${way.name}${who}: ended with ${signal ?? exitCode}: ${stdout} ${stderr}`,
    kept: isWhole && id !== linkedId(root, 'current') && id !== linkedId(root, 'previous'),
  };
}
