import { MirrorlatchError } from '../../errors.ts';
import { currentId } from '../../mirror/current.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { recordIfSound } from '../../mirror/locks/gate.ts';
import { pin } from '../../reader/pin.ts';
import type { Hold } from './holds.ts';
import {
  type Publication,
  refuseOtherKind,
  type ServedMirror,
  type ServedRoot,
} from './served-mirror.ts';

export class InPlaceMirror implements ServedMirror {
  readonly kind = 'in-place';
  readonly name: string;
  readonly prefix: string;
  readonly content: string;
  readonly root: string;
  readonly #layout: Layout;

  constructor({ name, prefix, content }: ServedRoot, layout: Layout) {
    this.name = name;
    this.prefix = prefix;
    this.content = content;
    this.root = layout.root;
    this.#layout = layout;
  }

  /** Each answer has a lease of its own: a shared one would keep a writer from its turn. */
  async holdCurrent(): Promise<Hold> {
    const { id, path, release } = await pin({ root: this.root }).catch((error) => {
      this.refuseOtherKind();
      throw error;
    });
    if (id === LIVE) return { id, tree: path, release };
    release();
    this.refuseOtherKind();
    throw new MirrorlatchError('BUSY', `${this.root} is being replaced`);
  }

  refuseOtherKind(): void {
    refuseOtherKind(this);
  }

  async hold(): Promise<undefined> {}

  async recall(): Promise<undefined> {}

  identities(): undefined {}

  find(): undefined {}

  writerWaitsMs(): number | undefined {
    const gate = recordIfSound(this.#layout);
    return gate?.state === 'closing' ? Date.now() - Date.parse(gate.since) : undefined;
  }

  retained(): readonly string[] {
    return [];
  }

  treesBut(): readonly string[] {
    return [];
  }

  isGone(): boolean {
    return false;
  }

  currentId(): string | undefined {
    return currentId(this.#layout);
  }

  channelId(): undefined {}

  channels(): readonly string[] {
    return [];
  }

  previousId(): undefined {}

  publications(): Publication[] {
    return [];
  }
}
