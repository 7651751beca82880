import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram, transcript } from '../../support/program.ts';
import { faultsOf } from '../damage/statements.ts';

/** How a mirror follows its upstream. */
export interface Policy {
  readonly name: string;
  readonly words: readonly string[];
}

const CHECKED = ['--check', 'auto', '--check-content'];

export const checked: Policy = { name: 'with checks', words: CHECKED };

/** From the best to what rsync alone does. */
export const policies: readonly Policy[] = [
  checked,
  { name: 'with checks, --without settle', words: [...CHECKED, '--without', 'settle'] },
  { name: 'without checks', words: [] },
  { name: 'without checks, --without settle', words: ['--without', 'settle'] },
];

/** A mirror that follows an upstream, and what came of it. */
export class Follower {
  readonly policy: Policy;
  readonly root: string;
  readonly counts = { published: 0, unchanged: 0, refused: 0, unsettled: 0, broken: 0 };
  /** What was wrong with what was published, a sentence each. */
  readonly faults: string[] = [];
  readonly #source: string;

  /** @param root of a mirror that does not exist yet. */
  constructor(policy: Policy, source: string, root: string) {
    this.policy = policy;
    this.#source = source;
    this.root = root;
  }

  /** Syncs once, and holds what was published against what Python reads in it. */
  async follow(...words: string[]): Promise<void> {
    const all = ['--allow-shrink', '--json', ...this.policy.words, ...words];
    const result = await runProgram([
      ...['sync', this.#source, this.root, ...all],
      // So that updates fall into transfers.
      ...['--', '--bwlimit=2m'],
    ]);
    if (result.exitCode === 65) this.counts.refused += 1;
    else if (result.exitCode === 69) this.counts.unsettled += 1;
    else if (result.exitCode !== 0) throw new Error(transcript(result));
    else if (result.json()['outcome'] === 'published') await this.#judge();
    else this.counts.unchanged += 1;
  }

  async #judge(): Promise<void> {
    this.counts.published += 1;
    const id = readlinkSync(join(this.root, 'current'));
    const faults = await faultsOf(join(this.root, id));
    if (faults.length === 0) return;
    this.counts.broken += 1;
    this.faults.push(`${id}: ${faults.slice(0, 3).join('; ')}`);
  }

  get line(): string {
    const { published, unchanged, refused, unsettled, broken } = this.counts;
    return `${this.policy.name}: ${published} published, ${broken} of them broken; ${refused} refused, ${unsettled} unsettled, ${unchanged} unchanged`;
  }
}
