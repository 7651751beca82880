import { MirrorlatchError } from '../../errors.ts';
import { isInPlace } from '../../mirror/gate.ts';
import { findMirror } from '../../mirror/open.ts';
import { APT_PREFIX, type MirrorAt } from './apt-snapshots.ts';

export interface AptConfigOptions {
  /**
   * The server, as the sources of its clients name it: `http://mirror.example.org:8080`. A path is that under which a web
   * server in front has it, unless it is that of the one mirror.
   */
  readonly url: string;
  readonly mirrors: readonly MirrorAt[];
}

/**
 * The archives for which apt 3.0 knows another server of snapshots, and goes there once it has seen a Release file of them, unless
 * that is overridden: `apt-config dump Acquire::Snapshots`.
 */
const KNOWN_ORIGINS = ['Debian', 'Ubuntu'];
const KNOWN_LABELS = ['Debian-Security'];

/**
 * The settings by which clients of a server find its snapshots, apt.conf(5). Pure.
 *
 * By the entry of the host apt finds them before it has seen a Release file, and those of archives that it does not know;
 * without it, `apt -S ID update` would go on with what is live, and end well.
 *
 * @throws MirrorlatchError USAGE
 */
export function aptConfig({ url, mirrors }: AptConfigOptions): string {
  const { hostname } = new URL(url);
  const [first = { prefix: '/', content: '/' }, ...others] = mirrors;
  const server = serverOf(url, others.length === 0 ? first : undefined);
  // apt has one entry for a host. @PATH@ is what follows the host in the source, such as debian/current.
  const place = others.length === 0 ? `${first.prefix}snapshots/` : `${APT_PREFIX}@PATH@/`;
  const value = `"${server}${place}@SNAPSHOTID@/"`;
  const entries = (names: readonly string[]) => names.map((name) => `      ${name} ${value};\n`);
  return `// The snapshots of ${server}, for apt 2.7 and newer. Put this on each client, as
// /etc/apt/apt.conf.d/50mirrorlatch. The client's sources stay as they are: ${server}${first.content.replace(/\/$/, '')}
//
// The mirror at a time, in UTC, for one command, or for one source in /etc/apt/sources.list.d/*.sources:
//
//   apt -S 20261127T000000Z update
//   apt -S 20261127T000000Z install PACKAGE
//
//   Snapshot: 20261127T000000Z
//
// That is the last snapshot that began by then and is still there: where a later one has been removed, that may be the
// state of an earlier time. apt also fetches the lists of what is current.
// Where the Release file of an old snapshot has expired, add: -o Acquire::Check-Valid-Until=false
Acquire::Snapshots::URI
{
  // Without this, apt reads what is current, without a word.
  Host
  {
    ${hostname} ${value};
  };
  // Without these, apt asks the servers of snapshots that it knows for these archives. They count for all sources
  // of the archives, those on other hosts, too.
  Override
  {
    Origin
    {
${entries(KNOWN_ORIGINS).join('')}    };
    Label
    {
${entries(KNOWN_LABELS).join('')}    };
  };
};
`;
}

/**
 * Refuses mirrors that are written in place, where apt would find no snapshot. Beside others, one is not in the way.
 *
 * @throws MirrorlatchError USAGE; as `findMirror`.
 */
export function refuseInPlace(roots: readonly string[]): void {
  const [first] = roots;
  const isOneInPlace = (root: string) => {
    const mirror = findMirror(root);
    return mirror !== undefined && isInPlace(mirror.layout);
  };
  if (first === undefined || !roots.every(isOneInPlace)) return;
  throw new MirrorlatchError(
    'USAGE',
    `${first} is written in place: apt finds no snapshots there`,
    {
      hint: 'Its clients need no settings: a sync waits for them, and they get 503 meanwhile.',
    },
  );
}

/** @param mirror undefined if there are several. */
function serverOf(url: string, mirror: MirrorAt | undefined): string {
  const { origin, pathname } = new URL(url);
  const path = pathname.replace(/\/+$/, '');
  if (path === '') return origin;
  if (mirror === undefined) {
    throw new MirrorlatchError('USAGE', `${url} has a path, and there are several mirrors`, {
      hint: `apt has one entry for a host. Leave the path out, ${origin}, or name one mirror.`,
    });
  }
  const isOwn = [mirror.prefix, mirror.content].includes(`${path}/`);
  return isOwn ? origin : `${origin}${path}`;
}
