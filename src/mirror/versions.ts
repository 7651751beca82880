/**
 * Words of package names that hold digits and are no version: architectures, Python's tags and the
 * suffixes of formats.
 */
const NO_VERSION =
  /(?<![a-z\d])(?:x86_64(?:_v\d)?|x86|x64|amd64|arm64|aarch64|arm(?:v\d[a-z]*)?|i[3-6]86|ia64|ppc64(?:le|el)?|powerpc64\w*|mips64\w*|riscv64|s390x?|sparc64|loong(?:arch)?64|win32|win64|(?:py|cp|pp|abi)\d+|manylinux\w*|musllinux\w*|macosx\w*|bz2|lz4|7z|mp[34]|m4a)(?![a-z\d])/gi;

/** A version from its first digit on, release and distribution included: `1.2~rc1-3ubuntu4`, `6.1-2.el9_3`. */
const VERSION =
  /(?<![a-z\d])v?\d+(?:(?:[-.:^+~]+[a-z]*|[a-z]+[-.]?|(?<=\.el\d+)_)\d+|[+~][a-z]+)*[a-z]*/gi;

/** Of numbers that dashes join, version and release are the last two. */
const VERSION_AND_RELEASE = /[^-]+(?:-[^-]*)?$/;

/** The beginning of a name is what comes before this. */
const FIRST_DIGIT = /(?<![a-z\d])v?\d/i;

/** A hash in a name: the content has changed, whatever else the name says. */
const HASH = /(?<![a-z\d])(?=\d*[a-f])(?=[a-f]*\d)[\da-f]{16,}(?![a-z\d])/i;

/** So many names that differ in nothing but numbers are a series of files, not versions of one. */
const MOST_VERSIONS = 20;

/** Stand for what is masked; no name has them, with one character per byte. */
const [MASK, FIRST_MASKED_DIGIT] = ['\u0100', 0x0110];

/** What two versions of one thing have in common. */
interface Keys {
  /** The name without its last version: it tells `linux-image-6.1_6.1.5` from `linux-image-6.2_6.2.1`. */
  close: string;
  /** All that comes before that version. */
  beforeClose: string;
  /** The name without all versions. */
  loose: string;
  /** All that comes before the first. */
  beforeLoose: string;
}

/**
 * Finds among the old files of one directory those that may be earlier versions of new ones, by their
 * names alone. Names are as in `Entry`, without the directory.
 */
export class VersionSearch {
  readonly #close = new Lists();
  readonly #loose = new Lists();
  /** How long what comes before a last version may be. */
  readonly #lengths = new Set<number>();

  constructor(newNames: Iterable<string>) {
    for (const name of newNames) {
      const keys = keysOf(name);
      if (keys === undefined) continue;
      this.#close.open(keys.close, keys.beforeClose);
      this.#loose.open(keys.loose, keys.beforeLoose);
      this.#lengths.add(keys.beforeClose.length);
    }
  }

  get isEmpty(): boolean {
    return this.#lengths.size === 0;
  }

  /** Takes note of an old name, if it is of use. */
  add(old: string): void {
    // Of most names, the beginning alone says that they are not.
    if (!this.#loose.want(beginningOf(old)) && !this.#mayBeClose(old)) return;
    const keys = keysOf(old);
    if (keys === undefined) return;
    this.#close.add(keys.close, keys.beforeClose, old);
    this.#loose.add(keys.loose, keys.beforeLoose, old);
  }

  #mayBeClose(old: string): boolean {
    for (const length of this.#lengths) {
      if (this.#close.want(old.slice(0, length))) return true;
    }
    return false;
  }

  /** The old names that may be versions of a new one: the next older first, the next newer after all older. */
  versionsOf(name: string): string[] {
    const keys = keysOf(name);
    if (keys === undefined) return [];
    const close = this.#close.of(keys.close);
    const found = close.length > 0 ? close : this.#loose.of(keys.loose);
    const sorted = found.filter((old) => old !== name).sort(compareVersions);
    const older = sorted.filter((old) => compareVersions(old, name) < 0);
    return [...older.reverse(), ...sorted.slice(older.length)];
  }
}

/** Lists of names by what they have in common. */
class Lists {
  readonly #lists = new Map<string, string[]>();
  /** The lists that are not full, by what all their names begin with. */
  readonly #open = new Map<string, Set<string>>();

  open(key: string, beginning: string): void {
    this.#lists.set(key, []);
    this.#open.set(beginning, (this.#open.get(beginning) ?? new Set()).add(key));
  }

  /** Whether there may be a list for a name that begins so. */
  want(beginning: string): boolean {
    return this.#open.has(beginning);
  }

  add(key: string, beginning: string, name: string): void {
    const list = this.#lists.get(key);
    const open = this.#open.get(beginning);
    if (list === undefined || !open?.has(key)) return;
    list.push(name);
    if (list.length <= MOST_VERSIONS) return;
    open.delete(key);
    if (open.size === 0) this.#open.delete(beginning);
  }

  of(key: string): readonly string[] {
    const list = this.#lists.get(key) ?? [];
    return list.length > MOST_VERSIONS ? [] : list;
  }
}

function beginningOf(name: string): string {
  const at = name.search(FIRST_DIGIT);
  return name.slice(0, Math.max(0, at));
}

function keysOf(name: string): Keys | undefined {
  if (HASH.test(name)) return undefined;
  const words = name.replace(NO_VERSION, (word) =>
    word.replace(/\d/g, (digit) => String.fromCharCode(FIRST_MASKED_DIGIT + Number(digit))),
  );
  const last = [...words.matchAll(VERSION)].at(-1);
  if (last === undefined) return undefined;
  const [version] = last;
  const end = last.index + version.length;
  const start = last.index + version.replace(VERSION_AND_RELEASE, '').length;
  return {
    close: words.slice(0, start) + MASK + words.slice(end),
    beforeClose: name.slice(0, start),
    loose: words.replace(VERSION, MASK),
    beforeLoose: beginningOf(name),
  };
}

/** Orders versions of one thing by their numbers, of which the later ones may be missing. */
function compareVersions(one: string, other: string): number {
  const [left, right] = [one, other].map((name) => name.match(/\d+/g) ?? []);
  const orders = (left ?? []).map((digits, at) => compareNumbers(digits, right?.[at] ?? ''));
  return orders.find((order) => order !== 0) ?? (left?.length ?? 0) - (right?.length ?? 0);
}

/** @param one digits, as many as there may be. */
function compareNumbers(one: string, other: string): number {
  const [left, right] = [one.replace(/^0+/, ''), other.replace(/^0+/, '')];
  return left.length - right.length || Number(left > right) - Number(left < right);
}
