import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { CheckFinding } from '../../src/checks/finding.ts';
import { type CheckKind, DEFAULT_CHECK } from '../../src/mirror/settings/policy.ts';
import { missingOf } from '../support/installed.ts';
import { rpmRepository } from '../support/repositories/rpm-repository.ts';
import {
  writeBandersnatch,
  writePip2pi,
  writeSimple503,
} from '../support/repositories/simple-indexes.ts';
import { makeScratch } from '../support/scratch.ts';
import type { Circumstances, Judgement } from './damage/circumstances.ts';
import { type Damage, damage, damages, eachToAPackage } from './damage/damages.ts';
import { judge } from './damage/judgement.ts';
import { judgeLists } from './damage/list-judgement.ts';
import { alpineUpstream, archUpstream } from './damage/tar-upstreams.ts';
import type { Upstream } from './damage/upstream.ts';
import { aptUpstream, rpmUpstream, sumsUpstream } from './damage/upstreams.ts';
import { npmUpstream, pythonUpstream, verdaccioUpstream } from './damage/web-upstreams.ts';
import { byScale, givenSeed, HOUR_MS, tellSummary } from './scale.ts';

/** How often each kind is damaged. */
const RUNS = byScale({ sample: 30, all: 3_000 });

// As it is built: its threads cannot be started from a file that only vitest can load.
const built = new URL('../../dist/checks/check-tree.js', import.meta.url).href;
const { checkTree } = (await import(built)) as typeof import('../../src/checks/check-tree.ts');

const scratch = makeScratch();
afterAll(() => scratch.remove());

const OF_ARCH = ['repo-add', 'makepkg', 'bsdtar', 'gpg'];

const kinds: { name: string; programs: string[]; make: (home: string) => Promise<Upstream> }[] = [
  { name: 'apt', programs: ['apt-ftparchive', 'gpg'], make: aptUpstream },
  { name: 'rpm-md', programs: [...rpmRepository.programs, 'gpg'], make: rpmUpstream },
  { name: 'sha256sums', programs: [], make: sumsUpstream },
  { name: 'arch', programs: OF_ARCH, make: (home) => archUpstream(home, '.tar.gz') },
  {
    name: 'arch without compression',
    programs: OF_ARCH,
    make: (home) => archUpstream(home, '.tar'),
  },
  { name: 'alpine', programs: ['openssl'], make: alpineUpstream },
  {
    name: 'pypi by bandersnatch',
    programs: [],
    make: (home) => pythonUpstream(home, writeBandersnatch),
  },
  { name: 'pypi by pip2pi', programs: [], make: (home) => pythonUpstream(home, writePip2pi) },
  { name: 'pypi by simple503', programs: [], make: (home) => pythonUpstream(home, writeSimple503) },
  { name: 'npm in files', programs: [], make: npmUpstream },
  { name: 'npm by Verdaccio', programs: [], make: verdaccioUpstream },
];

/** Those whose lists are named by others with their checksums. */
const NAMED: readonly CheckKind[] = ['apt', 'rpm-md', 'sha256sums'];

/** What is drawn beside the damages. */
const circumstances = fc.record({
  content: fc.boolean(),
  isSigned: fc.boolean(),
  /** The rules of rsync by which a mirror has chosen, of which there may be none; undefined for a directory. */
  rules: fc.option(fc.nat(), { nil: undefined }),
  /** What readers have, of the states. */
  base: fc.option(fc.nat(), { nil: undefined }),
});

describe.for(kinds)(
  'a check of $name finds what random damage has made wrong, and nothing else',
  (kind) => {
    const missing = missingOf(...kind.programs);
    const why = missing.length === 0 ? '' : ` (skipped: without ${missing.join(', ')})`;
    test.skipIf(why !== '')(
      `in ${RUNS} runs${why}`,
      { timeout: byScale({ sample: HOUR_MS / 6, all: HOUR_MS }) },
      async () => {
        const trials = new Trials(
          await kind.make(join(scratch.path, kind.name)),
          join(scratch.path, `${kind.name}-trials`),
        );
        const plainly = { content: true, isSigned: true, rules: undefined, base: undefined };
        const examples: [Damage[], Drawn][] = [[], ...eachToAPackage].map((all) => [all, plainly]);
        await fc.assert(
          fc.asyncProperty(damages, circumstances, (all, how) => trials.run(all, how)),
          {
            numRuns: RUNS + examples.length,
            seed: givenSeed(),
            endOnFailure: true,
            examples,
          },
        );
        tellSummary(`${kind.name}: ${trials.summary}`);
        expect(trials.clean).toBeGreaterThan(0);
        expect(trials.broken).toBeGreaterThan(0);
      },
    );
  },
);

interface Drawn {
  content: boolean;
  isSigned: boolean;
  rules: number | undefined;
  base: number | undefined;
}

/** Damages copies of one upstream, and checks them. */
class Trials {
  clean = 0;
  broken = 0;
  #findings = 0;
  #runs = 0;
  readonly #upstream: Upstream;
  readonly #home: string;
  /** The trees of a mirror with these rules, one a state of its upstream. */
  readonly #chosen = new Map<string, string[]>();

  constructor(upstream: Upstream, home: string) {
    this.#upstream = upstream;
    this.#home = home;
    mkdirSync(home);
  }

  get summary(): string {
    return `${this.#runs} runs, ${this.clean} of them harmless, ${this.#findings} findings`;
  }

  async run(all: readonly Damage[], { content, isSigned, rules, base }: Drawn): Promise<void> {
    this.#runs += 1;
    const { states, keyring, kind } = this.#upstream;
    const choices = [[], ...this.#upstream.rules];
    const rule = choices[(rules ?? 0) % choices.length] ?? [];
    const trees = this.#treesBy(rule);
    const [tree, work] = ['tree', 'work'].map((name) =>
      join(this.#home, `${this.#runs}`, name),
    ) as [string, string];
    mkdirSync(work, { recursive: true });
    cpSync(trees[0] ?? '', tree, { recursive: true, verbatimSymlinks: true });
    damage(tree, trees.slice(1), all);
    const how: Circumstances = {
      content,
      isSigned: isSigned && keyring !== '',
      chosen: rules === undefined ? undefined : new Set(trees.flatMap(namesIn)),
      isChosenBySize: rule.some((word) => /^--(max|min)-size=/.test(word)),
      base: base === undefined ? undefined : trees[base % states.length],
    };
    const judges = NAMED.includes(kind) ? judge : judgeLists;
    const judgement = await judges(this.#upstream, tree, how);
    const { findings, count } = await checkTree({
      tree,
      work,
      base: how.base,
      policy: { ...DEFAULT_CHECK, kinds: ['auto'], keyring: how.isSigned ? keyring : '', content },
      selection: rules === undefined ? undefined : { options: rule, without: [] },
      env: {},
      inherit: [],
      signal: new AbortController().signal,
    });
    expect(count, 'all are listed').toBe(findings.length);
    expect(differences(judgement, findings), `${kind}, ${rule.join(' ')}`).toEqual([]);
    this.#findings += count;
    if (judgement.wanted.length > 0) this.broken += 1;
    else if (judgement.unreliable.size === 0) this.clean += 1;
    rmSync(join(this.#home, `${this.#runs}`), { recursive: true });
  }

  #treesBy(rule: readonly string[]): string[] {
    const known = this.#chosen.get(rule.join(' '));
    if (known !== undefined) return known;
    const trees = this.#upstream.states.map(({ tree }, at) => {
      const chosen = join(this.#home, `chosen-${this.#chosen.size}-${at}`);
      execFileSync('rsync', ['-a', ...rule, `${tree}/`, `${chosen}/`]);
      return chosen;
    });
    this.#chosen.set(rule.join(' '), trees);
    return trees;
  }
}

/** The names of all entries. */
function namesIn(tree: string): string[] {
  return readdirSync(tree, { recursive: true, encoding: 'utf8' });
}

/** What was not found, and what should not have been. */
function differences(
  { wanted, unreliable }: Judgement,
  findings: readonly CheckFinding[],
): string[] {
  const found = findings.map((finding) => ({ ...finding, name: exactName(finding) }));
  const missed = wanted.filter(
    ({ names, kinds }) => !found.some(({ name, kind }) => names.includes(name) && kinds.has(kind)),
  );
  const excess = found.filter(
    ({ name, by }) =>
      !unreliable.has(name) &&
      !unreliable.has(by) &&
      !wanted.some(({ names }) => names.includes(name)),
  );
  return [
    ...missed.map(({ names, kinds }) => `not found: ${[...kinds].join('|')} ${names.join('|')}`),
    ...excess.map(({ kind, name, by }) => `found, but right: ${kind} ${name} (${by})`),
  ];
}

function exactName({ name, nameBytes }: CheckFinding): string {
  return nameBytes === undefined ? name : Buffer.from(nameBytes, 'hex').toString('latin1');
}
