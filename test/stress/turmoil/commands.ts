import { lstatSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { type ProgramResult, startProgram, transcript } from '../../support/program.ts';
import type { Dice } from '../dice.ts';
import { type Assault, carryOut, nextAssault, OF_COMMAND } from './assault.ts';
import type { Course } from './course.ts';
import { type Mirror, OF_MIRROR } from './mirrors.ts';
import { moves, type Supplies } from './moves.ts';

/** The codes of the manual's topic exit-codes that a command may end with here. */
const CODES: Readonly<Record<string, readonly number[]>> = {
  sync: [0, 65, 66, 69, 75, 78],
  lock: [0, 7, 75, 125],
  init: [0, 64, 66, 75, 78],
  // 74: what is mounted in a snapshot keeps it.
  prune: [0, 66, 74, 75, 78],
  rollback: [0, 64, 66, 75, 78],
  status: [0, 66, 69, 78],
};
const OTHER_CODES = [0, 66, 75, 78];

/** Runs commands on one mirror, one after the other, and checks how each of them ends. */
export async function keepCommanding(
  mirror: Mirror,
  supplies: Supplies,
  course: Course,
  dice: Dice,
): Promise<void> {
  const own = moves.filter(({ of }) => of.includes(mirror.name));
  while (!course.isOver()) {
    await pause(dice.between(0, 600));
    for (const words of dice.draw(own).commands(mirror, supplies, dice)) {
      await pause(dice.between(0, 200));
      await mirror.beside(() => runOne(mirror, words, course, dice));
    }
  }
}

/** Every command has a number, by which the journal names it. */
let lastNumber = 0;

async function runOne(
  mirror: Mirror,
  words: readonly string[],
  course: Course,
  dice: Dice,
): Promise<void> {
  lastNumber += 1;
  const number = `#${lastNumber}`;
  const mark = `${mirror.mark} ${number}`;
  const assault = nextAssault(dice);
  course.note(mirror.name, `${number} begins: mirrorlatch ${words.join(' ')}`);
  const running = startProgram(words, { env: { [OF_MIRROR]: mirror.mark, [OF_COMMAND]: mark } });
  const isHit = assault !== undefined && (await carryOut(assault, running, mark, dice));
  const result = await running.result;
  const end = result.signal ?? String(result.exitCode);
  const why = isHit ? ` after ${assault.signal} to ${assault.target}` : '';
  course.note(mirror.name, `${number} ended with ${end}${why}: ${lastSaid(result)}`);
  const [verb = ''] = words;
  course.count(
    words.includes('--adopt') ? 'adopt' : words.includes('--unadopt') ? 'unadopt' : verb,
    end,
  );
  if (!isDocumented(verb, result, isHit ? assault : undefined) || isStackTrace(result.stderr)) {
    course.fault(mirror.name, `${transcript(result)}${why}`);
  }
  const isRefused = words.includes('--adopt') && result.exitCode === 64;
  // Another command may have gone on in another mirror by now.
  if (isRefused && words.includes(mirror.root())) giveUpIfOfItsOwn(mirror, course);
}

function isDocumented(
  verb: string,
  { exitCode, signal }: ProgramResult,
  assault: Assault | undefined,
): boolean {
  if (signal !== undefined) return signal === assault?.signal;
  return [...(CODES[verb] ?? OTHER_CODES), ...codesAfter(assault)].some(
    (code) => code === exitCode,
  );
}

/**
 * The codes of what a signal ended, of a sync whose rsync it ended, and of rsync itself, to which `lock` passes
 * it on.
 */
function codesAfter(assault: Assault | undefined): number[] {
  if (assault === undefined) return [];
  const ofSync = assault.target === 'the program' ? [] : [74];
  return [128 + constants.signals[assault.signal], RSYNC_INTERRUPTED, ...ofSync];
}

/** RERR_SIGNAL (rsync(1)), with which a command of `lock` that is rsync ends. */
const RSYNC_INTERRUPTED = 20;

function isStackTrace(stderr: string): boolean {
  return /^\s+at .+:\d+:\d+/m.test(stderr);
}

/** A mirror that was synced while its directory was given back cannot adopt it any more. */
function giveUpIfOfItsOwn(mirror: Mirror, course: Course): void {
  if (mirror.adopted === undefined || !lstatSync(mirror.adopted).isDirectory()) return;
  mirror.beginAnew();
  course.note(mirror.name, `goes on in ${mirror.root()}`);
}

function lastSaid({ stdout, stderr }: ProgramResult): string {
  return (stderr.trimEnd() || stdout.trimEnd()).split('\n').slice(-3).join(' | ');
}
