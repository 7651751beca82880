/** The progress of a transfer, as rsync reports it. */
export interface TransferProgress {
  /** The size of the files transferred so far, in bytes. */
  bytes: number;
  /** Files whose content has been transferred. */
  files: number;
}

/** Reads the progress of one run of rsync. */
export class ProgressReader {
  #files = 0;

  /**
   * Reads a line of `--info=progress2`: `bytes pct% rate H:MM:SS (xfr#N, to-chk=R/T)`, where rsync
   * prints the parentheses only at the end of a file.
   *
   * @returns undefined for any other line.
   */
  read(line: string): TransferProgress | undefined {
    const [, bytes, files] = /^ *(\d+) +\d+% +\S+ +\S+ *(?:\(xfr#(\d+),)?/.exec(line) ?? [];
    if (bytes === undefined) return undefined;
    if (files !== undefined) this.#files = Number(files);
    return { bytes: Number(bytes), files: this.#files };
  }
}

/** What rsync reports about the whole source tree at the end of a pass (`--stats`). */
export interface SourceTotals {
  /** Regular files. */
  files: number;
  directories: number;
  /** All entries, including symlinks, devices and special files. */
  entries: number;
  /** The sizes of all files and symlinks. */
  bytes: number;
}

/** Collects the totals from the lines of `--stats`; ignores all other lines. */
export class StatsReader {
  readonly totals: SourceTotals = { files: 0, directories: 0, entries: 0, bytes: 0 };
  /** Content that had to come from the source, without what a delta takes from the old file; bytes. */
  receivedBytes = 0;

  read(line: string): void {
    const count = /^Number of files: (\d+)(?: \((.*)\))?$/.exec(line);
    if (count) {
      const kinds = new Map(
        (count[2] ?? '').split(', ').map((kind) => kind.split(': ') as [string, string]),
      );
      this.totals.entries = Number(count[1]);
      this.totals.files = Number(kinds.get('reg') ?? 0);
      this.totals.directories = Number(kinds.get('dir') ?? 0);
    }
    const size = /^Total file size: (\d+) bytes$/.exec(line);
    if (size) this.totals.bytes = Number(size[1]);
    const received = /^Literal data: (\d+) bytes$/.exec(line);
    if (received) this.receivedBytes = Number(received[1]);
  }
}
