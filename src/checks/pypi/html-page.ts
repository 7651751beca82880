import { posix } from 'node:path';
import { Malformed } from '../tree-files.ts';
import { Tags } from './html.ts';
import { follow } from './links.ts';
import { indexOf, isRelease, isReleaseOf, isSimple } from './names.ts';
import { metadataIn, type OnPage, sumIn } from './release.ts';

/** A page of HTML that may be one of an index (PEP 503). */
export class HtmlPage {
  readonly #directory: string;
  readonly #onPage: OnPage;
  readonly #tags: Tags;
  #isIndex: boolean;
  #base: string | undefined;
  #hasFiles = false;
  #hasTags = false;
  #isOpen = { html: false, a: false };

  /**
   * @param name in the tree.
   * @param isIndex it is known to be one.
   */
  constructor(name: string, isIndex: boolean, onPage: OnPage) {
    this.#directory = posix.dirname(name);
    this.#isIndex = isIndex;
    this.#onPage = onPage;
    this.#tags = new Tags((tag, text) => {
      this.#hasTags = true;
      const { name: element, isEnd, attributes } = tag;
      if (element === 'html' || element === 'a') this.#isOpen[element] = !isEnd;
      if (isEnd) this.#isIndex ||= element === 'title' && /^\s*simple index\s*$/i.test(text);
      else if (element === 'meta')
        this.#isIndex ||= attributes.get('name') === 'pypi:repository-version';
      else if (element === 'base') this.#base ??= attributes.get('href');
      else if (element === 'a') this.#readAnchor(attributes);
    });
  }

  /** It says so itself, or names files with their hashes. Other pages of a site have the same name. */
  get isIndex(): boolean {
    return this.#isIndex || this.#hasFiles;
  }

  /** @throws Malformed for a page that is cut off. */
  async read(content: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of content) this.#tags.add(chunk.toString('latin1'));
    if (!this.#hasTags) throw new Malformed('it is no HTML');
    // HTML can do without the end of `html`, but those who write down what their page is write that, too.
    const isShort = this.#isOpen.html && (this.#isIndex || !this.#hasFiles);
    if (this.#tags.isWithin || this.#isOpen.a || isShort) throw new Malformed('it is cut off');
  }

  #readAnchor(attributes: ReadonlyMap<string, string>): void {
    const link = follow(attributes.get('href') ?? '', this.#directory, this.#base);
    if (link === undefined) return;
    const file = posix.basename(link.path);
    const sum = sumIn(link.fragment);
    if (link.isDirectory) {
      if (this.#isIndex) this.#readProject(link.from, link.path);
    } else if (sum !== undefined || (isRelease(file) && (this.#isIndex || this.#isOwn(file)))) {
      this.#hasFiles = true;
      const { 'data-core-metadata': core, 'data-dist-info-metadata': older } =
        Object.fromEntries(attributes);
      this.#onPage.file({ link, size: undefined, sum, metadata: metadataIn(core ?? older) });
    }
  }

  /** Pages without hashes are told by the names of directories and files. */
  #isOwn(file: string): boolean {
    return isSimple(indexOf(this.#directory)) && isReleaseOf(posix.basename(this.#directory), file);
  }

  /** The list of an index names what lies in its directory; the path may be that on its site. */
  #readProject(from: 'page' | 'top', path: string): void {
    const above = posix.dirname(path);
    const here = this.#directory;
    const isHere = above === here || (from === 'top' && `/${here}`.endsWith(`/${above}`));
    if (isHere) this.#onPage.project(posix.basename(path));
  }
}
