/** How much is admitted at a time. */
export interface TurnLimits {
  /** Pieces of work that are under way together. */
  readonly together: number;
  /** Guests, of all clients and of one. */
  readonly most: number;
  readonly mostOfClient: number;
}

/** Somebody whose work is done in turns. */
export interface Guest {
  /** Does a piece of it, when it is this client's turn. */
  turn<Result>(work: () => Promise<Result>): Promise<Result>;
  leave(): void;
}

/**
 * Work that comes in many small pieces, for many at a time: few pieces are under way together, and the clients have
 * their turns one after the other, however much each of them wants. So neither the event loop nor the threads behind
 * it have more to do before something else than these few pieces.
 */
export class Turns {
  readonly #limits: TurnLimits;
  /** How many guests each client has. */
  readonly #guests = new Map<string, number>();
  #size = 0;
  /** What waits, by client; the client whose turn it is comes first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #underWay = 0;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** @returns undefined if there are too many guests. */
  enter(client: string): Guest | undefined {
    const own = this.#guests.get(client) ?? 0;
    if (this.#size >= this.#limits.most || own >= this.#limits.mostOfClient) return undefined;
    this.#size += 1;
    this.#guests.set(client, own + 1);
    return {
      turn: (work) => this.#turn(client, work),
      leave: () => this.#leave(client),
    };
  }

  #leave(client: string): void {
    this.#size -= 1;
    const left = (this.#guests.get(client) ?? 0) - 1;
    if (left > 0) this.#guests.set(client, left);
    else this.#guests.delete(client);
  }

  async #turn<Result>(client: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#underWay < this.#limits.together) this.#underWay += 1;
    else await new Promise<void>((begin) => this.#wait(client, begin));
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  #wait(client: string, begin: () => void): void {
    const own = this.#waiting.get(client);
    if (own === undefined) this.#waiting.set(client, [begin]);
    else own.push(begin);
  }

  #next(): void {
    const [[client, own] = []] = this.#waiting;
    if (client === undefined) {
      this.#underWay -= 1;
      return;
    }
    const begin = own?.shift();
    this.#waiting.delete(client);
    if (own !== undefined && own.length > 0) this.#waiting.set(client, own);
    begin?.();
  }
}
