import { setTimeout as pause } from 'node:timers/promises';
import type { Access } from './access.ts';
import { type Client, updateAndInstall } from './client.ts';
import { Installation, type Outcome } from './installation.ts';
import type { Publisher } from './publisher.ts';

/** The settings of a trial. */
export interface TrialOptions {
  readonly access: Access;
  readonly publisher: Publisher;
  readonly runs: number;
  /** End a client's trial after its first run that is not ok. */
  readonly untilTrouble?: boolean;
  /** The least time between two runs of a client, in ms. Default: 0. */
  readonly restMs?: number;
  /** A shell command between update and install. */
  readonly between?: string;
  /** A directory for the clients' files. */
  readonly work: string;
  /** Leave the files of runs that were not ok there. */
  readonly keepsTroubled?: boolean;
  /** The ends of the servers' logs, for the accounts. */
  readonly logs?: () => string;
  /** Is called at once with the account of a run that was not ok. */
  readonly onTrouble?: (client: Client, account: string) => void;
}

/** The results of a client's runs. */
export interface Trial {
  readonly client: Client;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** The number of publications during each run. */
  readonly flips: readonly number[];
  /** The generations that its runs got, each once. */
  readonly generations: ReadonlySet<string>;
  /** One account of each run that was not ok. */
  readonly accounts: readonly string[];
}

/** Lets a client update and install repeatedly, each time from scratch, while snapshots are published. */
export async function tryClient(client: Client, options: TrialOptions): Promise<Trial> {
  const [trial] = await tryClientsInTurn([client], options);
  if (trial === undefined) throw new Error(`${client.name} was not tried`);
  return trial;
}

/** The same with several clients, so that one rests while the others run. */
export async function tryClientsInTurn(
  clients: readonly Client[],
  { access, publisher, runs, between, work, logs, onTrouble, ...options }: TrialOptions,
): Promise<Trial[]> {
  const { untilTrouble = false, restMs = 0, keepsTroubled = false } = options;
  const trials = clients.map((client) => ({
    client,
    outcomes: { ok: 0, failed: 0, mixed: 0 },
    flips: [] as number[],
    generations: new Set<string>(),
    accounts: [] as string[],
    ended: Number.NEGATIVE_INFINITY,
  }));
  for (let run = 0; run < runs; run += 1) {
    for (const trial of trials) {
      const { client, outcomes, flips, generations, accounts } = trial;
      if (untilTrouble && accounts.length > 0) continue;
      await pause(Math.max(0, trial.ended + restMs - performance.now()));
      const installation = new Installation(client, access, work);
      const before = publisher.publications;
      const command = access.around(updateAndInstall(client, between));
      const { outcome, account } = await installation.run(command);
      trial.ended = performance.now();
      flips.push(publisher.publications - before);
      outcomes[outcome] += 1;
      for (const generation of installation.generations) generations.add(generation);
      if (outcome !== 'ok') {
        const where = keepsTroubled ? ` in ${installation.directory}` : '';
        const all = `${outcome}${where}: ${account}${logs === undefined ? '' : `\n${logs()}`}`;
        accounts.push(all);
        onTrouble?.(client, all);
      }
      if (outcome === 'ok' || !keepsTroubled) installation.remove();
    }
  }
  return trials;
}
