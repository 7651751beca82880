import { join } from 'node:path';
import { questionsOf } from '../../test/support/http/questions.ts';
import { type Publishing, tryWay } from '../../test/support/http/trial.ts';
import {
  amongNeighbours,
  apacheAlone,
  apacheGuarded,
  nginxAlone,
  nginxGuarded,
  serve,
  serveForgetfully,
  throughSquid,
  underRun,
  type Way,
} from '../../test/support/http/ways.ts';
import { missingOf } from '../../test/support/installed.ts';
import type { Client } from '../../test/support/repositories/client.ts';
import type { RepositoryMirror } from '../../test/support/repositories/mirror.ts';
import type { Trial } from '../../test/support/repositories/trial.ts';
import { figures, head, meanFlips, reportTrouble, row, say } from './print.ts';

/** What is tried. */
export interface HttpTable {
  readonly clients: readonly Client[];
  /** Whose generations have the same file names. */
  readonly mirror: RepositoryMirror;
  /** Whose generations have names of their own, as those of an archive. */
  readonly archive: RepositoryMirror;
  readonly runs: number;
  readonly publishing: readonly Publishing[];
  /** A directory for all files. */
  readonly work: string;
}

interface Column {
  readonly way: Way;
  readonly mirror: RepositoryMirror;
  readonly between?: string;
  /** Not with syncs that prune: what nobody holds any more is gone. */
  readonly onlyRetained?: boolean;
}

/** Prints how clients fare that read the mirror by HTTP. */
export async function printHttpTable({ clients, work, runs, ...table }: HttpTable): Promise<void> {
  const columns = await columnsOf(clients, work, table);
  const rows = [];
  for (const publishing of table.publishing) {
    const trials: Trial[][] = [];
    for (const column of columns) {
      if (publishing === 'syncs' && column.onlyRetained === true) {
        trials.push([]);
        continue;
      }
      const isGuarded = column.way.restMs > 0 || column.way.name.startsWith('run');
      say(`${column.way.name}, ${nameOf(publishing)}`);
      const tried = await tryWay(clients, { ...column, publishing, runs, work });
      trials.push(tried);
      if (isGuarded) for (const trial of tried) reportTrouble(column.way.name, trial);
    }
    rows.push({ publishing, trials });
  }
  const names = columns.map(({ way }) => `${way.name}: ok / failed / mixed`);
  head(['client, by HTTP', 'publications', ...names, 'publications in a run']);
  for (const client of clients) {
    for (const { publishing, trials } of rows) {
      const own = trials.map((column) => column.find((trial) => trial.client === client));
      const cells = own.map((trial) => (trial === undefined ? '–' : figures(trial)));
      const tried = own.filter((trial) => trial !== undefined);
      row([client.name, nameOf(publishing), ...cells, meanFlips(tried)]);
    }
  }
}

async function columnsOf(
  clients: readonly Client[],
  work: string,
  { mirror, archive }: Pick<HttpTable, 'mirror' | 'archive'>,
): Promise<Column[]> {
  const questions = await questionsOf(clients, mirror, join(work, 'questions'));
  const ways = [
    nginxAlone,
    apacheAlone,
    throughSquid(nginxAlone),
    serve,
    nginxGuarded,
    apacheGuarded,
    underRun(serve),
    throughSquid(serve),
    throughSquid(nginxGuarded),
    amongNeighbours(serve, questions),
    amongNeighbours(nginxGuarded, questions),
  ];
  const columns = [
    ...ways.map((way) => ({ way, mirror })),
    { way: serveForgetfully, mirror: archive, between: 'sleep 1', onlyRetained: true },
  ];
  return columns.filter(({ way: { name, programs } }) => {
    const missing = missingOf(...programs);
    if (missing.length > 0) say(`${name} is skipped: ${missing.join(', ')} not installed`);
    return missing.length === 0;
  });
}

function nameOf(publishing: Publishing): string {
  return publishing === 'syncs' ? 'syncs that prune' : `a flip every ${publishing} ms`;
}
