import { type Client, updateAndInstall } from './client.ts';
import { Flipper } from './flipper.ts';
import { type Guard, guarded } from './guard.ts';
import { Installation, type Outcome } from './installation.ts';
import type { RepositoryMirror } from './mirror.ts';

/** The settings of a trial. */
export interface TrialOptions {
  readonly guard: Guard;
  readonly runs: number;
  /** End the trial after the first run that is not ok. */
  readonly untilTrouble?: boolean;
  /** The time between two flips, in ms. */
  readonly everyMs: number;
  /** A directory for the client's files. */
  readonly work: string;
}

/** The results of a client's runs. */
export interface Trial {
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** The number of flips during each run. */
  readonly flips: readonly number[];
  /** One account of each run that was not ok. */
  readonly accounts: readonly string[];
}

/** Lets a client update and install repeatedly, each time from scratch, while `current` flips. */
export async function tryClient(
  client: Client,
  mirror: RepositoryMirror,
  { guard, runs, untilTrouble = false, everyMs, work }: TrialOptions,
): Promise<Trial> {
  const outcomes = { ok: 0, failed: 0, mixed: 0 };
  const flips: number[] = [];
  const accounts: string[] = [];
  const flipper = new Flipper(mirror.root, mirror.ids, everyMs);
  try {
    while (flips.length < runs && !(untilTrouble && accounts.length > 0)) {
      const installation = new Installation(client, mirror, work);
      const before = flipper.flips;
      const command = guarded(guard, mirror, updateAndInstall(client));
      const { outcome, account } = await installation.run(command);
      flips.push(flipper.flips - before);
      outcomes[outcome] += 1;
      if (outcome !== 'ok') accounts.push(`${outcome}: ${account}`);
      installation.remove();
    }
  } finally {
    flipper.stop();
  }
  return { outcomes, flips, accounts };
}
