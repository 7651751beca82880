import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckReport, checkTree, type Known } from '../../checks/check-tree.ts';
import { describeExcepted } from '../../checks/exceptions.ts';
import type { Reading } from '../../checks/hash-threads.ts';
import { hasCode } from '../../errors.ts';
import type { Layout } from '../../mirror/layout.ts';
import { NameWriter, readNames } from '../../mirror/name-list.ts';
import type { CheckPolicy } from '../../mirror/settings/policy.ts';
import { keyOf, type Line, sortedLines } from '../../mirror/sums/lines.ts';
import type { OnEvent } from '../../writer/events.ts';

export interface AskOptions {
  /** That of the mirror. */
  policy: CheckPolicy;
  /** A directory for files. */
  work: string;
  reading: Reading;
  inherit: readonly number[];
  signal: AbortSignal;
  onEvent: OnEvent;
}

/** What the repositories in a tree say of the content of its files. */
export type Answer = Pick<CheckReport, 'summed' | 'read' | 'findings' | 'count'> & {
  /** The names of the files that are not as they say, sorted. */
  wrong: Iterable<Line>;
};

/** Asks the repositories in trees what the files are of which no checksum was recorded. */
export class Repositories {
  readonly #layout: Layout;
  readonly #options: AskOptions;
  /** What was right in the tree before; files that the next one shares with it are not read again. */
  #last: { work: string; known: Known } | undefined;

  constructor(layout: Layout, options: AskOptions) {
    this.#layout = layout;
    this.#options = options;
  }

  /**
   * @param settled sorted lines of the files of which that is known otherwise.
   * @returns undefined if it cannot be found out here, for which there is an event.
   */
  async ask(id: string, settled: Iterable<Line>): Promise<Answer | undefined> {
    const { policy, reading, inherit, signal, onEvent } = this.#options;
    const work = join(this.#options.work, `asked-${id}`);
    mkdirSync(work);
    const kinds = policy.kinds.filter((kind) => kind !== 'none');
    try {
      const report = await checkTree({
        tree: this.#layout.snapshot(id),
        policy: {
          ...OF_CONTENT,
          kinds: kinds.length > 0 ? kinds : ['auto'],
          except: policy.except,
        },
        work,
        contentBeside: settled,
        known: { heads: [], lines: this.#last?.known.lines ?? [] },
        env: {},
        reading,
        inherit,
        signal,
        onProgress: (progress) => onEvent({ kind: 'progress', ...progress }),
      });
      const wrong = await this.#linesOf(id, report.wrong);
      if (this.#last !== undefined) rmSync(this.#last.work, { recursive: true });
      this.#last = { work, known: report.verified };
      for (const one of report.excepted)
        if (one.count > 0) onEvent({ kind: 'notice', message: describeExcepted(one) });
      return { ...report, wrong };
    } catch (error) {
      if (!hasCode(error, 'UNAVAILABLE')) throw error;
      onEvent({
        kind: 'warning',
        message: `what the repositories say of files without a checksum cannot be read: ${error.message}`,
      });
      return undefined;
    }
  }

  /** @param names the path of a file with names. */
  async #linesOf(id: string, names: string | undefined): Promise<Iterable<Line>> {
    if (names === undefined) return [];
    const path = join(this.#options.work, `wrong-${id}`);
    const writer = new NameWriter(path);
    for (const name of readNames(names)) writer.write(keyOf(name));
    writer.close();
    return await sortedLines([path], `${path}.sorted`, this.#options);
  }
}

/** Neither a person's command nor a signature says that a disk has changed a file. */
const OF_CONTENT = { command: '', timeoutMs: 0, keyring: '', content: true } as const;
