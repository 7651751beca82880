import { randomBytes } from 'node:crypto';

/** A state of an upstream. All have the same file names, but different contents. */
export interface Generation {
  /** `generation-N`, which the metadata and each package contain. */
  readonly mark: string;
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

/** The version of every package in every generation. */
export const packageVersion = '1.0';

/** The length of a package's content, in characters. */
const CONTENT_LENGTH = 64 * 1024;

/** Makes a generation with unique contents. */
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

/** The marks that a text contains, each once. */
export function marksIn(text: string): string[] {
  return [...new Set(text.match(/generation-\d+/g))];
}
