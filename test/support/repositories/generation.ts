import { randomBytes } from 'node:crypto';

/** A state of an upstream. */
export interface Generation {
  /** `generation-N`, which the metadata and each package contain. */
  readonly mark: string;
  /** The version of every package: `MAJOR.MINOR`. */
  readonly version: string;
  /** Whether lists and packages have names that they have in no other generation. */
  readonly hasOwnNames: boolean;
  readonly packages: readonly Package[];
}

/** A package of one file. */
export interface Package {
  readonly name: string;
  /** Starts with the generation's mark. */
  readonly content: string;
}

/** The packages that each client installs: enough to take a while, as a real update does. */
export const packageNames: readonly string[] = Array.from(
  { length: 16 },
  (_, index) => `part-${String(index + 1).padStart(2, '0')}`,
);

/**
 * Whether lists and packages have the same names in all generations, so that a client with old
 * lists gets other packages than it asked for, or names of their own, as archives prefer.
 */
export type Names = 'reused' | 'own';

/** The length of a package's content, in characters. */
const CONTENT_LENGTH = 64 * 1024;

/** Makes a generation with unique contents. */
export function makeGeneration(number: number, names: Names = 'reused'): Generation {
  const mark = `generation-${number}`;
  return {
    mark,
    version: names === 'reused' ? '1.0' : `1.${number}`,
    hasOwnNames: names === 'own',
    packages: packageNames.map((name) => ({
      name,
      content: `${mark}\n${randomBytes(CONTENT_LENGTH / 2).toString('hex')}\n`,
    })),
  };
}

/** The marks that a text contains, each once. */
export function marksIn(text: string): string[] {
  return [...new Set(text.match(/generation-\d+/g))];
}
