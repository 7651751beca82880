import type { Hold } from './holds.ts';
import type { KeptRecord, PinRecords, RunRecord } from './pin-records.ts';
import {
  type Asked,
  beginsDecision,
  beginsRun,
  type DecisionPolicy,
  entryOf,
  type PinPolicy,
  type Run,
} from './run-rules.ts';
import { type Client, RunTable } from './run-table.ts';

function* recordsOf(runs: readonly (readonly [Client, Run])[]): Generator<RunRecord> {
  for (const [client, run] of runs) {
    if (run.snapshot !== undefined && !run.isOver) yield recordOf(client, run, run.snapshot);
  }
}

function recordOf({ address, agent }: Client, run: Run, id: string): RunRecord {
  const { startedAt, lastAt, keptUntil, entries } = run;
  return { address, agent, id, startedAt, lastAt, keptUntil, entries: [...entries] };
}

/** A place in a run, for as long as one answer is sent. */
export interface Turn {
  readonly hold: Hold;
  /** Whether the run has ended meanwhile, so that only its answers still hold the snapshot. */
  isOver(): boolean;
  end(): void;
}

/** Which snapshot each client of one mirror sees. */
export class Pins {
  readonly #runs: RunTable<Run>;
  /** Snapshots of runs that were forgotten while a web server in front may still go by a decision, and until when. */
  readonly #kept = new Map<string, { hold: Hold; until: number }>();
  /** Entry documents that the runs remember. */
  #entries = 0;
  #changes = 0;
  #onBegin: (run: RunRecord) => void = () => {};
  readonly #policy: PinPolicy;
  readonly #holdCurrent: () => Promise<Hold>;
  readonly #clock: () => number;

  /**
   * @param holdCurrent holds what is current; what it throws reaches the client that asked.
   * @param clock a monotonic clock, of which times that are recalled are, too; ms.
   */
  constructor(policy: PinPolicy, holdCurrent: () => Promise<Hold>, clock: () => number) {
    this.#runs = new RunTable(policy);
    this.#policy = policy;
    this.#holdCurrent = holdCurrent;
    this.#clock = clock;
  }

  /**
   * The place of a request in its client's run, or in a new one.
   *
   * @param take holds the snapshot of a new run.
   */
  async enter(client: Client, asked: Asked, take = this.#holdCurrent): Promise<Turn> {
    const now = this.#clock();
    const known = this.#runs.get(client);
    const isNew = known === undefined || beginsRun(known, asked, now, this.#policy);
    const run = isNew ? this.#begin(client, now, take) : known;
    this.#note(client, run, asked, now, isNew);
    run.active += 1;
    const end = (): void => {
      run.active -= 1;
      run.lastAt = this.#clock();
      this.#changes += 1;
      if (run.isOver) this.#release(run);
    };
    try {
      return {
        hold: await run.hold,
        isOver: () => run.isOver,
        end,
      };
    } catch (error) {
      end();
      throw error;
    }
  }

  /**
   * The snapshot that a web server in front sends to a client, until it forgets this.
   *
   * @param take holds the snapshot of a new run.
   */
  async decide(
    client: Client,
    asked: Asked,
    decision: DecisionPolicy,
    take = this.#holdCurrent,
  ): Promise<Hold> {
    const now = this.#clock();
    const known = this.#runs.get(client);
    const isNew = known === undefined || beginsDecision(known, asked, now, decision, this.#policy);
    const run = isNew ? this.#begin(client, now, take) : known;
    this.#note(client, run, asked, now, isNew);
    run.keptUntil = now + decision.keepMs + decision.transferMs;
    return await run.hold;
  }

  /** Keeps a snapshot from being pruned for a while, of which a web server in front has been told. */
  keep(hold: Hold, forMs: number): void {
    this.#keep(hold, this.#clock() + forMs);
  }

  /** Forgets the runs that have ended, and gives up the snapshots over the limits. To be called every few seconds. */
  sweep(): void {
    const now = this.#clock();
    const { quietMs, limitMs, maxSnapshots } = this.#policy;
    for (const [client, run] of this.#runs) {
      const isQuiet = run.active === 0 && now - run.lastAt >= quietMs && now >= run.keptUntil;
      if (isQuiet || now - run.startedAt >= limitMs) this.#forget(client, run);
    }
    const bySnapshot = this.#bySnapshot();
    for (const clients of [...bySnapshot.values()].slice(0, -maxSnapshots - 1)) {
      for (const [, run] of clients) this.#giveUp(run);
    }
    const surplus = this.#kept.size - maxSnapshots;
    const soonestFirst = [...this.#kept].sort(([, a], [, b]) => a.until - b.until);
    soonestFirst.forEach(([id, { hold, until }], index) => {
      if (until > now && index >= surplus) return;
      this.#kept.delete(id);
      this.#changes += 1;
      hold.release();
    });
  }

  /** Sets who is told of each run that begins, before its first answer. */
  onBegin(listener: (run: RunRecord) => void): void {
    this.#onBegin = listener;
  }

  /** Grows with each change of what `records` says. */
  get changes(): number {
    return this.#changes;
  }

  /** The runs, to be recalled by another process. They are made as they are taken, and may change meanwhile. */
  records(): Pick<PinRecords, 'runs' | 'kept'> {
    return { runs: recordsOf([...this.#runs]), kept: this.#keptRecords() };
  }

  /**
   * Takes up the runs of a process before, as far as the limits allow. Those whose snapshot is gone fail until they end.
   *
   * @param hold holds a snapshot; undefined when it is gone.
   * @param lost why a run fails whose snapshot is gone.
   */
  async recall(
    { runs, kept }: Pick<PinRecords, 'runs' | 'kept'>,
    hold: (id: string) => Promise<Hold | undefined>,
    lost: (id: string) => Error,
  ): Promise<void> {
    // The table takes the quietest first.
    for (const record of [...runs].sort((a, b) => a.lastAt - b.lastAt)) {
      this.#recallRun(record, (await hold(record.id)) ?? lost(record.id));
    }
    for (const { id, until } of kept) {
      const held = await hold(id);
      if (held !== undefined) this.#keep(held, Math.min(until, this.#latest()));
    }
    this.sweep();
  }

  /** How many clients are pinned to each snapshot, and how long the oldest run lasts; ms. */
  figures(): { counts: Map<string, number>; oldestMs: number | undefined } {
    const bySnapshot = this.#bySnapshot();
    const [[[, oldest] = []] = []] = bySnapshot.values();
    return {
      counts: new Map([...bySnapshot].map(([id, clients]) => [id, clients.length])),
      oldestMs: oldest && this.#clock() - oldest.startedAt,
    };
  }

  /** Ends all runs. */
  close(): void {
    for (const [client, run] of this.#runs) {
      run.keptUntil = 0;
      this.#forget(client, run);
    }
    for (const { hold } of this.#kept.values()) hold.release();
    this.#kept.clear();
  }

  /** The oldest run first. */
  #bySnapshot(): Map<string, [Client, Run][]> {
    const bySnapshot = new Map<string, [Client, Run][]>();
    const runs = [...this.#runs].sort(([, a], [, b]) => a.startedAt - b.startedAt);
    for (const [client, run] of runs) {
      if (run.snapshot === undefined) continue;
      const clients = bySnapshot.get(run.snapshot) ?? [];
      clients.push([client, run]);
      bySnapshot.set(run.snapshot, clients);
    }
    return bySnapshot;
  }

  #begin(client: Client, now: number, take: () => Promise<Hold>): Run {
    this.#makeRoom(client);
    const run: Run = {
      startedAt: now,
      lastAt: now,
      active: 0,
      isOver: false,
      keptUntil: 0,
      entries: new Map(),
      hold: take(),
      snapshot: undefined,
      hasGivenUp: false,
    };
    run.hold.then(
      ({ id }) => {
        run.snapshot = id;
        this.#onBegin(recordOf(client, run, id));
      },
      () => this.#forget(client, run),
    );
    this.#runs.put(client, run);
    return run;
  }

  /** Forgets the run of this client, or the one that has to go before it gets one. */
  #makeRoom(client: Client): void {
    const before = this.#runs.get(client);
    const surplus = before === undefined ? this.#runs.surplusFor(client) : undefined;
    if (before !== undefined) this.#forget(client, before);
    if (surplus !== undefined) this.#forget(...surplus);
  }

  #recallRun({ address, agent, id, entries, ...record }: RunRecord, held: Hold | Error): void {
    const client = { address, agent };
    const now = this.#clock();
    this.#makeRoom(client);
    const isMany = this.#entries + entries.length > this.#policy.maxEntries;
    const run: Run = {
      startedAt: Math.min(record.startedAt, now),
      lastAt: Math.min(record.lastAt, now),
      keptUntil: Math.min(record.keptUntil, this.#latest()),
      active: 0,
      isOver: false,
      entries: new Map(isMany ? [] : entries),
      hold: held instanceof Error ? Promise.reject(held) : Promise.resolve(held),
      snapshot: id,
      hasGivenUp: held instanceof Error,
    };
    run.hold.catch(() => {});
    this.#entries += run.entries.size;
    this.#runs.put(client, run);
  }

  /** No decision is kept longer, whatever the records of another process say. */
  #latest(): number {
    return this.#clock() + this.#policy.limitMs;
  }

  *#keptRecords(): Generator<KeptRecord> {
    for (const [id, { until }] of this.#kept) yield { id, until };
  }

  #forget(client: Client, run: Run): void {
    if (!this.#runs.remove(client, run)) return;
    this.#entries -= run.entries.size;
    this.#changes += 1;
    run.isOver = true;
    this.#release(run);
  }

  /** The run goes on in its snapshot, for as long as nobody prunes that. */
  #giveUp(run: Run): void {
    if (run.hasGivenUp) return;
    run.hasGivenUp = true;
    run.hold.then(
      (held) => held.release(),
      () => {},
    );
  }

  /** Once no answer is sent out of a run that is over, and no web server goes by it. */
  #release({ active, keptUntil, hold, hasGivenUp }: Run): void {
    if (active > 0 || hasGivenUp) return;
    hold.then(
      (held) => {
        if (keptUntil <= this.#clock()) held.release();
        else this.#keep(held, keptUntil);
      },
      () => {},
    );
  }

  #keep(hold: Hold, until: number): void {
    this.#changes += 1;
    const kept = this.#kept.get(hold.id);
    if (kept === undefined) {
      this.#kept.set(hold.id, { hold, until });
    } else {
      kept.until = Math.max(kept.until, until);
      hold.release();
    }
  }

  #note(client: Client, run: Run, { path, kind }: Asked, now: number, isFirst: boolean): void {
    run.lastAt = now;
    this.#changes += 1;
    this.#runs.put(client, run);
    const entry = entryOf(path);
    if (!run.entries.has(entry)) {
      if (kind !== 'entry' && !isFirst) return;
      if (this.#entries >= this.#policy.maxEntries) this.#forgetMostEntries();
      this.#entries += 1;
    }
    run.entries.set(entry, now);
  }

  /** Nobody can make the runs of others forget theirs by having many. */
  #forgetMostEntries(): void {
    let most: Map<string, number> | undefined;
    for (const [, { entries }] of this.#runs) {
      if (entries.size > (most?.size ?? 0)) most = entries;
    }
    this.#entries -= most?.size ?? 0;
    most?.clear();
  }
}
