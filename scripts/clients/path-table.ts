import { accessByPath, pathGuards } from '../../test/support/repositories/access.ts';
import type { Client } from '../../test/support/repositories/client.ts';
import { Flipper } from '../../test/support/repositories/flipper.ts';
import type { RepositoryMirror } from '../../test/support/repositories/mirror.ts';
import { type Trial, tryClient } from '../../test/support/repositories/trial.ts';
import { figures, head, meanFlips, reportTrouble, row } from './print.ts';

/** What is tried. */
export interface PathTable {
  readonly clients: readonly Client[];
  readonly mirror: RepositoryMirror;
  readonly runs: number;
  /** Times between two flips, in ms. */
  readonly rates: readonly number[];
  /** A directory for the clients' files. */
  readonly work: string;
}

/** Prints how clients fare that read the mirror by its path. */
export async function printPathTable({ clients, mirror, runs, rates, work }: PathTable) {
  const columns = pathGuards.map((guard) => `${guard}: ok / failed / mixed`);
  head(['client, by path', 'a flip every', ...columns, 'flips in a run']);
  for (const client of clients) {
    for (const everyMs of rates) {
      const trials: Trial[] = [];
      for (const guard of pathGuards) {
        const publisher = new Flipper(mirror.root, mirror.ids, everyMs);
        const access = accessByPath(guard, mirror);
        const guarded = {
          keepsTroubled: true,
          onTrouble: (_: Client, account: string) => reportTrouble(guard, client, account),
        };
        const options = { access, publisher, runs, work, ...(guard === 'bare' ? {} : guarded) };
        trials.push(await tryClient(client, options));
        await publisher.stop();
      }
      const flips = trials.map(meanFlips).join(' · ');
      row([client.name, `${everyMs} ms`, ...trials.map(figures), flips]);
    }
  }
}
