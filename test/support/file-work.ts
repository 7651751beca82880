import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lchownSync,
  linkSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type BytePath, below, toBuffer } from './byte-path.ts';

/** Changes files below one directory; names are bytes, and parents must exist. */
export interface FileWork {
  readonly root: string;
  write(path: BytePath, content: string | Buffer, mode?: number): void;
  directory(path: BytePath, mode?: number): void;
  symlink(path: BytePath, target: BytePath): void;
  /** Makes `path` a hard link to `existing`. */
  link(path: BytePath, existing: BytePath): void;
  rename(from: BytePath, to: BytePath): void;
  /** Removes an entry, a directory with its contents; does not follow symlinks. */
  remove(path: BytePath): void;
  mode(path: BytePath, mode: number): void;
  owner(path: BytePath, uid: number, gid: number): void;
  /** `seconds` since 1970, as text: a number cannot hold nine decimals. */
  mtime(path: BytePath, seconds: string): void;
  fifo(path: BytePath): void;
  characterDevice(path: BytePath, major: number, minor: number): void;
}

/** Returns the functions for `root`, an ordinary string. */
export function fileWork(root: string): FileWork {
  const at = (path: BytePath): Buffer => below(root, path);
  return {
    root,
    write: (path, content, mode = 0o644) => {
      writeFileSync(at(path), content);
      chmodSync(at(path), mode);
    },
    directory: (path, mode = 0o755) => {
      mkdirSync(at(path));
      chmodSync(at(path), mode);
    },
    symlink: (path, target) => symlinkSync(toBuffer(target), at(path)),
    link: (path, existing) => linkSync(at(existing), at(path)),
    rename: (from, to) => renameSync(at(from), at(to)),
    remove: (path) => run(['rm', '-rf', '--'], at(path)),
    mode: (path, mode) => chmodSync(at(path), mode),
    owner: (path, uid, gid) => lchownSync(at(path), uid, gid),
    mtime: (path, seconds) => run(['touch', '-h', '-m', '-d', `@${seconds}`, '--'], at(path)),
    fifo: (path) => run(['mkfifo', '-m', '0640', '--'], at(path)),
    characterDevice: (path, major, minor) =>
      run(['sh', '-c', `exec mknod -m 0600 -- "$1" c ${major} ${minor}`, 'sh'], at(path)),
  };
}

/** Uses xargs(1), which passes on any bytes; Node's arguments can only be UTF-8. */
function run(command: readonly string[], path: Buffer): void {
  execFileSync('xargs', ['-0', ...command], { input: path });
}
