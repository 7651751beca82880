import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MirrorlatchError, pin } from '../../../src/index.ts';
import { type Caller, callers, oneOfEachKind, startGuarded } from '../../support/guards.ts';
import { nobodyRunsTheProgram, type ProgramResult, transcript } from '../../support/program.ts';
import type { Dice } from '../dice.ts';
import type { Course } from './course.ts';
import type { Mirror } from './mirrors.ts';
import type { States } from './states.ts';

const beside = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The programs that read a tree, each as a daemon, a script or a package manager does. */
const programs = [
  { name: 'sh', words: ['sh', beside('read.sh')] },
  { name: 'node', words: [process.execPath, beside('read.mjs')] },
  { name: 'python without its descriptors', words: ['/usr/bin/python3', beside('read.py')] },
  { name: 'sh in the background', words: ['sh', '-c', 'sh "$@" &', 'sh', beside('read.sh')] },
] as const;

/** The ways to name the tree; only a namespace pins the absolute ones. */
const places = [
  { name: 'the working directory', pins: ['auto', 'cwd', 'namespace'], path: () => '.' },
  { name: '{snapshot}', pins: ['auto', 'cwd', 'namespace'], path: () => '{snapshot}' },
  {
    name: 'the absolute path',
    pins: ['auto', 'namespace'],
    path: (mirror: Mirror) => mirror.adopted ?? join(mirror.root(), 'current'),
  },
  {
    name: 'the absolute path from elsewhere',
    pins: ['namespace'],
    path: (mirror: Mirror) => join(mirror.root(), 'current'),
    options: ['--chdir', 'no'],
  },
] as const;

/**
 * What a guard may end with instead of the command: a gate is closed for a while, by hand even while
 * a reader is entering, and an adopted directory that has been given back has no snapshot.
 */
const REFUSALS: Readonly<Record<Mirror['name'], readonly number[]>> = {
  snapshots: [],
  'in place': [75, 125],
  adopted: [75, 125],
};

/** Reads the mirrors under guards of all kinds, one reader after the other. */
export async function keepReading(
  mirrors: readonly Mirror[],
  course: Course,
  dice: Dice,
): Promise<void> {
  while (!course.isOver()) {
    await pause(dice.between(0, 200));
    await readOnce(dice.pick(mirrors), course, dice);
  }
}

async function readOnce(mirror: Mirror, course: Course, dice: Dice): Promise<void> {
  const guard = dice.pick(oneOfEachKind);
  const isRun = guard === oneOfEachKind[0];
  const caller = dice.pick(callers.filter((one) => !isRun || canRun(one)));
  const place = dice.pick(places);
  const pinKind = dice.pick(place.pins);
  const program = dice.pick(programs);
  const options = [
    ...['--pin', pinKind, '--wait', isRun ? '3s' : '3'],
    ...('options' in place ? place.options : []),
  ];
  const command = [...program.words, place.path(mirror), dice.between(0, 0.8).toFixed(2)];
  const who = `${program.name} in ${place.name} under ${guard.name} --pin ${pinKind}, ${caller.name}`;
  course.note(mirror.name, `a reader begins: ${who}`);
  const result = await startGuarded(guard, mirror.root(), command, { caller, options }).result;
  const told = /^whole (\S+)\n$/.exec(result.stdout)?.[1];
  const seen = told ?? result.stderr.trimEnd();
  course.note(mirror.name, `a reader ended with ${result.exitCode}, ${who}: ${seen}`);
  if (result.exitCode === 0 && told !== undefined) {
    course.count(`read ${mirror.name}`, 'whole');
  } else if (isKeptOut(mirror, result)) {
    course.count(`read ${mirror.name}`, 'kept out');
  } else if (result.stdout === '' && REFUSALS[mirror.name].includes(result.exitCode ?? -1)) {
    course.count(`read ${mirror.name}`, `refused with ${result.exitCode}`);
  } else course.fault(mirror.name, `${who}\n${transcript(result)}`);
}

/** `gate close` does not wait for readers: from then on its mode stops those of other users. */
function isKeptOut(mirror: Mirror, { stdout, stderr }: ProgramResult): boolean {
  const said = `${stdout}${stderr}`;
  return mirror.name === 'in place' && /permission denied/i.test(said);
}

function canRun({ user }: Caller): boolean {
  return user === undefined || nobodyRunsTheProgram;
}

/** Compares what is current with the states of the source, again and again. */
export async function keepInspecting(
  mirrors: readonly Mirror[],
  states: States,
  course: Course,
  dice: Dice,
): Promise<void> {
  while (!course.isOver()) {
    await pause(dice.between(50, 300));
    const mirror = dice.pick(mirrors);
    try {
      const { id, path, release } = await pin({ root: mirror.root() });
      const wrong = states.wrongIn(path);
      release();
      course.count(`inspect ${mirror.name}`, wrong === undefined ? 'one state' : 'no state');
      if (wrong !== undefined)
        course.fault(mirror.name, `${id} is no state of its source: ${wrong}`);
    } catch (error) {
      if (!(error instanceof MirrorlatchError) || REFUSALS[mirror.name].length === 0) throw error;
      course.count(`inspect ${mirror.name}`, error.code);
    }
  }
}
