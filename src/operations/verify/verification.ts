import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { asMirrorlatchError, hasCode } from '../../errors.ts';
import { bytePath } from '../../mirror/byte-path.ts';
import { currentId } from '../../mirror/current.ts';
import { appendHistory } from '../../mirror/history/history.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { readableName } from '../../mirror/names.ts';
import { compareWithRecord, type Difference, MOST_LISTED } from '../../mirror/sums/compare.ts';
import { parseFound } from '../../mirror/sums/facts.ts';
import { addToRecord, LateSums, recordAnew } from '../../mirror/sums/late.ts';
import type { Line } from '../../mirror/sums/lines.ts';
import { nameOfKey } from '../../mirror/sums/lines.ts';
import { amountOf, type ReadFile, readContent } from '../../mirror/sums/read-content.ts';
import { ReadingList } from '../../mirror/sums/reading-list.ts';
import { idOf, readRecords, recordOf } from '../../mirror/sums/record.ts';
import { damagedRecord, recordedLines } from '../../mirror/sums/recorded-lines.ts';
import { scanTree } from '../../mirror/sums/scan.ts';
import { snapshotIds } from '../../mirror/survey.ts';
import { bestChecksum } from '../../rsync/content-sums.ts';
import { Turns } from '../../system/event-loop.ts';
import { lstatIfThere } from '../../system/files.ts';
import type { OnEvent } from '../../writer/events.ts';
import { withLock } from '../../writer/session.ts';
import type { HeldTree } from '../held-tree.ts';
import type { Damage, VerifiedTree, VerifyOptions, VerifyResult } from './verified.ts';

/** What is recorded is worth a wait for a sync that runs; ms. */
const RECORD_WAIT_MS = 60 * 60 * 1000;

const DEFAULT_JOBS = 2;

interface Means {
  /** A directory for files. */
  work: string;
  held: readonly HeldTree[];
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
  readonly #damage: Damage[] = [];
  readonly #list: ReadingList;
  readonly #late: LateSums;

  constructor(layout: Layout, options: VerifyOptions, means: Means) {
    this.#layout = layout;
    this.#options = options;
    this.#means = means;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#list = new ReadingList(join(means.work, 'files'));
    this.#late = new LateSums(means.work);
  }

  async run(): Promise<VerifyResult> {
    const { bitrot = false, record = false } = this.#options;
    this.#onEvent({ kind: 'phase', phase: 'verifying' });
    for (const { id } of this.#means.held) await this.#compare(id);
    const read = bitrot || record ? await this.#read() : null;
    for (const damage of this.#damage) this.#addSharers(damage);
    const trees = [...this.#trees.values()];
    await this.#keep(trees, read !== null);
    const isWhole = trees.every((tree) => tree.damaged === 0 && tree.recordDamage === null);
    const { isProbed } = this.#means;
    return { root: this.#layout.root, isWhole, isProbed, trees, damage: this.#damage, read };
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
      ...{ entries: 0, files: 0, unknown: 0, damaged: 0 },
    };
    this.#trees.set(id, tree);
    const place = join(work, id);
    mkdirSync(place);
    const recorded = await this.#recorded(tree, place);
    const { lines, hidden } = await this.#scan(id);
    if (hidden !== undefined) this.#onEvent({ kind: 'warning', message: hidden });
    const turns = new Turns(signal);
    if (recorded === undefined) {
      if (this.#options.record) await this.#listAll(tree, lines, turns);
    } else {
      const onFile = (file: Parameters<ReadingList['add']>[1]) => {
        tree.files += 1;
        if (file.sum === undefined) tree.unknown += 1;
        this.#list.add(id, file);
      };
      for (const found of compareWithRecord(lines, recorded, onFile)) {
        await turns.step();
        if (found === undefined) tree.entries += 1;
        else this.#add(tree, found);
      }
    }
    rmSync(place, { recursive: true, force: true });
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
      this.#list.add(tree.id, { name: nameOfKey(key), inode, size: Number(size), sum: undefined });
    }
  }

  #add(tree: VerifiedTree, { name, ...how }: Difference): void {
    tree.damaged += 1;
    if (this.#damage.length >= MOST_LISTED) return;
    const { name: shown, bytes } = readableName(name);
    const exact = bytes === undefined ? {} : { nameBytes: bytes };
    this.#damage.push({ id: tree.id, name: shown, ...exact, ...how, alsoIn: [] });
  }

  /** Reads the content of all files that have the size that was recorded. */
  async #read(): Promise<VerifyResult['read']> {
    const { work, held } = this.#means;
    const { record = false, jobs = DEFAULT_JOBS, idle = false } = this.#options;
    const began = performance.now();
    await this.#list.sort(this.#session);
    const otherwise = record ? await bestChecksum() : undefined;
    const total = amountOf(this.#list, otherwise);
    this.#onEvent({ kind: 'phase', phase: 'reading' });
    const nothing = join(work, 'nothing');
    mkdirSync(nothing);
    const done = { files: 0, bytes: 0 };
    const above = dirname(this.#layout.snapshot(held[0]?.id ?? LIVE));
    const options = { ...this.#session, above, nothing, jobs, otherwise, isIdle: idle };
    await readContent(this.#list, options, (file) => {
      done.files += 1;
      done.bytes += file.size;
      const [totalFiles, totalBytes] = [total.files, total.bytes];
      this.#onEvent({ kind: 'progress', ...done, totalFiles, totalBytes });
      this.#judge(file);
    });
    return { ...done, seconds: Math.round((performance.now() - began) / 100) / 10 };
  }

  #judge({ names, algorithm, hex, complaints }: ReadFile): void {
    const known = names.filter(({ sum }) => sum?.algorithm === algorithm);
    const wrong = known.filter(({ sum }) => sum?.hex !== hex);
    const [first] = wrong;
    if (first !== undefined) {
      const kind = hex === undefined ? 'unreadable' : 'content';
      const expected = `${algorithm} ${first.sum?.hex}`;
      const found = hex === undefined ? complaints : `${algorithm} ${hex}`;
      const before = this.#damage.length;
      for (const { path } of wrong) {
        const { id, name } = splitPath(path);
        const tree = this.#trees.get(id);
        if (tree === undefined) continue;
        if (path === first.path) this.#add(tree, { name, kind, expected, found });
        else tree.damaged += 1;
      }
      const shares = wrong.slice(1).map(({ path }) => path);
      this.#damage[before]?.alsoIn.push(...shares.map((path) => readableName(path).name));
    } else if (hex !== undefined && this.#options.record) {
      for (const { path, sum } of names) {
        const { id, name } = splitPath(path);
        if (sum === undefined) this.#late.add(id, name, algorithm, hex);
      }
    }
  }

  /** What shares a damaged file is damaged, too, also where it was not looked at. */
  #addSharers(damage: Damage): void {
    const { id, name, nameBytes, alsoIn } = damage;
    if (['missing', 'added'].includes(damage.kind) || id === LIVE) return;
    const raw = Buffer.from(nameBytes ?? '', 'hex').toString('latin1');
    const exact = nameBytes === undefined ? Buffer.from(name).toString('latin1') : raw;
    const inodeIn = (other: string) =>
      lstatIfThere(bytePath(this.#layout.snapshot(other), exact))?.ino;
    const own = inodeIn(id);
    for (const other of snapshotIds(this.#layout)) {
      const shown = `${other}/${name}`;
      if (other !== id && own !== undefined && inodeIn(other) === own && !alsoIn.includes(shown))
        alsoIn.push(shown);
    }
  }

  /** Records what is new, and the result in the history. */
  async #keep(trees: VerifiedTree[], hasRead: boolean): Promise<void> {
    const { record = false, lock, signal } = this.#options;
    const failure = `${this.#layout.root} was verified, but that cannot be recorded`;
    const waitMs = lock?.waitMs ?? (record ? RECORD_WAIT_MS : undefined);
    const session = { command: 'verify', failure, lock: { ...lock, waitMs }, signal };
    try {
      await withLock(this.#layout, session, async () => {
        if (record) for (const tree of trees) await this.#record(tree);
        for (const { id, damaged, recordedAt, recordDamage } of trees) {
          if (recordedAt === null && recordDamage === null) continue;
          const content = hasRead;
          const at = new Date().toISOString();
          appendHistory(this.#layout, { event: 'verified', at, id, content, damaged });
        }
      });
    } catch (error) {
      if (record || signal?.aborted) throw error;
      const { message } = asMirrorlatchError(error, failure);
      this.#onEvent({ kind: 'notice', message: `the result is not in the history: ${message}` });
    }
  }

  async #record(tree: VerifiedTree): Promise<void> {
    const { id } = tree;
    const late = await this.#late.of(id, this.#session);
    const work = join(this.#means.work, `record-${id}`);
    mkdirSync(work);
    if (tree.recordedAt === null) {
      const { lines } = await this.#scan(id);
      await recordAnew(this.#layout, id, lines, late, this.#session);
      Object.assign(tree, { isRecordedNow: true, recordDamage: null });
    } else await addToRecord(this.#layout, id, late, work, this.#session);
    rmSync(work, { recursive: true, force: true });
  }
}

/** @param path the id of a tree, a slash and a name. */
function splitPath(path: string): { id: string; name: string } {
  const slash = path.indexOf('/');
  return { id: path.slice(0, slash), name: path.slice(slash + 1) };
}
