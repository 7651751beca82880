import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';
import type { FindingKind } from '../../../src/checks/finding.ts';
import { ANY, type Circumstances, isSignedBy, type Judgement } from './circumstances.ts';
import { type Statement, statementsIn, sumLike } from './statements.ts';
import { TreeJudge } from './tree-judge.ts';
import { TreeState } from './tree-state.ts';
import type { Upstream } from './upstream.ts';

/**
 * Judges a damaged tree by all of its lists, none of which is named by another with its checksum: what one that is
 * as it was in one of its states said then has to be true, and so has what Python reads in another.
 */
export async function judgeLists(
  upstream: Upstream,
  tree: string,
  how: Circumstances,
): Promise<Judgement> {
  const judge = new ListJudge(upstream, new TreeState(tree), how);
  await judge.judge();
  return judge;
}

const OF_CONTENT = ['size', 'hash'] as const;
const OF_ENTRY = ['missing', 'not-regular', ...OF_CONTENT] as const;

class ListJudge extends TreeJudge {
  /** Lists that Python cannot read. */
  readonly #unread = new Set<string>();

  async judge(): Promise<void> {
    const all = this.upstream.states.flatMap(({ statements }) => statements);
    const lists = [...new Set(all.map(({ by }) => by))].sort();
    const there = lists.filter((name) => this.tree.isFile(name));
    const known = there.flatMap((name) => {
      const [state] = this.statesOf(name);
      if (state === undefined) this.unreliable.add(name);
      return state?.statements.filter(({ by }) => by === name) ?? [];
    });
    const read = await statementsIn(this.tree.tree, [...this.unreliable]);
    for (const said of read) if ('fault' in said) this.#unread.add(said.by);
    for (const name of this.#unread)
      if (this.#isCertain(name, there)) this.wants.add(this.#namesOf(name, lists), ...ANY);
    const statements = [...known, ...read].filter((said): said is Statement => 'about' in said);
    for (const said of statements) await this.#judgeStatement(said, there);
    this.judgeHeads();
    const { kind, keyring } = this.upstream;
    for (const name of lists)
      if ((kind === 'alpine' || name.endsWith('-db.json')) && this.tree.leadsAstray(name))
        this.wants.add([name], 'not-regular');
    if (kind === 'arch') {
      for (const name of lists) this.#judgeLost(name);
      const speakers = new Set(statements.map(({ by }) => by));
      await this.#judgeDatabaseSignatures([...speakers].sort());
    }
    for (const name of kind === 'alpine' && this.how.isSigned ? there : []) {
      const entry = this.tree.entry(name);
      if (typeof entry === 'object' && !(await isSignedBy(keyring, [entry])))
        this.wants.add([name], ...ANY);
    }
  }

  /** All names of a list, of which some may be links to it. */
  #namesOf(name: string, lists: readonly string[]): string[] {
    const pathOf = (one: string) => {
      const entry = this.tree.entry(one);
      return typeof entry === 'object' ? entry.path : undefined;
    };
    return lists.filter((one) => pathOf(one) === pathOf(name));
  }

  /** Whether nothing but a list can have been what cannot be read. */
  #isCertain(name: string, there: readonly string[]): boolean {
    const { kind } = this.upstream;
    if (kind === 'alpine') return true;
    if (kind === 'arch') {
      const database = name.replace(/\.(db|files)(\..*)?$/, '.db');
      return this.#hasPackages(name) && (/\.db/.test(name) || this.tree.isFile(database));
    }
    if (kind === 'npm') return name.endsWith('-db.json') || this.#hasTarballs(name);
    // The list at the top of a tree may be another page of its site.
    const isReliable = (one: string) =>
      this.tree.isFile(one) && !this.unreliable.has(one) && one !== name;
    if (/v1_/.test(name)) return true;
    return name.startsWith('simple/') ? there.some(isReliable) : isReliable('index.html');
  }

  #hasPackages(name: string): boolean {
    const directory = posix.dirname(name);
    if (!this.tree.has(directory)) return false;
    return readdirSync(join(this.tree.tree, directory)).some((one) =>
      /\.pkg\.tar(\.\w+)?$/.test(one),
    );
  }

  #hasTarballs(name: string): boolean {
    const directory = posix.dirname(name);
    return [directory, posix.join(directory, '-')].some(
      (one) =>
        this.tree.has(one) &&
        readdirSync(join(this.tree.tree, one)).some((file) => file.endsWith('.tgz')),
    );
  }

  async #judgeStatement(said: Statement, there: readonly string[]): Promise<void> {
    const { by, about, size, sum, depth, others = [], place, optional } = said;
    if (depth === 'signed' && !this.how.isSigned) return;
    if (others.some((name) => this.tree.isFile(name))) return;
    if (place && !this.tree.has(place) && !this.base?.has(place)) return;
    // Several lists may say something of it, and what one has never said before may also be refused as such.
    const want = (...kinds: FindingKind[]) =>
      this.unreliable.has(by)
        ? this.wants.add([about, by], ...OF_ENTRY, ...ANY)
        : this.wants.add([about], ...kinds);
    const entry = this.tree.entry(about);
    if (entry === 'missing') {
      if (optional || !this.#isMissed(said, there)) return;
      const isKnown = size !== null || !this.how.isChosenBySize;
      if (this.how.chosen === undefined || (isKnown && this.how.chosen.has(about))) want('missing');
    } else if (entry === 'not-regular') want('not-regular');
    else if (size !== null && entry.size !== size) want(...OF_CONTENT);
    else if (sum !== null && (depth === 'always' || this.how.content)) {
      const right = await sumLike(sum, entry);
      if (right !== sum) want(...OF_CONTENT);
    }
  }

  /**
   * A registry may keep documents alone. Then no tarball is missed, unless readers have it. If all documents that have
   * any cannot be read, nobody can say what counts.
   */
  #isMissed({ by, about }: Statement, there: readonly string[]): boolean {
    if (!about.includes('/-/')) return true;
    const tarballs = (name: string) => posix.join(posix.dirname(name), '-');
    const kept = there.filter((name) => this.tree.has(tarballs(name)));
    const isKept = kept.some((name) => !this.#unread.has(name));
    if (isKept || this.base?.has(tarballs(by)) === true) return true;
    if (kept.length > 0) this.unreliable.add(about);
    return false;
  }

  /** Looks for databases that are lost, but for links to them and signatures of them. */
  #judgeLost(name: string): void {
    if (!this.#hasPackages(name)) return;
    if (this.tree.isLink(name) && !this.tree.isFile(name)) {
      const target = readlinkSync(join(this.tree.tree, name));
      const there = posix.join(posix.dirname(name), target);
      this.miss(there.startsWith('..') ? name : there);
    }
    const signature = `${name}.sig`;
    // Those of a list of files alone are not looked for.
    if (signature.endsWith('.files.sig') || !this.tree.has(signature)) return;
    const isDirectory = lstatSync(join(this.tree.tree, signature)).isDirectory();
    if (!isDirectory) this.miss(name);
  }

  /** A database need not be signed, unless that which readers have is. */
  async #judgeDatabaseSignatures(databases: readonly string[]): Promise<void> {
    if (!this.how.isSigned) return;
    const judged = new Set<string>();
    for (const name of databases) {
      const [entry, signature] = [name, `${name}.sig`].map((one) => this.tree.entry(one));
      if (typeof entry !== 'object' || judged.has(entry.path)) continue;
      judged.add(entry.path);
      const isRight =
        signature === 'missing'
          ? this.base?.has(`${name}.sig`) !== true
          : typeof signature === 'object' &&
            (await isSignedBy(this.upstream.keyring, [signature, entry]));
      if (!isRight) this.wants.add([name], 'signature');
    }
  }
}
