import { posix } from 'node:path';
import type { CheckKind } from '../../../src/mirror/settings/policy.ts';
import { ANY, type Circumstances, type Judgement, Wants } from './circumstances.ts';
import { TreeState } from './tree-state.ts';
import type { State, Upstream } from './upstream.ts';

/** What a repository begins with; those of one directory are one. */
const HEADS: Readonly<Record<CheckKind, RegExp>> = {
  apt: /^dists\/[^/]+\/(In)?Release$/,
  'rpm-md': /(^|\/)repodata\/repomd\.xml$/,
  sha256sums: /(^|\/)(SHA256SUMS|[^/]*\.sha256)$/,
  arch: /\.(db|files)(\.tar(\.gz)?)?$/,
  alpine: /(^|\/)APKINDEX\.tar\.gz$/,
  pypi: /^(simple\/)?index\.\w+$/,
  npm: /(^|\/)(index|package)\.json$/,
};

/** What is known of a damaged tree, and what it misses because readers have it, whatever the kind. */
export abstract class TreeJudge implements Judgement {
  readonly unreliable = new Set<string>();
  protected readonly wants = new Wants();
  protected readonly upstream: Upstream;
  protected readonly tree: TreeState;
  protected readonly base: TreeState | undefined;
  protected readonly how: Circumstances;

  constructor(upstream: Upstream, tree: TreeState, how: Circumstances) {
    this.upstream = upstream;
    this.tree = tree;
    this.how = how;
    this.base = how.base === undefined ? undefined : new TreeState(how.base);
  }

  get wanted() {
    return this.wants.all;
  }

  /** The states in which a file was as it is now. */
  protected statesOf(name: string): State[] {
    const entry = this.tree.entry(name);
    if (typeof entry === 'string') return [];
    return this.upstream.states.filter(({ files }) => files.get(name) === entry.sha256);
  }

  /** Wants what is not there to be found, unless it was left out on purpose. @param names one of which is enough. */
  protected miss(name: string, names: readonly string[] = [name]): void {
    const { chosen, isChosenBySize } = this.how;
    const isKnown = this.upstream.states.some(({ files }) => files.has(name));
    const isLeftOut = chosen !== undefined && isKnown && !chosen.has(name);
    const entry = this.tree.entry(name);
    if (entry === 'not-regular') this.wants.add(names, entry);
    else if (entry === 'missing' && !isLeftOut && !(chosen && isChosenBySize))
      this.wants.add(names, 'missing', 'not-regular');
  }

  /**
   * Judges what the repositories that readers have begin with. What begins one is as it was in one of its states;
   * of what is there otherwise, nobody can say whether it begins one still, unless it is empty.
   */
  judgeHeads(): void {
    const { kind, states } = this.upstream;
    const all = new Set(states.flatMap(({ files }) => [...files.keys()]));
    const heads = [...all].filter((name) => HEADS[kind].test(name)).sort();
    const placeOf = (name: string) => (kind === 'sha256sums' ? name : posix.dirname(name));
    const isHead = (name: string) => this.statesOf(name).length > 0;
    const there = heads.filter((name) => this.tree.isFile(name));
    for (const place of new Set(heads.map(placeOf))) {
      const names = heads.filter((name) => placeOf(name) === place);
      const [before] = names.filter((name) => this.base?.isFile(name));
      const own = there.filter((name) => placeOf(name) === place);
      const isLinkToList = kind === 'sha256sums' && this.tree.isLink(place);
      if (before === undefined || own.some(isHead) || isLinkToList) continue;
      if (own.length > 0) {
        for (const name of names) this.unreliable.add(name);
        if (own.every((name) => this.#isEmpty(name))) this.wants.add(names, ...ANY, 'missing');
      } else if (kind === 'sha256sums') continue;
      else if (this.tree.has(place) || there.length === 0) this.miss(before, names);
      else if (!there.some(isHead)) for (const name of names) this.unreliable.add(name);
    }
  }

  #isEmpty(name: string): boolean {
    const entry = this.tree.entry(name);
    return typeof entry === 'object' && entry.size === 0;
  }
}
