import { networkOf, siteOf } from '../client-address.ts';

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
 * The runs of clients, by their networks. Where there are too many, the network that has too many loses its quietest, or
 * that which has the most in the site that has the most: nobody can end the runs of another site by its own.
 */
export class RunTable<Run extends { readonly active: number }> {
  /** Maps keep the order of insertion, and `put` moves site, network and client to the end: the quietest come first. */
  readonly #networks = new Map<string, Network<Run>>();
  /** How many runs each site has. */
  readonly #sites = new Map<string, number>();
  readonly #limits: TableLimits;
  #size = 0;

  constructor(limits: TableLimits) {
    this.#limits = limits;
  }

  get(client: Client): Run | undefined {
    return this.#networks.get(networkOf(client.address))?.runs.get(keyOf(client));
  }

  /** Puts a run in its client's place, at the end. */
  put(client: Client, run: Run): void {
    const name = networkOf(client.address);
    const network = this.#networks.get(name) ?? { site: siteOf(client.address), runs: new Map() };
    const isNew = !network.runs.delete(keyOf(client));
    const ofSite = (this.#sites.get(network.site) ?? 0) + (isNew ? 1 : 0);
    this.#sites.delete(network.site);
    this.#sites.set(network.site, ofSite);
    if (isNew) this.#size += 1;
    network.runs.set(keyOf(client), run);
    this.#networks.delete(name);
    this.#networks.set(name, network);
  }

  /** @returns false if the client has another run, or none. */
  remove({ address, agent }: Client, run: Run): boolean {
    const name = networkOf(address);
    const network = this.#networks.get(name);
    const key = keyOf({ address, agent });
    if (network?.runs.get(key) !== run) return false;
    network.runs.delete(key);
    if (network.runs.size === 0) this.#networks.delete(name);
    const ofSite = (this.#sites.get(network.site) ?? 0) - 1;
    if (ofSite > 0) this.#sites.set(network.site, ofSite);
    else this.#sites.delete(network.site);
    this.#size -= 1;
    return true;
  }

  /** The run that has to go before this client gets one more; none while there is room, or all are busy. */
  surplusFor({ address }: Client): [Client, Run] | undefined {
    const { maxPins, maxPinsOfNetwork } = this.#limits;
    const own = this.#networks.get(networkOf(address));
    if (own !== undefined && own.runs.size >= maxPinsOfNetwork) return quietestOf(own);
    if (this.#size < maxPins) return undefined;
    const largest = this.#largestNetwork();
    return largest && quietestOf(largest);
  }

  #largestNetwork(): Network<Run> | undefined {
    const site = largestOf(this.#sites, ([, count]) => count)?.[0];
    return largestOf(this.#networks.values(), (one) => (one.site === site ? one.runs.size : 0));
  }

  *[Symbol.iterator](): Generator<[Client, Run]> {
    for (const { runs } of this.#networks.values()) {
      for (const [key, run] of runs) yield [clientOf(key), run];
    }
  }
}

interface Network<Run> {
  readonly site: string;
  readonly runs: Map<string, Run>;
}

/** The first of the largest; undefined if all have no size. */
function largestOf<Item>(items: Iterable<Item>, sizeOf: (item: Item) => number): Item | undefined {
  let [largest, most]: [Item | undefined, number] = [undefined, 0];
  for (const item of items) {
    const size = sizeOf(item);
    if (size > most) [largest, most] = [item, size];
  }
  return largest;
}

function quietestOf<Run extends { readonly active: number }>({
  runs,
}: Network<Run>): [Client, Run] | undefined {
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
