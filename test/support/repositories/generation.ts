import { randomBytes } from 'node:crypto';

/** One state of an upstream. All of them have the same file names; no file of one is in another. */
export interface Generation {
  /** Stands in the metadata and in each package: `generation-N`. */
  readonly mark: string;
  readonly packages: readonly Package[];
}

/** A package of one file. */
export interface Package {
  readonly name: string;
  /** Begins with the generation's mark. */
  readonly content: string;
}

/** What each client installs. So many that it takes a while, as a real update does. */
export const packageNames: readonly string[] = Array.from(
  { length: 16 },
  (_, index) => `part-${String(index + 1).padStart(2, '0')}`,
);

/** The version of every package in every generation. */
export const packageVersion = '1.0';

/** Characters of a package's content, to be read and hashed. */
const CONTENT_LENGTH = 64 * 1024;

/** Makes the generation of this number, with contents that no other has. */
export function makeGeneration(number: number): Generation {
  const mark = `generation-${number}`;
  return {
    mark,
    packages: packageNames.map((name) => ({
      name,
      content: `${mark}\n${randomBytes(CONTENT_LENGTH / 2).toString('hex')}\n`,
    })),
  };
}

/** The marks that a text holds, each once. */
export function marksIn(text: string): string[] {
  return [...new Set(text.match(/generation-\d+/g))];
}
