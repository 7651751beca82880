import { Agent, get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** Something that a client asks for. */
export interface Question {
  readonly path: string;
  readonly userAgent: string;
}

/** The time between two questions of a neighbour, in ms. */
const EVERY_MS = 30;

/**
 * Other clients behind the same address: for each User-Agent one that asks for its questions in
 * turn, all the time, until it is stopped.
 */
export class Neighbours {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #ends: readonly Promise<void>[];
  #stopped = false;

  constructor(origin: string, questions: readonly Question[]) {
    const userAgents = [...new Set(questions.map(({ userAgent }) => userAgent))];
    this.#ends = userAgents.map((userAgent) =>
      this.#ask(
        origin,
        questions.filter((question) => question.userAgent === userAgent),
      ),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#ends);
    this.#agent.destroy();
  }

  async #ask(origin: string, questions: readonly Question[]): Promise<void> {
    for (let turn = 0; !this.#stopped; turn += 1) {
      const question = questions[turn % questions.length];
      if (question !== undefined) await this.#answer(origin, question);
      await pause(EVERY_MS);
    }
  }

  #answer(origin: string, { path, userAgent }: Question): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = { agent: this.#agent, headers: { 'user-agent': userAgent } };
      get(`${origin}${path}`, options, (response) => {
        response.resume().once('end', resolve).once('error', reject);
      }).once('error', reject);
    });
  }
}
