import { isAtLeast } from './version.ts';

/** The first version that says which checksum it uses, and the first that may use another one than MD5. */
const NEGOTIATES = [3, 2, 0] as const;

/**
 * Those that depend on the content of a file alone, as rsync(1), --checksum-choice, names them. Their names
 * and digits are recorded for years.
 */
const NAMES = ['xxh128', 'xxh3', 'xxh64', 'md5', 'sha1'];

/**
 * Finds out with which checksum rsync compares the files that it has transferred. The two sides negotiate
 * that, and only the digits are printed with an entry. Only this side is told to say it.
 */
export class ChecksumName {
  /** Undefined until rsync has said it, or for one that is of no use. */
  name: string | undefined;
  readonly options: readonly string[];

  private constructor(options: readonly string[]) {
    this.options = options;
  }

  static async ask(): Promise<ChecksumName> {
    return new ChecksumName((await isAtLeast(NEGOTIATES)) ? ['--debug=nstr1'] : []);
  }

  /** @returns whether that is what a line of rsync's output is about. */
  read(line: string): boolean {
    const [, what, name = ''] =
      /^Client (?:negotiated )?(checksum|compress): (\S+)( \(level .*\))?$/.exec(line) ?? [];
    // With two names, options decide of which a file has the digits.
    if (what === 'checksum' && NAMES.includes(name)) this.name = name;
    return what !== undefined;
  }
}
