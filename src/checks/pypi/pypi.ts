import { posix } from 'node:path';
import type { Kind } from '../kind.ts';
import type { Session } from '../session.ts';
import { HtmlPage } from './html-page.ts';
import { isJsonIndex, readJsonPage } from './json-page.ts';
import { indexOf, isSimple, normalized, placesOf } from './names.ts';
import { Places } from './places.ts';
import type { OnPage, ReleaseFile } from './release.ts';

/** Indexes of Python packages, as pip reads them (PEP 503, and PEP 691 in JSON). */
export const pypi: Kind = {
  name: 'pypi',
  what: 'simple index of Python packages',
  patterns: ['index.html', 'index.v1_html', 'index.v1_json', 'index.json'],
  begins: () => true,
  async read(beginnings, session) {
    const indexes = new Indexes(session);
    for (const name of beginnings) await indexes.read(name);
    return await indexes.end();
  },
};

/** The names of pages, as bandersnatch has them. Web servers choose between them by what a client accepts. */
const PAGES = ['index.html', 'index.v1_html', 'index.v1_json', 'index.json'];

/** More of them are no pages of an index whose directory has another name than the usual. */
const MOST_BROKEN = 10_000;

/** The indexes of one tree, each in a directory of its own. */
class Indexes {
  readonly #session: Session;
  readonly #places: Places;
  /** How many files were named. */
  #files = 0;
  /** The directories of those that are there. */
  readonly #found = new Set<string>();
  /** Pages at the top of what may be an index by its name, but do not say so. */
  readonly #lists: string[] = [];
  /** Pages that cannot be understood, which may be those of an index. */
  readonly #broken: { name: string; fault: string }[] = [];

  constructor(session: Session) {
    this.#session = session;
    this.#places = new Places(session);
  }

  async read(name: string): Promise<void> {
    if (!this.#session.files.isThere(name)) return;
    if (name.endsWith('json')) await this.#readJson(name);
    else await this.#readHtml(name, name.endsWith('.v1_html'));
  }

  /** @returns how many there are. */
  async end(): Promise<number> {
    for (const name of this.#lists)
      if (this.#found.has(posix.dirname(name))) await this.#readHtml(name, true);
    const named = await this.#namedOf(this.#broken.map(({ name }) => posix.dirname(name)));
    for (const { name, fault } of this.#broken) {
      const directory = posix.dirname(name);
      const above = [directory, indexOf(directory)];
      const isOne = above.some(isSimple) && above.some((index) => this.#found.has(index));
      if (isOne || named.has(directory)) this.#session.malformed(name, fault);
    }
    return this.#found.size;
  }

  /** Of some directories those that the list of an index names as projects. */
  async #namedOf(directories: readonly string[]): Promise<ReadonlySet<string>> {
    const asked = new Set(directories);
    const named = new Set<string>();
    for (const index of new Set(directories.map(indexOf))) {
      const name = posix.join(index, 'index.html');
      if (!this.#found.has(index) || !this.#session.files.isThere(name)) continue;
      const page = new HtmlPage(name, false, {
        file: () => {},
        project: (project) => {
          const places = placesOf(project).map((place) => posix.join(index, place));
          for (const place of places) if (asked.has(place)) named.add(place);
        },
      });
      await this.#session.read(name, (content) => page.read(content));
    }
    return named;
  }

  async #readHtml(name: string, isIndex: boolean): Promise<void> {
    const page = new HtmlPage(name, isIndex, this.#onPage(name));
    const files = this.#files;
    const fault = await this.#session.read(name, (content) => page.read(content));
    this.#judge(name, page.isIndex, fault, this.#files - files);
    const isList = fault === undefined && !page.isIndex && isSimple(posix.dirname(name));
    if (isList) this.#lists.push(name);
  }

  async #readJson(name: string): Promise<void> {
    const files = this.#files;
    let isIndex = name.endsWith('.v1_json');
    let fault: string | undefined;
    if (!isIndex)
      fault = await this.#session.read(name, async (content) => {
        isIndex = await isJsonIndex(content);
      });
    if (isIndex)
      fault = await this.#session.read(name, (content) =>
        readJsonPage(content, name, this.#onPage(name)),
      );
    this.#judge(name, isIndex, fault, this.#files - files);
  }

  /** @param files how many it names. */
  #judge(name: string, isIndex: boolean, fault: string | undefined, files: number): void {
    // The last project of an index may go.
    const isEmptyList = isIndex && files === 0 && this.#session.heads.has('pypi', name);
    if (fault === undefined && isEmptyList) this.#session.heads.add('pypi', name);
    if (fault === undefined) return;
    const directory = posix.dirname(name);
    if (isIndex) this.#session.malformed(name, fault);
    else if (this.#broken.length < MOST_BROKEN || [directory, indexOf(directory)].some(isSimple))
      this.#broken.push({ name, fault });
  }

  #onPage(name: string): OnPage {
    const directory = posix.dirname(name);
    return {
      file: (file) => {
        this.#found.add(indexOf(directory));
        this.#files += 1;
        this.#claim(file, name);
      },
      project: (project) => {
        this.#found.add(directory);
        this.#session.heads.add('pypi', name);
        this.#missProject(directory, project, name);
      },
    };
  }

  #claim({ link, size, sum, metadata }: ReleaseFile, by: string): void {
    const place = this.#places.of(link, by);
    if (place === undefined) return;
    const isRead = this.#session.options.content || size === undefined;
    this.#session.claim('.', place, { size, sum: isRead ? sum : undefined, by });
    if (metadata === undefined) return;
    const known = metadata === 'unknown' ? undefined : metadata;
    this.#session.claim('.', `${place}.metadata`, { size: undefined, sum: known, by });
  }

  /** A list names projects, each of which has a page of any form. */
  #missProject(directory: string, project: string, by: string): void {
    if (!/^[^/\0]+$/.test(project) || /^\.\.?$/.test(project)) {
      this.#session.malformed(by, `it names the project ${JSON.stringify(project)}`);
      return;
    }
    const places = placesOf(project).map((place) => posix.join(directory, place));
    const isThere = places.some((place) =>
      PAGES.some((page) => this.#session.files.isThere(posix.join(place, page))),
    );
    if (isThere) return;
    // A list in HTML has the names of directories, and one in JSON those of people.
    const [place, page] = by.endsWith('json')
      ? [normalized(project), posix.basename(by)]
      : [project, 'index.html'];
    this.#session.claim(directory, `${place}/${page}`, { size: undefined, sum: undefined, by });
  }
}
