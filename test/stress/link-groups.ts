import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, utimesSync } from 'node:fs';
import { type BytePath, below } from '../support/byte-path.ts';
import { type FileWork, fileWork } from '../support/file-work.ts';
import type { Dice } from './dice.ts';

/** What else the entries of such a tree may have. */
export interface LinkTreeOptions {
  /** Extended attributes and ACLs, which need the rights of root. */
  readonly attributes?: boolean;
  /** Content changes that neither size nor time show. */
  readonly silent?: boolean;
}

interface Names {
  readonly files: BytePath[];
  readonly symlinks: BytePath[];
  readonly directories: BytePath[];
}

/** A tree whose files have several names, and an upstream that changes it at random. */
export class LinkTree {
  readonly #work: FileWork;
  readonly #dice: Dice;
  readonly #options: LinkTreeOptions;
  #count = 0;

  constructor(root: string, dice: Dice, options: LinkTreeOptions = {}) {
    this.#work = fileWork(root);
    this.#dice = dice;
    this.#options = options;
    for (const name of ['a', 'm', 'm/below', 'z']) this.#work.directory(name);
    for (let entry = 0; entry < 12; entry += 1) this.#makeFile();
    for (let link = 0; link < 8; link += 1) this.#link();
  }

  /** Makes some changes, each of a random kind. */
  change(): void {
    for (let change = this.#dice.whole(1, 6); change > 0; change -= 1)
      this.#dice.pick(this.#kinds)();
  }

  /** Changes that can be made by a shell in the middle of a sync, as commands. */
  commands(): string {
    const { files } = this.#names();
    const path = (name: BytePath) => `'${this.#work.root}/${name}'`;
    const some = () => path(this.#dice.pick(files));
    const commands = [
      () => `chmod ${this.#dice.pick(['0600', '0644', '0755'])} ${some()}`,
      () => `touch ${some()}`,
      () => `ln ${some()} ${path(this.#newName())}`,
      () => `rm ${some()}`,
      () => `echo ${this.#next()} >>${some()}`,
    ];
    return this.#dice.pick(commands)();
  }

  readonly #kinds: readonly (() => void)[] = [
    () => this.#makeFile(),
    () => this.#link(),
    () => this.#link(),
    () => this.#linkAnew(),
    () => this.#linkAnew(),
    () => this.#linkTwins(),
    () => this.#with('files', (name) => this.#replace(name)),
    () => this.#with('files', (name) => this.#write(name)),
    () => this.#with('files', (name) => this.#part(name)),
    () =>
      this.#with('files', (name) => this.#work.mode(name, this.#dice.pick([0o600, 0o644, 0o755]))),
    () => this.#with('files', (name) => this.#work.mtime(name, this.#time())),
    () => this.#with('files', (name) => this.#own(name)),
    () => this.#with('files', (name) => this.#work.remove(name)),
    () => this.#with('files', (name) => this.#work.rename(name, this.#newName())),
    () => this.#with('files', (name) => this.#becomeDirectory(name)),
    () => this.#with('files', (name) => this.#becomeSymlink(name)),
    () => this.#with('symlinks', (name) => this.#lead(name)),
    () => this.#with('symlinks', (name) => this.#replace(name)),
    () => this.#with('directories', (name) => this.#renameDirectory(name)),
    () => this.#with('directories', (name) => this.#becomeFile(name)),
    () => this.#work.directory(this.#newName()),
    () => this.#with('files', (name) => this.#describe(name)),
    () => this.#with('files', (name) => this.#rewriteSilently(name)),
  ];

  #with(kind: keyof Names, change: (name: BytePath) => void): void {
    const names = this.#names()[kind];
    if (names.length > 0) change(this.#dice.pick(names));
  }

  #makeFile(): void {
    const name = this.#newName();
    if (this.#dice.chance(0.15)) this.#work.symlink(name, this.#dice.pick(['a', 'nowhere', 'm']));
    else if (this.#dice.chance(0.1)) this.#work.fifo(name);
    else this.#write(name);
  }

  #link(): void {
    const { files, symlinks } = this.#names();
    this.#work.link(this.#newName(), this.#dice.pick([...files, ...symlinks]));
  }

  /** A name leaves its group for another one. */
  #linkAnew(): void {
    const { files } = this.#names();
    const [name, to] = [this.#dice.pick(files), this.#dice.pick(files)];
    if (name === to) return;
    this.#work.remove(name);
    this.#work.link(name, to);
  }

  /** Files that were equal become one. */
  #linkTwins(): void {
    this.#with('files', (name) => {
      const twin = this.#newName();
      this.#copy(name, twin);
      this.#twins.push([name, twin]);
    });
    const [name, twin] = this.#twins.length > 1 ? (this.#twins.shift() ?? []) : [];
    const { files } = this.#names();
    if (name === undefined || twin === undefined) return;
    if (!files.includes(name) || !files.includes(twin)) return;
    this.#work.remove(twin);
    this.#work.link(twin, name);
  }

  readonly #twins: [BytePath, BytePath][] = [];

  #replace(name: BytePath): void {
    this.#work.remove(name);
    this.#write(name);
  }

  /** With a time of its own: rsync takes files of the same size and time for equal. */
  #write(name: BytePath): void {
    const content = `${this.#next()}${this.#dice.chance(0.1) ? '\0'.repeat(100_000) : ''}`;
    this.#work.write(name, content);
    utimesSync(below(this.#work.root, name), 1_600_000_000, 1_600_000_000 + this.#count);
  }

  /** A name leaves its group, and nothing but the inode tells. */
  #part(name: BytePath): void {
    const copy = this.#newName();
    this.#copy(name, copy);
    this.#work.rename(copy, name);
  }

  #copy(from: BytePath, to: BytePath): void {
    const path = (name: BytePath) => `${this.#work.root}/${name}`;
    execFileSync('cp', ['--archive', '--no-target-directory', path(from), path(to)]);
  }

  #own(name: BytePath): void {
    this.#work.owner(name, this.#dice.pick([0, 1, 12_345]), this.#dice.pick([0, 1, 23_456]));
  }

  #becomeDirectory(name: BytePath): void {
    this.#work.remove(name);
    this.#work.directory(name);
    this.#write(`${name}/inside`);
    this.#with('files', (file) => this.#work.link(`${name}/linked`, file));
  }

  #becomeSymlink(name: BytePath): void {
    this.#work.remove(name);
    this.#work.symlink(name, 'a');
  }

  /** All names of a symlink lead elsewhere, with the time of before. */
  #lead(name: BytePath): void {
    const { root } = this.#work;
    const old = lstatSync(below(root, name), { bigint: true });
    const isSame = (other: BytePath) =>
      lstatSync(below(root, other), { bigint: true }).ino === old.ino;
    const [first = name, ...others] = this.#names().symlinks.filter(isSame);
    for (const other of [first, ...others]) this.#work.remove(other);
    this.#work.symlink(first, `to-${this.#next()}`);
    const seconds = old.mtimeNs / 1_000_000_000n;
    const nanoseconds = String(old.mtimeNs % 1_000_000_000n).padStart(9, '0');
    this.#work.mtime(first, `${seconds}.${nanoseconds}`);
    for (const other of others) this.#work.link(other, first);
  }

  #renameDirectory(name: BytePath): void {
    const to = this.#newName();
    if (!`${to}/`.startsWith(`${name}/`)) this.#work.rename(name, to);
  }

  #becomeFile(name: BytePath): void {
    if (!name.includes('/')) return;
    this.#work.remove(name);
    const { files } = this.#names();
    if (this.#dice.chance(0.5)) this.#write(name);
    else this.#work.link(name, this.#dice.pick(files));
  }

  #describe(name: BytePath): void {
    if (this.#options.attributes !== true) return;
    const acl = `b"\\2\\0\\0\\0" + b"".join(map(lambda e: __import__("struct").pack("<HHI", *e),
      [(1, 6, 2**32-1), (2, ${this.#dice.whole(1, 7)}, 12345), (4, 4, 2**32-1), (16, 7, 2**32-1), (32, 4, 2**32-1)]))`;
    const set = this.#dice.pick([
      `os.setxattr(path, "user.note", b"${this.#next()}")`,
      `os.setxattr(path, "system.posix_acl_access", ${acl})`,
      `[os.removexattr(path, one) for one in os.listxattr(path)]`,
    ]);
    const path = `${this.#work.root}/${name}`;
    execFileSync('python3', ['-c', `import os, sys; path = sys.argv[1]; ${set}`, path]);
  }

  #rewriteSilently(name: BytePath): void {
    if (this.#options.silent !== true) return;
    const path = `${this.#work.root}/${name}`;
    const script = `import os, sys; path = sys.argv[1]; s = os.stat(path); f = open(path, "r+b"); f.write(b"${this.#dice.whole(100, 999)}"[:s.st_size]); f.close(); os.utime(path, ns=(s.st_atime_ns, s.st_mtime_ns))`;
    execFileSync('python3', ['-c', script, path]);
  }

  #time(): string {
    return `${1_500_000_000 + this.#next()}.${this.#dice.pick(['0', '000000001', '123456789'])}`;
  }

  #newName(): BytePath {
    const directory = this.#dice.pick(['.', ...this.#names().directories]);
    const name = `${this.#dice.pick(['b', 'k', 'y', 'x => y', '\\#012', ' - '])}${this.#next()}`;
    return directory === '.' ? name : `${directory}/${name}`;
  }

  #next(): number {
    this.#count += 1;
    return this.#count;
  }

  #names(): Names {
    const names: Names = { files: [], symlinks: [], directories: [] };
    const { root } = this.#work;
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const name = `${entry.parentPath}/${entry.name}`.slice(root.length + 1);
      if (entry.isFile()) names.files.push(name);
      else if (entry.isSymbolicLink()) names.symlinks.push(name);
      else if (entry.isDirectory()) names.directories.push(name);
    }
    for (const list of Object.values(names)) list.sort();
    return names;
  }
}
