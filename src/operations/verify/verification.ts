import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hasCode } from '../../errors.ts';
import { currentId } from '../../mirror/current.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { NameWriter } from '../../mirror/name-list.ts';
import { readableName } from '../../mirror/names.ts';
import type { CheckPolicy } from '../../mirror/settings/policy.ts';
import { compareWithRecord, leavesContentOpen, type Unread } from '../../mirror/sums/compare.ts';
import { parseFound } from '../../mirror/sums/facts.ts';
import { LateSums } from '../../mirror/sums/late.ts';
import { keyOf, type Line, linesIn, nameOfKey } from '../../mirror/sums/lines.ts';
import { amountOf, type ReadFile, readContent } from '../../mirror/sums/read-content.ts';
import { ReadingList } from '../../mirror/sums/reading-list.ts';
import { idOf, readRecords, recordOf } from '../../mirror/sums/record.ts';
import { damagedRecord, recordedLines } from '../../mirror/sums/recorded-lines.ts';
import { scanTree } from '../../mirror/sums/scan.ts';
import { bestChecksum } from '../../rsync/content-sums.ts';
import { Turns } from '../../system/event-loop.ts';
import type { OnEvent } from '../../writer/events.ts';
import type { HeldTree } from '../held-tree.ts';
import { DamageList } from './damage-list.ts';
import { keepResults } from './keep-results.ts';
import { Repositories } from './repositories.ts';
import type { Damage, VerifiedTree, VerifyOptions, VerifyResult } from './verified.ts';

const DEFAULT_JOBS = 2;

interface Means {
  /** A directory for files. */
  work: string;
  held: readonly HeldTree[];
  /** That of the mirror. */
  policy: CheckPolicy;
  isProbed: boolean;
  signal: AbortSignal;
}

/** One look at trees that are held. */
export class Verification {
  readonly #layout: Layout;
  readonly #options: VerifyOptions;
  readonly #means: Means;
  readonly #onEvent: OnEvent;
  readonly #trees = new Map<string, VerifiedTree>();
  readonly #damage: DamageList;
  readonly #list: ReadingList;
  readonly #late: LateSums;
  /** Of each tree the names that are wrong by what its repositories say, sorted. */
  readonly #wrong = new Map<string, Iterable<Line>>();
  /** The ids, a slash and the printable names of those that a repository could not be asked for. */
  readonly #unreadable = new Set<string>();
  readonly #done = { files: 0, bytes: 0 };

  constructor(layout: Layout, options: VerifyOptions, means: Means) {
    this.#layout = layout;
    this.#options = options;
    this.#means = means;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#damage = new DamageList(layout);
    this.#list = new ReadingList(join(means.work, 'files'));
    this.#late = new LateSums(means.work);
  }

  async run(): Promise<VerifyResult> {
    const { bitrot = false, record = false } = this.#options;
    this.#onEvent({ kind: 'phase', phase: 'verifying' });
    for (const { id } of this.#means.held) await this.#compare(id);
    const read = bitrot || record ? await this.#readAll() : null;
    this.#damage.addSharers();
    const trees = [...this.#trees.values()];
    const results = { trees, hasRead: read !== null, late: this.#late, wrong: this.#wrong };
    const means = { work: this.#means.work, session: this.#session };
    await keepResults(this.#layout, results, this.#options, means);
    const isWhole = trees.every((tree) => tree.damaged === 0 && tree.recordDamage === null);
    const { isProbed } = this.#means;
    return { root: this.#layout.root, isWhole, isProbed, trees, damage: this.#damage.list, read };
  }

  get #session() {
    const { held, signal } = this.#means;
    return { inherit: held.map(({ lease }) => lease.descriptor), signal };
  }

  /** Compares all but the content. */
  async #compare(id: string): Promise<void> {
    const { work, signal } = this.#means;
    const tree: VerifiedTree = {
      ...{ id, isCurrent: id === currentId(this.#layout), recordedAt: null, isRecordedLate: false },
      ...{ isRecordedNow: false, recordDamage: null },
      ...{ entries: 0, files: 0, unknown: 0, checked: 0, damaged: 0 },
    };
    this.#trees.set(id, tree);
    const place = join(work, id);
    mkdirSync(place);
    const recorded = await this.#recorded(tree, place);
    const { lines, hidden } = await this.#scan(id);
    if (hidden !== undefined) this.#onEvent({ kind: 'warning', message: hidden });
    const turns = new Turns(signal);
    const settled = new NameWriter(this.#settledIn(id));
    if (recorded === undefined) await this.#listAll(tree, lines, turns);
    else {
      const onFile = (file: Unread) => {
        tree.files += 1;
        if (file.sum === undefined) tree.unknown += 1;
        else settled.write(keyOf(file.name));
        this.#list.add(id, file);
      };
      for (const found of compareWithRecord(lines, recorded, onFile)) {
        await turns.step();
        if (found === undefined) tree.entries += 1;
        else {
          this.#damage.add(tree, found);
          if (!leavesContentOpen(found.kind)) settled.write(keyOf(found.name));
        }
      }
    }
    settled.close();
    rmSync(place, { recursive: true, force: true });
  }

  /** The names of files whose content is known without the repositories, sorted. */
  #settledIn(id: string): string {
    return join(this.#means.work, `settled-${id}`);
  }

  #scan(id: string) {
    return scanTree(this.#layout.snapshot(id), join(this.#means.work, `tree-${id}`), this.#session);
  }

  /** @returns undefined if nothing is known. */
  async #recorded(tree: VerifiedTree, work: string): Promise<Iterable<Line> | undefined> {
    const { records, damaged } = readRecords(this.#layout);
    const record = recordOf(this.#layout, tree.id, { records });
    const unread = damaged.find((name) => idOf({ name }) === tree.id);
    if (record === undefined && unread === undefined) return undefined;
    try {
      if (record === undefined) throw damagedRecord(this.#layout, tree.id, unread ?? '');
      const lines = await recordedLines(this.#layout, record, work, this.#means.signal);
      Object.assign(tree, { recordedAt: record.at, isRecordedLate: record.isLate });
      return lines;
    } catch (error) {
      if (!hasCode(error, 'DAMAGED')) throw error;
      tree.recordDamage = error.message;
      return undefined;
    }
  }

  async #listAll(tree: VerifiedTree, lines: Iterable<Line>, turns: Turns): Promise<void> {
    for (const { key, said } of lines) {
      await turns.step();
      const { type, size, inode } = parseFound(said);
      if (type !== 'f') continue;
      tree.files += 1;
      tree.unknown += 1;
      if (this.#options.record)
        this.#list.add(tree.id, {
          name: nameOfKey(key),
          inode,
          size: Number(size),
          sum: undefined,
        });
    }
  }

  /** Reads all content that can be held against something. */
  async #readAll(): Promise<VerifyResult['read']> {
    const began = performance.now();
    await this.#askRepositories();
    await this.#read();
    return { ...this.#done, seconds: Math.round((performance.now() - began) / 100) / 10 };
  }

  /** Holds files of which no checksum was recorded against what the repositories say. */
  async #askRepositories(): Promise<void> {
    const unknown = [...this.#trees.values()].filter((tree) => tree.unknown > 0);
    if (unknown.length === 0) return;
    this.#onEvent({ kind: 'phase', phase: 'checking' });
    const { work, policy } = this.#means;
    const { jobs = DEFAULT_JOBS, idle: isIdle = false } = this.#options;
    const how = {
      ...this.#session,
      policy,
      work,
      reading: { jobs, isIdle },
      onEvent: this.#onEvent,
    };
    const repositories = new Repositories(this.#layout, how);
    for (const tree of unknown) {
      const answer = await repositories.ask(tree.id, linesIn(this.#settledIn(tree.id)));
      if (answer === undefined) continue;
      const { summed, read, findings, count, wrong } = answer;
      tree.checked = summed;
      this.#done.files += read.files;
      this.#done.bytes += read.bytes;
      this.#wrong.set(tree.id, wrong);
      for (const finding of findings) {
        this.#damage.addFinding(tree, finding);
        if (finding.kind === 'unreadable') this.#unreadable.add(`${tree.id}/${finding.name}`);
      }
      tree.damaged += count - findings.length;
    }
  }

  /** Reads the content of all files that have the size that was recorded. */
  async #read(): Promise<void> {
    const { work, held } = this.#means;
    const { record = false, jobs = DEFAULT_JOBS, idle = false } = this.#options;
    await this.#list.sort(this.#session);
    const otherwise = record ? await bestChecksum() : undefined;
    const total = amountOf(this.#list, otherwise);
    this.#onEvent({ kind: 'phase', phase: 'reading' });
    const nothing = join(work, 'nothing');
    mkdirSync(nothing);
    const above = dirname(this.#layout.snapshot(held[0]?.id ?? LIVE));
    const options = { ...this.#session, above, nothing, jobs, otherwise, isIdle: idle };
    const before = { ...this.#done };
    await readContent(this.#list, options, (file) => {
      this.#done.files += 1;
      this.#done.bytes += file.size;
      const files = this.#done.files - before.files;
      const bytes = this.#done.bytes - before.bytes;
      const [totalFiles, totalBytes] = [total.files, total.bytes];
      this.#onEvent({ kind: 'progress', files, bytes, totalFiles, totalBytes });
      this.#judge(file);
    });
  }

  #judge({ names, algorithm, hex, complaints }: ReadFile): void {
    const known = names.filter(({ sum }) => sum?.algorithm === algorithm);
    const wrong = known.filter(({ path, sum }) => sum?.hex !== hex && !this.#isListed(path, hex));
    const [first] = wrong;
    if (first !== undefined) {
      const kind = hex === undefined ? 'unreadable' : 'content';
      const expected = `${algorithm} ${first.sum?.hex}`;
      const found = hex === undefined ? complaints : `${algorithm} ${hex}`;
      let listed: Damage | undefined;
      for (const { path } of wrong) {
        const { id, name } = splitPath(path);
        const tree = this.#trees.get(id);
        if (tree === undefined) continue;
        if (path === first.path) listed = this.#damage.add(tree, { name, kind, expected, found });
        else tree.damaged += 1;
      }
      listed?.alsoIn.push(...wrong.slice(1).map(({ path }) => readableName(path).name));
    } else if (hex !== undefined && this.#options.record) {
      for (const { path, sum } of names) {
        const { id, name } = splitPath(path);
        if (sum === undefined) this.#late.add(id, name, algorithm, hex);
      }
    }
  }

  /** A list that cannot be read is noticed twice: when the repository is asked, and now. */
  #isListed(path: string, hex: string | undefined): boolean {
    return hex === undefined && this.#unreadable.has(readableName(path).name);
  }
}

/** @param path the id of a tree, a slash and a name. */
function splitPath(path: string): { id: string; name: string } {
  const slash = path.indexOf('/');
  return { id: path.slice(0, slash), name: path.slice(slash + 1) };
}
