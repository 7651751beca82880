import * as z from 'zod/mini';
import { MirrorlatchError } from '../../errors.ts';

/** What is written down of a client's run. Times in ms since the host's boot. */
const Run = z.object({
  address: z.string(),
  agent: z.string(),
  id: z.string(),
  startedAt: z.number(),
  lastAt: z.number(),
  keptUntil: z.number(),
  /** When each index was asked for last. */
  entries: z.array(z.tuple([z.string(), z.number()])),
});
export type RunRecord = Readonly<z.infer<typeof Run>>;

/** A snapshot that stays for a web server in front, whose run is forgotten. */
const Kept = z.object({ id: z.string(), until: z.number() });
export type KeptRecord = Readonly<z.infer<typeof Kept>>;

const StrictPin = z.object({
  token: z.string(),
  address: z.string(),
  startedAt: z.number(),
  endsAt: z.number(),
  lastsMs: z.number(),
});
export type StrictPinRecord = Readonly<z.infer<typeof StrictPin>>;

/** What is written down of a mirror. */
export interface PinRecords {
  /** What tells trees from others at their paths, by their ids; see `ServedMirror`. */
  readonly identities: Readonly<Record<string, string>> | undefined;
  readonly runs: Iterable<RunRecord>;
  readonly kept: Iterable<KeptRecord>;
  readonly strictPins: Iterable<StrictPinRecord>;
}

/** When and by whom records were written. Another version of the program may have written what this one cannot read. */
const Header = z.object({
  format: z.literal(1),
  /** random(4), boot_id: neither leases nor the decisions of web servers outlive a boot. */
  bootId: z.string(),
  /** ms since the boot. */
  at: z.number(),
  /** The server has ended: nothing has happened since. */
  isEnded: z.boolean(),
});
export type RecordsHeader = Readonly<Omit<z.infer<typeof Header>, 'format'>>;

/** The lines after the header: a mirror, and then what is written down of it. */
const Line = z.union([
  z.strictObject({ run: Run }),
  z.strictObject({
    mirror: z.string(),
    identities: z.optional(z.record(z.string(), z.string())),
  }),
  z.strictObject({ kept: Kept }),
  z.strictObject({ strictPin: StrictPin }),
]);

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
  let lines = [JSON.stringify({ format: 1, ...header })];
  for (const line of linesOf(mirrors)) {
    lines.push(JSON.stringify(line));
    if (lines.length < LINES_AT_ONCE) continue;
    yield `${lines.join('\n')}\n`;
    lines = [];
  }
  yield `${lines.join('\n')}\n`;
}

/** What follows the text when a run or a strict pin of a mirror has begun since. */
export function addedText(
  mirror: string,
  identities: PinRecords['identities'],
  added: { readonly run: RunRecord } | { readonly strictPin: StrictPinRecord },
): string {
  return `${JSON.stringify({ mirror, identities })}\n${JSON.stringify(added)}\n`;
}

function* linesOf(mirrors: Iterable<readonly [string, PinRecords]>): Generator<object> {
  for (const [mirror, { identities, runs, kept, strictPins }] of mirrors) {
    yield { mirror, identities };
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
 * Reads what `recordsText` has made, and `addedText` after it, up to the last whole line. Of the runs of a client the last
 * one counts. Where the server was killed, each client counts as busy until then: a run may be
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
  const [first = '', ...lines] = text.slice(0, text.lastIndexOf('\n')).split('\n');
  const { bootId: writtenAtBoot, at, isEnded } = parseLine(Header, first);
  // A container may begin to count anew within a boot of its host.
  if (writtenAtBoot !== bootId || at > now) return undefined;
  const busyUntil = isEnded ? 0 : Math.min(now, at + UNWRITTEN_MS);
  const mirrors = new Map<string, Gathered>();
  let gathered: Gathered | undefined;
  for (const line of lines) {
    const record = parseLine(Line, line);
    if ('mirror' in record) {
      const { identities = mirrors.get(record.mirror)?.identities } = record;
      gathered = { runs: [], kept: [], strictPins: [], ...mirrors.get(record.mirror), identities };
      mirrors.set(record.mirror, gathered);
    } else if (gathered === undefined) {
      throw invalid(line);
    } else if ('run' in record) {
      const { run } = record;
      gathered.runs.push({ ...run, lastAt: Math.max(run.lastAt, busyUntil) });
    } else if ('kept' in record) {
      gathered.kept.push(record.kept);
    } else {
      gathered.strictPins.push(record.strictPin);
    }
  }
  return mirrors;
}

interface Gathered extends PinRecords {
  readonly runs: RunRecord[];
  readonly kept: KeptRecord[];
  readonly strictPins: StrictPinRecord[];
}

function parseLine<Schema extends z.ZodMiniType>(schema: Schema, line: string): z.infer<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw invalid(line);
  }
  const { data, success } = schema.safeParse(value);
  if (success) return data;
  throw invalid(line);
}

function invalid(line: string): MirrorlatchError {
  const shown = JSON.stringify(line.slice(0, 60));
  return new MirrorlatchError('IO', `${shown} is no record of this version of mirrorlatch`);
}
