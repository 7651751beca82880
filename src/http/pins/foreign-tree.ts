import { lstatSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { current } from '../../reader/current.ts';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { idOfTree, treeOfId } from '../tree-id.ts';
import type { Hold, Snapshot } from './holds.ts';
import {
  type Publication,
  refuseOtherKind,
  type ServedMirror,
  type ServedRoot,
} from './served-mirror.ts';

/** How many trees are remembered that `current` has named. */
const MAX_SEEN = 64;

/** Where a tree lies, and which of those it is that have lain there. */
interface SeenTree {
  readonly tree: string;
  readonly identity: string;
}

/** A tree of another program: no lease keeps what it removes. */
export class ForeignTree implements ServedMirror {
  readonly kind = 'foreign';
  readonly name: string;
  readonly prefix: string;
  readonly content: string;
  readonly root: string;
  /** What `current` has named since the start, by its id; the newest last. */
  readonly #seen = new Map<string, SeenTree>();

  constructor({ name, prefix, content, root }: ServedRoot) {
    this.name = name;
    this.prefix = prefix;
    this.content = content;
    this.root = current(root).root;
    this.currentId();
  }

  async holdCurrent(): Promise<Hold> {
    this.refuseOtherKind();
    const { pathBytes } = current(this.root);
    const id = this.currentId();
    const held = id === undefined ? undefined : await this.hold(id);
    if (held !== undefined) return held;
    throw new MirrorlatchError('NO_MIRROR', `${this.root}/current leads to no directory`, {
      ...(pathBytes && { hint: 'Give its directory a path that is UTF-8.' }),
    });
  }

  async hold(id: string): Promise<Hold | undefined> {
    const found = this.find(id);
    return found && { ...found, release: () => {} };
  }

  find(id: string): Snapshot | undefined {
    const seen = this.#seen.get(id);
    if (seen === undefined) return undefined;
    const { tree, identity } = seen;
    const isReplaced = () => identityAt(tree) !== identity;
    return isReplaced() ? undefined : { id, tree, isReplaced };
  }

  async recall(id: string, identity: string | undefined): Promise<Hold | undefined> {
    const tree = treeOfId(this.root, id);
    const isSame = ifThere(() => realpathSync(tree)) === tree && identityAt(tree) === identity;
    if (!isSame || identity === undefined) return undefined;
    if (!this.#seen.has(id)) this.#seen.set(id, { tree, identity });
    this.currentId();
    return await this.hold(id);
  }

  identities(): Record<string, string> {
    return Object.fromEntries([...this.#seen].map(([id, { identity }]) => [id, identity]));
  }

  writerWaitsMs(): undefined {}

  refuseOtherKind(): void {
    refuseOtherKind(this);
  }

  retained(): readonly string[] {
    this.currentId();
    return [...this.#seen.keys()].filter((id) => this.find(id) !== undefined).reverse();
  }

  treesBut(id: string): readonly string[] {
    return [...this.#seen].flatMap(([other, { tree }]) => (other === id ? [] : [tree]));
  }

  isGone(): boolean {
    return false;
  }

  currentId(): string | undefined {
    const tree = ifThere(() => realpathSync(join(this.root, 'current')));
    const identity = tree && identityAt(tree);
    if (tree === undefined || identity === undefined) return undefined;
    const id = this.#idOf(tree, identity);
    this.#seen.delete(id);
    this.#seen.set(id, { tree, identity });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MAX_SEEN && oldest !== undefined) this.#seen.delete(oldest);
    return id;
  }

  /** The one that it has, or another than all that have lain there. */
  #idOf(tree: string, identity: string): string {
    for (const [id, one] of this.#seen) {
      if (one.tree === tree && one.identity === identity) return id;
    }
    let turn = 1;
    while (this.#seen.has(idOfTree(this.root, tree, turn))) turn += 1;
    return idOfTree(this.root, tree, turn);
  }

  channelId(): undefined {}

  channels(): readonly string[] {
    return [];
  }

  previousId(): undefined {}

  /** When the directories were changed last. */
  publications(ids: readonly string[]): Publication[] {
    return ids.map((id) => {
      const seen = this.#seen.get(id);
      const changed = seen === undefined ? undefined : lstatIfThere(seen.tree)?.mtimeNs;
      return { id, publishedAt: new Date(Number(changed ?? 0n) / 1e6).toISOString() };
    });
  }
}

/** Which directory lies there: another one has another time of birth, should it get the same inode. */
function identityAt(tree: string): string | undefined {
  const status = ifThere(() => lstatSync(tree, { bigint: true }));
  if (!status?.isDirectory()) return undefined;
  return [status.dev, status.ino, status.birthtimeNs].join('.');
}
