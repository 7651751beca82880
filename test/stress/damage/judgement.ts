import { dirname, posix } from 'node:path';
import type { FindingKind } from '../../../src/checks/finding.ts';
import { ANY, type Circumstances, isSignedBy, type Judgement } from './circumstances.ts';
import type { Statement } from './statements.ts';
import { TreeJudge } from './tree-judge.ts';
import { TreeState } from './tree-state.ts';
import type { Upstream } from './upstream.ts';

const TOP = /(^|\/)((In)?Release|repomd\.xml|SHA256SUMS|[^/]*\.sha256)$/;
const OF_PART = /\/binary-[^/]+\/Release$/;
const isTop = (name: string) => TOP.test(name) && !OF_PART.test(name);

/**
 * Judges a damaged tree by what was said of it when it was whole: a file that is as it was in one of its states
 * says what it said then, and that has to be true. Nothing is parsed.
 */
export async function judge(
  upstream: Upstream,
  tree: string,
  how: Circumstances,
): Promise<Judgement> {
  const judge = new Judge(upstream, new TreeState(tree), how);
  await judge.judgeTops();
  judge.judgeHeads();
  judge.judgeStatements();
  return judge;
}

class Judge extends TreeJudge {
  #want(names: readonly string[], ...kinds: FindingKind[]): void {
    this.wants.add(names, ...kinds);
  }

  async judgeTops(): Promise<void> {
    const { kind, states } = this.upstream;
    if (kind === 'sha256sums') return;
    const names = new Set(states.flatMap(({ files }) => [...files.keys()]));
    if (kind === 'rpm-md') await this.#judgeRepomd('repodata/repomd.xml', names);
    else await this.#judgeReleases('dists/stable', names);
  }

  async #judgeRepomd(name: string, names: ReadonlySet<string>): Promise<void> {
    const entry = this.tree.entry(name);
    if (typeof entry === 'object') {
      if (entry.size === 0 || !(await this.#isSigned(`${name}.asc`, name)))
        this.#want([name], ...ANY);
    } else if (this.tree.leadsAstray(name)) this.#want([name], 'not-regular');
    else {
      const lists = [...names].filter((one) => /primary\.xml/.test(one));
      if (lists.some((one) => this.#begins(one))) this.miss(name);
    }
  }

  /** A symlink to what is no file of the tree is not overlooked. */
  #begins(name: string): boolean {
    return this.tree.isFile(name) || this.tree.leadsAstray(name);
  }

  async #judgeReleases(suite: string, names: ReadonlySet<string>): Promise<void> {
    const [release, signature, clear] = ['Release', 'Release.gpg', 'InRelease'].map((one) =>
      posix.join(suite, one),
    ) as [string, string, string];
    for (const name of names)
      if (OF_PART.test(name) && this.tree.leadsAstray(name)) this.#want([name], 'not-regular');
    for (const name of [release, clear]) {
      if (this.tree.leadsAstray(name)) this.#want([name], 'not-regular');
      const states = this.statesOf(name);
      const isExpired = states.length > 0 && states.every((state) => state.isExpired);
      const entry = this.tree.entry(name);
      const before = this.base?.entry(name);
      const isAsBefore =
        typeof before === 'object' && typeof entry === 'object' && before.sha256 === entry.sha256;
      if (isExpired && !isAsBefore) this.#want([name], 'expired');
    }
    if (this.tree.isFile(clear) && !(await this.#isSigned(clear))) this.#want([clear], ...ANY);
    if (this.tree.isFile(release)) {
      const isSigned = this.tree.isFile(signature)
        ? await this.#isSigned(signature, release)
        : !this.how.isSigned || this.tree.isFile(clear);
      if (!isSigned) this.#want([release, signature], ...ANY);
    } else if (this.tree.leadsAstray(release)) return;
    else if (this.tree.isFile(signature) || this.tree.leadsAstray(signature)) this.miss(release);
    else if (!this.tree.isFile(clear) && !this.tree.leadsAstray(clear)) {
      const begins = [...names].filter((one) => /\/(Packages(\.[gx]z)?|Release)$/.test(one));
      if (begins.some((one) => this.#begins(one))) this.miss(release);
    }
  }

  /** Asks gpgv(1), unless the files are right, or signatures do not count. */
  async #isSigned(...names: string[]): Promise<boolean> {
    const { isSigned } = this.how;
    if (!isSigned) return true;
    const files = names.map((name) => this.tree.entry(name));
    if (!files.every((file) => typeof file === 'object')) return false;
    return await isSignedBy(this.upstream.keyring, files);
  }

  judgeStatements(): void {
    const all = this.upstream.states.flatMap(({ statements }) => statements);
    const speakers = new Set(all.map(({ by }) => by));
    const tops = [...speakers].filter(isTop);
    const heard = new Set<string>();
    let isAnyTopUnreliable = false;
    for (const top of tops) {
      const isSum = this.upstream.kind === 'sha256sums';
      if (!this.tree.isFile(top) || (isSum && this.tree.isLink(top))) continue;
      const [state] = this.statesOf(top);
      if (state === undefined) {
        this.unreliable.add(top);
        isAnyTopUnreliable = true;
        continue;
      }
      const said = state.statements.filter(({ by }) => by === top);
      for (const { about } of said) heard.add(about);
      this.#judgeTop(said);
    }
    const others = [...speakers].filter((name) => !isTop(name));
    for (const plain of new Set(others.map(plainOf))) {
      const forms = others.filter((name) => plainOf(name) === plain);
      const there = forms.filter((name) => this.tree.isFile(name));
      const isHeard = there.some((name) => heard.has(name));
      if (there.length === 0 || !(isHeard || isAnyTopUnreliable)) continue;
      const common = this.upstream.states.find((state) =>
        there.every((name) => this.statesOf(name).includes(state)),
      );
      if (common === undefined || !isHeard) for (const name of there) this.unreliable.add(name);
      else
        for (const said of common.statements) if (said.by === there[0]) this.#judgeStatement(said);
    }
  }

  /** Judges all that a Release, a repomd.xml or a list says. */
  #judgeTop(statements: readonly Statement[]): void {
    for (const said of statements) {
      const { about, plain, form } = said;
      if (plain === undefined) {
        this.#judgeStatement(said);
        continue;
      }
      const forms = statements.filter((one) => one.plain === plain && one.form === undefined);
      const there = forms.filter((one) => this.tree.entry(one.about) !== 'missing');
      if (form !== undefined) {
        const isAsked = there.length === 1 || form !== plain;
        const place = dirname(about);
        const isKept = this.tree.has(place) || this.base?.has(place) === true;
        if (isAsked && isKept && this.tree.entry(form) !== 'missing') this.#judgeStatement(said);
      } else if (there.length === 0) this.#judgeAbsent(plain, forms);
      else if (there.includes(said)) this.#judgeStatement(said);
    }
  }

  /** An index that is not there in any of its forms. */
  #judgeAbsent(plain: string, forms: readonly Statement[]): void {
    if (this.how.chosen === undefined) return;
    const names = forms.map(({ about }) => about);
    const isInBase = names.some((name) => this.base?.has(name));
    const isBesideOthers =
      /\/(Packages|Sources)$/.test(plain) && this.tree.has(posix.dirname(plain));
    const isChosen = names.every((name) => this.how.chosen?.has(name));
    if ((isInBase || isBesideOthers) && isChosen) this.#want(names, 'missing');
  }

  #judgeStatement({ about, size, sum, depth }: Statement): void {
    const entry = this.tree.entry(about);
    if (entry === 'missing') {
      const isKnown = size !== null || !this.how.isChosenBySize;
      if (this.how.chosen === undefined || (isKnown && this.how.chosen.has(about)))
        this.#want([about], 'missing');
    } else if (entry === 'not-regular') this.#want([about], 'not-regular');
    else if (size !== null && entry.size !== size) this.#want([about], 'size');
    else if (`sha256:${entry.sha256}` !== sum && (depth === 'always' || this.how.content))
      this.#want([about], 'hash');
  }
}

function plainOf(name: string): string {
  return /\/(Packages|Sources)\.\w+$/.test(name) ? name.replace(/\.\w+$/, '') : name;
}
