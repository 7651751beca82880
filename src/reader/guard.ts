import { layoutOf } from '../mirror/layout.ts';

/** How a command is pinned, see reader.sh; `auto` is the namespace, or what the caller has said will do. */
export const PINS = ['auto', 'namespace', 'cwd'] as const;

export type PinKind = (typeof PINS)[number];

/** The words before a command that pin it to one snapshot. */
export interface Guard {
  /** The whole prefix, up to and including the `--` before the command. */
  readonly words: readonly [string, ...string[]];
  /** The reader or `mirrorlatch`: a path, or a name that is looked up in PATH. */
  readonly front: string;
  /** How the front is started: by `sh` if its filesystem is mounted noexec. */
  readonly start: 'executed' | 'by sh';
  /** Absolute paths of the pinned mirrors. */
  readonly roots: readonly string[];
  /** URLs of the pinned mirrors. */
  readonly urls: readonly string[];
}

export interface GuardOptions {
  /** Absolute paths of the mirrors; the reader of the first one is used. */
  readonly roots: readonly string[];
  /** URLs of mirrors, which need `mirrorlatch run`. */
  readonly urls?: readonly string[] | undefined;
  /** Commands may request nothing of these. */
  readonly allowUnseen?: boolean | undefined;
  /** Whether this user can execute, or only read, that reader. */
  readonly reader: 'executable' | 'readable' | 'absent';
  /** The name or path of `mirrorlatch`. */
  readonly program: string;
  /** The channel that is resolved instead of `current`. */
  readonly channel?: string | undefined;
  readonly pin?: PinKind | undefined;
  readonly waitSeconds?: number | undefined;
  /** Updates remember their snapshot and installs reuse it. Needs `mirrorlatch run`. */
  readonly sticky?: boolean | undefined;
  /** Use the current snapshot if the remembered one is gone. */
  readonly orCurrent?: boolean | undefined;
}

/** Chooses the mirror's reader if it can do the job, otherwise `mirrorlatch run`. Pure. */
export function guardOf(options: GuardOptions): Guard {
  const { roots, urls = [], reader, program, sticky = false, orCurrent = false } = options;
  const [first, ...others] = roots;
  const from = options.channel === undefined ? [] : ['--channel', options.channel];
  const common = [
    ...(options.pin === undefined ? [] : ['--pin', options.pin]),
    ...(options.waitSeconds === undefined ? [] : ['--wait', `${options.waitSeconds}s`]),
    // With --pin cwd only the working directory is pinned, so the command must start in it.
    ...(options.pin === 'cwd' || first === undefined ? [] : ['--chdir', 'no']),
    '--',
  ];
  if (sticky || reader === 'absent' || urls.length > 0 || first === undefined) {
    return {
      words: [
        ...([program, 'run'] as const),
        ...(first === undefined ? [] : [first]),
        ...urls.flatMap((url) => ['--http', url]),
        ...(options.allowUnseen ? ['--allow-unseen'] : []),
        ...others.flatMap((root) => ['--mirror', root]),
        ...from,
        ...(sticky ? ['--preset'] : []),
        ...(orCurrent ? ['--or-current'] : []),
        ...common,
      ],
      front: program,
      start: 'executed',
      roots,
      urls,
    };
  }
  const front = layoutOf(first).reader;
  const named = others.length === 0 ? from : roots.flatMap((root) => ['--root', root, ...from]);
  return reader === 'executable'
    ? { words: [front, ...named, ...common], front, start: 'executed', roots, urls }
    : { words: ['/bin/sh', front, ...named, ...common], front, start: 'by sh', roots, urls };
}
