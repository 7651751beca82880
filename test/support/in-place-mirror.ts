import { chmodSync, existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { type GuardOptions, inShell, oneOfEachKind, runGuarded } from './guards.ts';
import { type ProgramResult, runForJson } from './program.ts';
import { copiesOf, type SmallMirror } from './small-mirror.ts';

/** The contents of `.mirrorlatch/gate.json`. */
interface GateRecord {
  readonly state: 'open' | 'closing' | 'closed' | 'dirty';
  readonly mode: number;
  readonly boot: string;
  readonly by: string;
  readonly reason: string;
  readonly since: string;
  readonly wasDirty?: boolean;
}

/** A small mirror that is written in place. */
export interface InPlaceMirror extends SmallMirror {
  /** ROOT/gate/live, or a path in it. */
  tree(...names: string[]): string;
  /** Reads the gate's record. */
  record(): GateRecord;
  /** Changes fields of the gate's record, as another run or a crash would have left them. */
  rewrite(facts: Partial<GateRecord>): void;
  /** The mode of the gate directory. */
  mode(): number;
  setMode(mode: number): void;
  /** Waits until the gate is in this state. */
  reaches(state: GateRecord['state']): Promise<void>;
  /** Inode and change time of everything that a sync with nothing to do must leave alone. */
  marks(): string[];
  /** Reads `file` through the reader, as root or another user. */
  read(options?: GuardOptions): Promise<ProgramResult>;
}

/** Copies of an in-place mirror after its first sync: see `copiesOf`. */
export function mirrorsInPlace(): (home?: string) => Promise<InPlaceMirror> {
  const copy = copiesOf(async (mirror) => {
    await runForJson(['init', mirror.root, '--in-place']);
    await mirror.sync();
  });
  return async (home) => inPlaceMirror(await copy(home));
}

/** Extends an in-place mirror by its own functions. */
export function inPlaceMirror(mirror: SmallMirror): InPlaceMirror {
  const gate = join(mirror.root, 'gate');
  const file = mirror.state('gate.json');
  const record = (): GateRecord => JSON.parse(readFileSync(file, 'utf8')) as GateRecord;
  return {
    ...mirror,
    tree: (...names) => join(gate, 'live', ...names),
    record,
    rewrite: (facts) => {
      const { state, ...others } = { ...record(), ...facts };
      writeFileSync(file, `${JSON.stringify({ state, ...others })}\n`);
    },
    mode: () => lstatSync(gate).mode & 0o7777,
    setMode: (mode) => chmodSync(gate, mode),
    reaches: (state) =>
      eventually(() => {
        if (record().state !== state) throw new Error(`the gate is ${record().state}`);
      }),
    marks: () =>
      [gate, file, mirror.state('gate.flock'), join(gate, 'live')]
        .filter(existsSync)
        .map((path) => {
          const { ino, ctimeNs } = lstatSync(path, { bigint: true });
          return `${path}: inode ${ino}, changed at ${ctimeNs}`;
        }),
    read: (options = {}) =>
      runGuarded(oneOfEachKind[1], mirror.root, inShell('exec cat file'), options),
  };
}
