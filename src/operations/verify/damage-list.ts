import type { CheckFinding } from '../../checks/finding.ts';
import { bytePath } from '../../mirror/byte-path.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { readableName } from '../../mirror/names.ts';
import { type Difference, MOST_LISTED } from '../../mirror/sums/compare.ts';
import { snapshotIds } from '../../mirror/survey.ts';
import { lstatIfThere } from '../../system/files.ts';
import type { Damage, VerifiedTree } from './verified.ts';

/** What is damaged in some trees: all of it is counted, and the first of it listed. */
export class DamageList {
  readonly list: Damage[] = [];
  readonly #layout: Layout;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** @returns undefined if the list is full. */
  add(tree: VerifiedTree, { name, ...how }: Difference, by = ''): Damage | undefined {
    tree.damaged += 1;
    if (this.list.length >= MOST_LISTED) return undefined;
    const { name: shown, bytes } = readableName(name);
    const exact = bytes === undefined ? {} : { nameBytes: bytes };
    const damage = { id: tree.id, name: shown, ...exact, ...how, by, alsoIn: [] };
    this.list.push(damage);
    return damage;
  }

  /** Adds what the repositories in a tree say of the content of a file. */
  addFinding(tree: VerifiedTree, { kind, expected, found, by, ...finding }: CheckFinding): void {
    const how = kind === 'size' || kind === 'unreadable' ? kind : 'content';
    this.add(tree, { name: exactName(finding), kind: how, expected, found }, by);
  }

  /** What shares a damaged file is damaged, too, also where it was not looked at. */
  addSharers(): void {
    for (const damage of this.list) this.#addSharersOf(damage);
  }

  #addSharersOf(damage: Damage): void {
    const { id, name, alsoIn } = damage;
    if (['missing', 'added'].includes(damage.kind) || id === LIVE) return;
    const exact = exactName(damage);
    const inodeIn = (other: string) =>
      lstatIfThere(bytePath(this.#layout.snapshot(other), exact))?.ino;
    const own = inodeIn(id);
    for (const other of snapshotIds(this.#layout)) {
      const shown = `${other}/${name}`;
      if (other !== id && own !== undefined && inodeIn(other) === own && !alsoIn.includes(shown))
        alsoIn.push(shown);
    }
  }
}

/** One character per byte (latin1). */
function exactName({ name, nameBytes }: Pick<Damage, 'name' | 'nameBytes'>): string {
  const bytes = nameBytes === undefined ? Buffer.from(name) : Buffer.from(nameBytes, 'hex');
  return bytes.toString('latin1');
}
