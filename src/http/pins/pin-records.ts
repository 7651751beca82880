import { MirrorlatchError } from '../../errors.ts';

/** What is written down of a client's run. Times in ms since the host's boot. */
export interface RunRecord {
  readonly address: string;
  readonly agent: string;
  readonly id: string;
  readonly startedAt: number;
  readonly lastAt: number;
  readonly keptUntil: number;
  /** When each index was asked for last. */
  readonly entries: readonly (readonly [path: string, at: number])[];
  readonly hasForgotten: boolean;
}

/** A snapshot that stays for a web server in front, whose run is forgotten. */
export interface KeptRecord {
  readonly id: string;
  readonly until: number;
}

/** A strict pin. */
export interface StrictPinRecord {
  readonly token: string;
  readonly address: string;
  readonly startedAt: number;
  readonly endsAt: number;
  readonly lastsMs: number;
}

/** What is written down of a mirror. */
export interface PinRecords {
  readonly runs: Iterable<RunRecord>;
  readonly kept: Iterable<KeptRecord>;
  readonly strictPins: Iterable<StrictPinRecord>;
}

/** When and by whom records were written. */
export interface RecordsHeader {
  /** random(4), boot_id: neither leases nor the decisions of web servers outlive a boot. */
  readonly bootId: string;
  /** ms since the boot. */
  readonly at: number;
  /** The server has ended: nothing has happened since. */
  readonly isEnded: boolean;
}

/** Another version of the program may have written what this one cannot read. */
const FORMAT = 1;

/** So many records are made in one turn of the event loop. */
const LINES_AT_ONCE = 250;

/** Of all indexes of a mirror's runs; beyond it, runs are written without theirs. */
const MOST_ENTRY_CHARACTERS = 4_000_000;

/** A server that was killed has written what happened up to this time before; ms. */
const UNWRITTEN_MS = 10_000;

/** The text for some mirrors, by their names, in pieces. */
export function* recordsText(
  header: RecordsHeader,
  mirrors: Iterable<readonly [name: string, PinRecords]>,
): Generator<string> {
  let lines = [JSON.stringify({ format: FORMAT, ...header })];
  for (const line of linesOf(mirrors)) {
    lines.push(JSON.stringify(line));
    if (lines.length < LINES_AT_ONCE) continue;
    yield `${lines.join('\n')}\n`;
    lines = [];
  }
  yield `${lines.join('\n')}\n`;
}

function* linesOf(mirrors: Iterable<readonly [string, PinRecords]>): Generator<object> {
  for (const [mirror, { runs, kept, strictPins }] of mirrors) {
    yield { mirror };
    let room = MOST_ENTRY_CHARACTERS;
    for (const run of runs) {
      for (const [path] of run.entries) room -= path.length;
      yield { run: room < 0 ? { ...run, entries: [] } : run };
    }
    for (const one of kept) yield { kept: one };
    for (const pin of strictPins) yield { strictPin: pin };
  }
}

/**
 * Reads what `recordsText` has made. Where the server was killed, each client counts as busy until then: a run may be
 * kept longer than it has to, but never ends in its midst.
 *
 * @param now ms since the boot.
 * @returns the records of each mirror; undefined for those of another boot.
 * @throws MirrorlatchError IO when the text is none of this version.
 */
export function parseRecords(
  text: string,
  bootId: string,
  now: number,
): Map<string, PinRecords> | undefined {
  const [first = '', ...lines] = text.trimEnd().split('\n');
  const header = parseLine(first, {
    format: 'number',
    bootId: 'string',
    at: 'number',
    isEnded: 'boolean',
  });
  if (header['format'] !== FORMAT) throw invalid(first);
  const { bootId: writtenAtBoot, at, isEnded } = header as unknown as RecordsHeader;
  // A container may begin to count anew within a boot of its host.
  if (writtenAtBoot !== bootId || at > now) return undefined;
  const busyUntil = isEnded ? 0 : Math.min(now, at + UNWRITTEN_MS);
  const mirrors = new Map<string, Gathered>();
  let gathered: Gathered | undefined;
  for (const line of lines) {
    const record = parseLine(line);
    if (typeof record['mirror'] === 'string') {
      gathered = { runs: [], kept: [], strictPins: [] };
      mirrors.set(record['mirror'], gathered);
    } else if (gathered === undefined) {
      throw invalid(line);
    } else if ('run' in record) {
      const run = runOf(record['run'], line);
      gathered.runs.push({ ...run, lastAt: Math.max(run.lastAt, busyUntil) });
    } else if ('kept' in record) {
      gathered.kept.push(shaped<KeptRecord>(record['kept'], KEPT, line));
    } else {
      gathered.strictPins.push(shaped<StrictPinRecord>(record['strictPin'], STRICT_PIN, line));
    }
  }
  return mirrors;
}

interface Gathered extends PinRecords {
  readonly runs: RunRecord[];
  readonly kept: KeptRecord[];
  readonly strictPins: StrictPinRecord[];
}

/** What `typeof` says of each field. */
type Shape = Readonly<Record<string, 'string' | 'number' | 'boolean'>>;

const RUN: Shape = {
  address: 'string',
  agent: 'string',
  id: 'string',
  startedAt: 'number',
  lastAt: 'number',
  keptUntil: 'number',
  hasForgotten: 'boolean',
};
const KEPT: Shape = { id: 'string', until: 'number' };
const STRICT_PIN: Shape = {
  token: 'string',
  address: 'string',
  startedAt: 'number',
  endsAt: 'number',
  lastsMs: 'number',
};

function runOf(value: unknown, line: string): RunRecord {
  const run = shaped<RunRecord>(value, RUN, line);
  const entries: unknown = run.entries;
  const isEntry = (entry: unknown) =>
    Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'number';
  if (Array.isArray(entries) && entries.every(isEntry)) return run;
  throw invalid(line);
}

function parseLine(line: string, shape: Shape = {}): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw invalid(line);
  }
  return shaped(value, shape, line);
}

function shaped<Wanted>(value: unknown, shape: Shape, line: string): Wanted {
  const isObject = typeof value === 'object' && value !== null;
  const fields = isObject ? (value as Record<string, unknown>) : {};
  const isRight = Object.entries(shape).every(([name, type]) => typeof fields[name] === type);
  if (isObject && isRight) return value as Wanted;
  throw invalid(line);
}

function invalid(line: string): MirrorlatchError {
  const shown = JSON.stringify(line.slice(0, 60));
  return new MirrorlatchError('IO', `${shown} is no record of this version of mirrorlatch`);
}
