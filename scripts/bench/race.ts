import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Contestant } from './contestants.ts';
import { measure, type OwnPeak } from './measure.ts';
import { type Case, count, type Run } from './report.ts';
import { say } from './session.ts';
import { directoriesOf, fileBytes } from './source-tree.ts';

/** What all races of one bench share. */
export interface Track {
  /** Temporary, and removed at the end with what is mounted in it. */
  readonly directory: string;
  /** The program `mirrorlatch`. */
  readonly program: string;
  readonly repeat: number;
  /** The pause before each run, in seconds. */
  readonly rest: number;
  readonly ownPeak: OwnPeak;
  readonly signal: AbortSignal;
  /** Keeps a run. */
  readonly add: (run: Run) => void;
}

/** A race of contestants, each with a room of its own, that bring their mirrors up to one source. */
export class Race {
  readonly #track: Track;
  readonly #setting: string;
  readonly #files: number;
  readonly #base: string;
  readonly #rooms: readonly (readonly Contestant[])[];

  /**
   * @param setting what the race is about.
   * @param files how many there are in the source.
   * @param base a directory for the rooms, on the filesystem in question.
   * @param rooms the contestants of one inner list share a room and run in immediate succession.
   */
  constructor(
    track: Track,
    setting: string,
    files: number,
    base: string,
    rooms: readonly (readonly Contestant[])[],
  ) {
    this.#track = track;
    this.#setting = setting;
    this.#files = files;
    this.#base = base;
    this.#rooms = rooms;
  }

  /** Rounds of first syncs, each into new rooms. The old ones stay: a removal slows down the next run. */
  async firstSync(source: string, rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      if (round > 0) renameSync(join(this.#base, 'rooms'), join(this.#base, `rooms-${round}`));
      for (const [room, [contestant]] of this.#eachRoom()) {
        mkdirSync(room, { recursive: true });
        contestant?.prepare(room);
      }
      await this.#round('first sync', source, round);
    }
  }

  /**
   * Rounds of one case.
   *
   * @param begin changes the source.
   */
  async rounds(
    name: Case,
    source: string,
    begin: (round: number) => void = () => {},
  ): Promise<void> {
    for (let round = 0; round < this.#track.repeat; round++) {
      begin(round);
      await this.#round(name, source, round);
    }
  }

  /** Lets all run, and measures nothing. */
  async warmUp(source: string): Promise<void> {
    await this.#round(undefined, source, 0);
  }

  /** @throws Error for a contestant that did not mirror the source: its times mean nothing. */
  verify(source: string, options: readonly string[] = []): void {
    for (const [room, contestants] of this.#eachRoom()) {
      const [contestant] = contestants.filter((one) => one.newest(room) !== undefined);
      if (contestant === undefined) continue;
      const differences = execFileSync(
        'rsync',
        [
          ...['-a', ...options, '-n', '-i', '--delete'],
          ...['--', `${source}/`, `${contestant.newest(room)}/`],
        ],
        { encoding: 'utf8' },
      );
      if (differences !== '') {
        throw new Error(
          `${contestant.name} did not mirror the source:\n${differences.slice(0, 2000)}`,
        );
      }
    }
  }

  *#eachRoom(): Generator<[string, readonly Contestant[]]> {
    for (const [index, contestants] of this.#rooms.entries()) {
      yield [join(this.#base, 'rooms', String(index)), contestants];
    }
  }

  /** Each round begins with another contestant. */
  async #round(name: Case | undefined, source: string, round: number): Promise<void> {
    const rooms = [...this.#eachRoom()];
    const first = round % rooms.length;
    for (const [room, contestants] of [...rooms.slice(first), ...rooms.slice(0, first)]) {
      for (const contestant of contestants) await this.#run(name, contestant, source, room, round);
    }
  }

  async #run(
    name: Case | undefined,
    contestant: Contestant,
    source: string,
    room: string,
    round: number,
  ): Promise<void> {
    const { directory, rest, signal, ownPeak, add } = this.#track;
    // Only mirrorlatch waits for the disk, and must not pay for what the others wrote.
    execFileSync('sync', ['-f', this.#base]);
    await setTimeout(name === undefined ? 0 : rest * 1000, undefined, { signal });
    const { stdout, ...measured } = await measure(
      contestant.command(source, room),
      directory,
      signal,
    );
    const ours = contestant.isOwn
      ? { ownPeakBytes: ownPeak.take(), summary: JSON.parse(stdout) as unknown }
      : {};
    if (name === undefined) return;
    const setting = this.#setting;
    const files = this.#files;
    add({ setting, files, case: name, contestant: contestant.name, ...measured, ...ours });
    say(
      `${setting}, ${count(files)} files, ${name}, round ${round + 1}: ${contestant.name} ${(measured.wallMs / 1000).toFixed(2)} s`,
    );
  }
}

/**
 * Checks that the disk has room for so many trees, with a margin.
 *
 * @throws Error that names the bytes or inodes that are needed and free.
 */
export function needSpace(work: string, files: number, trees: number): void {
  const { bavail, bsize, ffree, files: inodes } = statfsSync(work);
  const directories = directoriesOf(files) * (trees + 8);
  const bytes = (files * trees * 1.1 + directories) * Math.max(4096, fileBytes);
  if (bavail * bsize < bytes) {
    throw new Error(
      `${count(files)} files need ${Math.ceil(bytes / 1e9)} GB in ${work}, but only ${Math.floor((bavail * bsize) / 1e9)} GB are free`,
    );
  }
  // A filesystem that allocates inodes on demand reports 0.
  if (inodes > 0 && ffree < files * trees + directories) {
    throw new Error(
      `${count(files)} files need ${count(files * trees + directories)} inodes in ${work}, but only ${count(ffree)} are free`,
    );
  }
}
