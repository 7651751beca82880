import { lstatSync } from 'node:fs';
import { FILL_STAGING } from '../changing-tree.ts';
import type { Dice } from '../dice.ts';
import type { Mirror } from './mirrors.ts';

/** What the commands of a mirror work with. */
export interface Supplies {
  readonly source: string;
  /** Trees for `lock` to publish. */
  readonly trees: readonly string[];
}

/** The words of some commands that belong together, and how often they come. */
interface Move {
  readonly weight: number;
  readonly of: readonly Mirror['name'][];
  readonly commands: (mirror: Mirror, supplies: Supplies, dice: Dice) => readonly string[][];
}

const everywhere = ['snapshots', 'in place', 'adopted'] as const;
const withSnapshots = ['snapshots', 'adopted'] as const;

/** Keeps nothing for the sake of time, so that only readers keep what they read. */
const KEEP_LITTLE = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];

const RSYNC_OPTIONS = [
  '--checksum',
  '--exclude=/extra/',
  '--exclude=/turning',
  '--max-size=100k',
  '--bwlimit=200',
  '--bwlimit=60',
];

/** Everything that is done to mirrors, each kind as often as its weight. */
export const moves: readonly Move[] = [
  {
    weight: 10,
    of: everywhere,
    // A sync meanwhile makes it a mirror of its own, which cannot adopt the directory any more.
    commands: (mirror, { source }, dice) => [
      isGivenBack(mirror) && dice.chance(0.8)
        ? adoption(mirror, source)
        : sync(mirror, source, dice),
    ],
  },
  {
    weight: 3,
    of: everywhere,
    commands: (mirror, { trees }, dice) => [
      [
        'lock',
        mirror.root(),
        ...patience(dice),
        '--allow-shrink',
        ...(mirror.name === 'in place'
          ? ['--drain', '3s']
          : dice.pick([[], ['--empty'], ['--resume'], ['--hard-links-are-safe'], KEEP_LITTLE])),
        '--',
        ...dice.pick([
          [...FILL_STAGING, dice.pick(trees)],
          [...FILL_STAGING, dice.pick(trees)],
          ['sh', '-c', 'rm -rf "$MIRRORLATCH_STAGING/pool"; exit 7'],
        ]),
      ],
    ],
  },
  {
    weight: 1,
    of: everywhere,
    commands: (mirror, _, dice) => [
      ['lock', mirror.root(), ...patience(dice), '--lock-only', '--', 'sleep', '0.5'],
    ],
  },
  {
    weight: 3,
    of: withSnapshots,
    commands: (mirror, _, dice) => [['prune', mirror.root(), ...KEEP_LITTLE, ...patience(dice)]],
  },
  {
    weight: 2,
    of: withSnapshots,
    commands: (mirror, _, dice) => [['rollback', mirror.root(), ...patience(dice)]],
  },
  {
    weight: 1,
    of: everywhere,
    commands: (mirror, _, dice) => [
      [
        'init',
        mirror.root(),
        ...(mirror.name === 'in place' ? [] : ['--keep-last', String(dice.whole(1, 3))]),
        ...['--max-shrink', String(dice.whole(30, 100))],
        ...(dice.chance(0.5) ? ['--', dice.pick(RSYNC_OPTIONS)] : []),
      ],
    ],
  },
  {
    weight: 2,
    of: ['in place'],
    commands: (mirror, _, dice) => [
      ['gate', 'close', mirror.root(), ...patience(dice), '--reason', 'a look inside'],
      ['gate', 'open', mirror.root(), ...patience(dice)],
    ],
  },
  {
    weight: 2,
    of: ['adopted'],
    commands: (mirror, { source }) =>
      isGivenBack(mirror)
        ? [adoption(mirror, source)]
        : [['init', mirror.root(), '--unadopt', adoptedBy(mirror)], adoption(mirror, source)],
  },
  ...(['status', 'list', 'unlock'] as const).map(
    (verb): Move => ({
      weight: 1,
      of: everywhere,
      commands: (mirror) => [[verb, mirror.root()]],
    }),
  ),
  {
    weight: 1,
    of: everywhere,
    commands: (mirror, { source }) => [['sync', source, mirror.root(), '--dry-run']],
  },
];

function sync(mirror: Mirror, source: string, dice: Dice): string[] {
  return [
    'sync',
    ...(dice.chance(0.5) ? [source] : []),
    mirror.root(),
    ...patience(dice),
    ...['--retries', dice.pick(['0', '1']), '--retry-delay', '100ms'],
    ...(dice.chance(0.8) ? ['--allow-shrink'] : []),
    ...(dice.chance(0.3) ? ['--without', dice.pick(['safe-links', 'temp-excludes'])] : []),
    ...(mirror.name === 'in place' ? ['--drain', '3s'] : manner(dice)),
    ...(dice.chance(0.5) ? ['--', dice.pick(RSYNC_OPTIONS)] : []),
  ];
}

/** How long a command waits for another writer. */
function patience(dice: Dice): string[] {
  return dice.pick([[], ['--wait', '3s'], ['--wait', '10s']]);
}

/** How a sync of a mirror with snapshots goes about its work. */
function manner(dice: Dice): string[] {
  return [
    ...(dice.chance(0.3) ? ['--strategy', dice.pick(['link-dest', 'copy'])] : []),
    ...(dice.chance(0.2) ? ['--clone', 'copy'] : []),
    ...(dice.chance(0.7) ? KEEP_LITTLE : []),
  ];
}

function adoption(mirror: Mirror, source: string): string[] {
  return ['init', mirror.root(), '--adopt', adoptedBy(mirror), '--source', source];
}

function isGivenBack({ adopted }: Mirror): boolean {
  return adopted !== undefined && lstatSync(adopted).isDirectory();
}

function adoptedBy({ name, adopted }: Mirror): string {
  if (adopted === undefined) throw new Error(`${name} has not been adopted`);
  return adopted;
}
