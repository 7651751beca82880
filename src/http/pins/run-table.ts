import { networkOf } from '../client-address.ts';

/** What tells one client from another. */
export interface Client {
  readonly address: string;
  /** Its User-Agent, and whatever else its runs depend on. */
  readonly agent: string;
}

/** How many runs are remembered, and how many of one network. */
export interface TableLimits {
  readonly maxPins: number;
  readonly maxPinsOfNetwork: number;
}

/**
 * The runs of clients, by their networks. Where there are too many, the network that has too many, or the most, loses
 * its quietest: no network can end the runs of another by its own.
 */
export class RunTable<Run extends { readonly active: number }> {
  /** Maps keep the order of insertion, and `put` moves a network and a client to the end: the quietest come first. */
  readonly #networks = new Map<string, Map<string, Run>>();
  readonly #limits: TableLimits;
  #size = 0;

  constructor(limits: TableLimits) {
    this.#limits = limits;
  }

  get(client: Client): Run | undefined {
    return this.#networks.get(networkOf(client.address))?.get(keyOf(client));
  }

  /** Puts a run in its client's place, at the end. */
  put(client: Client, run: Run): void {
    const network = networkOf(client.address);
    const runs = this.#networks.get(network) ?? new Map<string, Run>();
    if (!runs.delete(keyOf(client))) this.#size += 1;
    runs.set(keyOf(client), run);
    this.#networks.delete(network);
    this.#networks.set(network, runs);
  }

  /** @returns false if the client has another run, or none. */
  remove({ address, agent }: Client, run: Run): boolean {
    const network = networkOf(address);
    const runs = this.#networks.get(network);
    const key = keyOf({ address, agent });
    if (runs?.get(key) !== run) return false;
    runs.delete(key);
    if (runs.size === 0) this.#networks.delete(network);
    this.#size -= 1;
    return true;
  }

  /** The run that has to go before this client gets one more; none while there is room, or all are busy. */
  surplusFor({ address }: Client): [Client, Run] | undefined {
    const { maxPins, maxPinsOfNetwork } = this.#limits;
    const own = this.#networks.get(networkOf(address));
    if (own !== undefined && own.size >= maxPinsOfNetwork) return quietestOf(own);
    if (this.#size < maxPins) return undefined;
    const [largest] = [...this.#networks.values()].sort((a, b) => b.size - a.size);
    return largest && quietestOf(largest);
  }

  *[Symbol.iterator](): Generator<[Client, Run]> {
    for (const runs of this.#networks.values()) {
      for (const [key, run] of runs) yield [clientOf(key), run];
    }
  }
}

function quietestOf<Run extends { readonly active: number }>(
  runs: ReadonlyMap<string, Run>,
): [Client, Run] | undefined {
  for (const [key, run] of runs) if (run.active === 0) return [clientOf(key), run];
  return undefined;
}

/** No address has a space in it. */
function keyOf({ address, agent }: Client): string {
  return `${address} ${agent}`;
}

function clientOf(key: string): Client {
  const space = key.indexOf(' ');
  return { address: key.slice(0, space), agent: key.slice(space + 1) };
}
