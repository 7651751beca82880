import { layoutOf } from '../mirror/layout.ts';

/** What stands before a command so that it sees one snapshot only. */
export interface Guard {
  /** Up to and with the `--` that the command follows. */
  readonly words: readonly [string, ...string[]];
  /** The reader, or the program `mirrorlatch`: a path, or a name to be found in PATH. */
  readonly front: string;
  /** How the front is started: by a shell where it lies on a filesystem mounted noexec. */
  readonly start: 'executed' | 'by sh';
  readonly roots: readonly string[];
}

export interface GuardOptions {
  /** Absolute; the first is where the reader lies. */
  readonly roots: readonly [string, ...string[]];
  /** What the first mirror's reader is for us. */
  readonly reader: 'executable' | 'readable' | 'absent';
  /** `mirrorlatch`, or its path. */
  readonly program: string;
  readonly pin?: 'auto' | 'namespace' | 'cwd' | undefined;
  readonly waitSeconds?: number | undefined;
  /** Update remembers the snapshot, install reuses it; the reader cannot do that. */
  readonly sticky?: boolean | undefined;
  /** Where the remembered snapshot is gone, the current one will do. */
  readonly orCurrent?: boolean | undefined;
}

/** The reader where it is there, or else `mirrorlatch run`. Pure. */
export function guardOf(options: GuardOptions): Guard {
  const { roots, reader, program, sticky = false, orCurrent = false } = options;
  const [first, ...others] = roots;
  const common = [
    ...(options.pin === undefined ? [] : ['--pin', options.pin]),
    ...(options.waitSeconds === undefined ? [] : ['--wait', String(options.waitSeconds)]),
    // With --pin cwd the working directory is all that is pinned.
    ...(options.pin === 'cwd' ? [] : ['--chdir', 'no']),
    '--',
  ];
  if (sticky || reader === 'absent') {
    return {
      words: [
        ...([program, 'run', first] as const),
        ...others.flatMap((root) => ['--mirror', root]),
        ...(sticky ? ['--preset'] : []),
        ...(orCurrent ? ['--or-current'] : []),
        ...common,
      ],
      front: program,
      start: 'executed',
      roots,
    };
  }
  const front = layoutOf(first).reader;
  const named = others.length === 0 ? [] : roots.flatMap((root) => ['--root', root]);
  return reader === 'executable'
    ? { words: [front, ...named, ...common], front, start: 'executed', roots }
    : { words: ['/bin/sh', front, ...named, ...common], front, start: 'by sh', roots };
}
