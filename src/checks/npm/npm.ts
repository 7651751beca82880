import { opendirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { bytePath } from '../../mirror/byte-path.ts';
import { NameWriter, readNames } from '../../mirror/name-list.ts';
import { ifThere } from '../../system/files.ts';
import { nameIn } from '../claims.ts';
import { latin1, readJson } from '../json.ts';
import type { Kind } from '../kind.ts';
import type { Session } from '../session.ts';
import { entryIn, TreeFiles } from '../tree-files.ts';
import { Packument, readVersions } from './packument.ts';
import { type Place, placeOf, tarballAt } from './places.ts';

/** The packages that were published to a Verdaccio, at the top of its storage. */
const LIST = '.verdaccio-db.json';

/** Registries of npm packages in files: the storage of Verdaccio, and static ones. */
export const npm: Kind = {
  name: 'npm',
  what: 'registry of npm packages',
  patterns: ['package.json', 'index.json', LIST],
  begins: () => true,
  async read(beginnings, session) {
    const registries = new Registries(session);
    for (const name of beginnings)
      if (name.endsWith(LIST)) await registries.readList(name);
      else await registries.readPackage(name);
    return await registries.end();
  },
};

/** The registries of one tree. */
class Registries {
  readonly #session: Session;
  /** Where the tarballs lie, by the directory of the registry; undefined as long as none was found. */
  readonly #found = new Map<string, Place | undefined>();
  /** What readers have now. */
  readonly #before: TreeFiles | undefined;
  /** Packages of which no tarball was found. */
  readonly #without: NameWriter;

  constructor(session: Session) {
    this.#session = session;
    const { base } = session.options;
    this.#before = base === undefined ? base : new TreeFiles(base, session.options);
    this.#without = new NameWriter(this.#withoutPath);
  }

  get #withoutPath(): string {
    return join(this.#session.options.work, 'without-tarballs');
  }

  async readPackage(name: string): Promise<void> {
    if (!this.#session.files.isThere(name)) return;
    const packument = new Packument();
    const fault = await this.#session.read(name, (content) => packument.read(content));
    const wasOne = this.#session.heads.has('npm', name);
    const isOne = packument.isOne || wasOne || this.#hasTarballs(posix.dirname(name));
    if (fault !== undefined && isOne) this.#session.malformed(name, fault);
    else if (packument.lack !== undefined) this.#session.malformed(name, packument.lack);
    // One that was withdrawn as a whole has no versions.
    if (packument.isOne || (wasOne && packument.name !== undefined))
      this.#session.heads.add('npm', name);
    if (!packument.isOne) return;
    const directory = posix.dirname(name);
    const top = topOf(directory, packument.name ?? '');
    if (!this.#found.has(top)) this.#found.set(top, undefined);
    if (packument.isOfVerdaccio) {
      await this.#claim(name, 'beside', packument.kept);
      return;
    }
    const place = placeOf(packument.first, directory, top, this.#session.files);
    if (place === undefined) this.#without.write(name);
    else {
      this.#found.set(top, this.#found.get(top) ?? place);
      await this.#claim(name, place);
    }
  }

  /** A list may still name what a person has removed by hand: what is missed is a document where tarballs can be. */
  async readList(name: string): Promise<void> {
    const directory = posix.dirname(name);
    const { tree, base } = this.#session.options;
    const fault = await this.#session.read(name, (content) =>
      readJson(content, ['$.list.*'], (_, value) => {
        const own = typeof value === 'string' ? nameIn(directory, latin1(value)) : undefined;
        const isIn = (one: string) => own !== undefined && entryIn(one, own);
        if (own !== undefined && (isIn(tree) || (base !== undefined && isIn(base))))
          this.#session.claim(own, 'package.json', { size: undefined, sum: undefined, by: name });
      }),
    );
    if (fault !== undefined) this.#session.malformed(name, fault);
  }

  /**
   * A registry may keep the documents of packages whose tarballs are elsewhere. So they are missed where those
   * of other packages are there, or where readers have them.
   *
   * @returns how many registries there are.
   */
  async end(): Promise<number> {
    this.#without.close();
    for (const name of readNames(this.#withoutPath)) {
      const directory = posix.dirname(name);
      const packument = new Packument();
      await this.#session.read(name, (content) => packument.read(content));
      const top = topOf(directory, packument.name ?? '');
      const before = this.#before && placeOf(packument.first, directory, top, this.#before);
      const place = this.#found.get(top) ?? before;
      if (place !== undefined) await this.#claim(name, place);
    }
    return this.#found.size;
  }

  /**
   * @param kept the tarballs that have to be there; undefined for all. Verdaccio fetches one from its source when
   *   it is asked for, and names those that it has.
   */
  async #claim(by: string, place: Place, kept?: ReadonlySet<string>): Promise<void> {
    const { files } = this.#session;
    const directory = posix.dirname(by);
    await this.#session.read(by, (content) =>
      readVersions(content, (version) => {
        const name = tarballAt(place, directory, version);
        if (name === undefined) return;
        const isKept = kept === undefined || kept.has(posix.basename(name));
        if (!isKept && files.find(name) === 'missing') return;
        // No document says how large a tarball is.
        this.#session.claim('.', name, { size: undefined, sum: version.sum, by });
      }),
    );
  }

  /** Whether a file that cannot be understood should have been the document of a package. */
  #hasTarballs(directory: string): boolean {
    const { tree } = this.#session.options;
    return [directory, posix.join(directory, '-')].some((one) => {
      const entries = ifThere(() => opendirSync(bytePath(tree, one)));
      try {
        for (let entry = entries?.readSync(); entry; entry = entries?.readSync())
          if (entry.name.endsWith('.tgz')) return true;
        return false;
      } finally {
        entries?.closeSync();
      }
    });
  }
}

/** The directory of a registry, whose packages lie below it by their names. */
function topOf(directory: string, name: string): string {
  const isBelow = directory === name || directory.endsWith(`/${name}`);
  return isBelow
    ? posix.normalize(directory.slice(0, -name.length) || '.').replace(/\/$/, '')
    : posix.dirname(directory);
}
