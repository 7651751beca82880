import { chmodSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '../repositories/client.ts';
import { Flipper } from '../repositories/flipper.ts';
import type { RepositoryMirror } from '../repositories/mirror.ts';
import { Promotions } from '../repositories/promotions.ts';
import type { Publisher } from '../repositories/publisher.ts';
import { Syncs } from '../repositories/syncs.ts';
import { type Trial, type TrialOptions, tryClientsInTurn } from '../repositories/trial.ts';
import type { Way } from './ways.ts';

/** Flips of `current` at intervals in ms, or real syncs that prune, one after the other. */
export type Publishing = number | 'syncs';

/** The settings of a trial over HTTP. */
export interface HttpTrialOptions
  extends Pick<
    TrialOptions,
    'runs' | 'untilTrouble' | 'between' | 'work' | 'keepsTroubled' | 'onTrouble'
  > {
  readonly way: Way;
  /** Flips `current` or a channel of this mirror, or syncs another mirror to its snapshots. */
  readonly mirror: RepositoryMirror;
  readonly publishing: Publishing | 'promotions';
}

/** How many clients run at the same time: mostly they wait. */
const LANES = 2;

/** Lets clients update and install over HTTP while snapshots are published. */
export async function tryWay(
  clients: readonly Client[],
  { way, mirror, publishing, work, ...options }: HttpTrialOptions,
): Promise<Trial[]> {
  const directory = mkdtempSync(join(work, 'way-'));
  // Servers read and write as users of their own.
  chmodSync(directory, 0o755);
  const { root, publisher } = await startPublishing(mirror, publishing, directory);
  try {
    const served = await way.start({ ...mirror, root }, join(directory, 'servers'));
    try {
      const { access, logs } = served;
      const all = { ...options, access, logs, restMs: way.restMs, publisher, work };
      const lanes = Array.from({ length: LANES }, (_, lane) =>
        tryClientsInTurn(
          clients.filter((_, index) => index % LANES === lane),
          all,
        ),
      );
      return (await Promise.all(lanes)).flat();
    } finally {
      await served.stop();
    }
  } finally {
    await publisher.stop();
  }
}

async function startPublishing(
  mirror: RepositoryMirror,
  publishing: HttpTrialOptions['publishing'],
  directory: string,
): Promise<{ root: string; publisher: Publisher }> {
  if (publishing === 'promotions') {
    const publisher = new Promotions(mirror);
    await publisher.first;
    return { root: mirror.root, publisher };
  }
  if (publishing !== 'syncs') {
    return { root: mirror.root, publisher: new Flipper(mirror.root, mirror.ids, publishing) };
  }
  const root = join(directory, 'mirror');
  const publisher = new Syncs(mirror, root);
  await publisher.first;
  return { root, publisher };
}
