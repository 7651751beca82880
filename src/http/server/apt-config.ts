import { MirrorlatchError } from '../../errors.ts';
import { isInPlace } from '../../mirror/locks/gate.ts';
import { findMirror } from '../../mirror/open.ts';
import type { Archive } from './apt-archives.ts';
import { APT_PREFIX, type MirrorAt } from './apt-snapshots.ts';

export interface AptConfigOptions {
  /**
   * The server, as the sources of its clients name it: `http://mirror.example.org:8080`. A path is that under which a web
   * server in front has it, unless it is that of the one mirror.
   */
  readonly url: string;
  readonly mirrors: readonly MirrorAt[];
  /** Those in all the mirrors, as far as they are known. */
  readonly archives: readonly Archive[];
}

/**
 * The archives for which apt 3.0 knows another server of snapshots, and goes there once it has seen a Release file of them, unless
 * that is overridden: `apt-config dump Acquire::Snapshots`. The entry of a label comes before that of an origin.
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
export function aptConfig({ url, mirrors, archives }: AptConfigOptions): string {
  const [{ prefix, content } = { prefix: '/', content: '/' }] = mirrors;
  const [place = '', ...others] = new Set(archives.map((archive) => archive.place));
  const isOne = mirrors.length <= 1 && others.length === 0;
  const own = isOne ? [prefix, content, `${content}${place}`] : undefined;
  const server = serverOf(url, own);
  // apt has one entry for a host. @PATH@ is what follows the host in the source, such as debian/current.
  const path = isOne
    ? `${prefix}snapshots/@SNAPSHOTID@/${place}`
    : `${APT_PREFIX}@PATH@/@SNAPSHOTID@/`;
  const value = `"${server}${path}"`;
  return `// The snapshots of ${server}, for apt 2.7 and newer. Put this on each client, as
// /etc/apt/apt.conf.d/50mirrorlatch. The client's sources stay as they are: ${server}${`${content}${place}`.replace(/\/$/, '')}
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
//
// A client without these settings takes -S and reads what is current, without a word. With this line in its source, it
// fails instead; without -S, the source is read as before:
//
//   Snapshot: enable
Acquire::Snapshots::URI
{
  // apt has one entry for a host: if it has other mirrors, print this for all of them at once.
  Host
  {
    ${quotedHost(url)} ${value};
  };
${overrides(archives, value)}};
`;
}

/** Where apt would go elsewhere, although the mirror has the archive. */
function overrides(archives: readonly Archive[], value: string): string {
  const known = [
    ...KNOWN_ORIGINS.map((origin) => ({ origin, label: undefined, namesSnapshots: false })),
    ...KNOWN_LABELS.map((label) => ({ origin: undefined, label, namesSnapshots: false })),
  ];
  const named = (archives.length === 0 ? known : archives).map(overridden);
  const section = (kind: Overridden['kind']): string => {
    const names = new Set(named.flatMap((one) => (one?.kind === kind ? [one.name] : [])));
    const lines = [...names].map((name) => `      ${quotedName(name)} ${value};\n`);
    return lines.length === 0 ? '' : `    ${kind}\n    {\n${lines.join('')}    };\n`;
  };
  const sections = `${section('Origin')}${section('Label')}`;
  if (sections === '') return '';
  return `  // Without these, apt asks the servers of snapshots that it knows for these archives, which the mirror has now. They
  // count for all sources of the archives, those on other hosts, too.
  Override
  {
${sections}  };
`;
}

interface Overridden {
  readonly kind: 'Origin' | 'Label';
  readonly name: string;
}

function overridden({
  origin,
  label,
  namesSnapshots,
}: Omit<Archive, 'place'>): Overridden | undefined {
  if (label !== undefined && KNOWN_LABELS.includes(label)) return { kind: 'Label', name: label };
  if (origin !== undefined && KNOWN_ORIGINS.includes(origin))
    return { kind: 'Origin', name: origin };
  if (!namesSnapshots) return undefined;
  if (label !== undefined) return { kind: 'Label', name: label };
  return origin === undefined ? undefined : { kind: 'Origin', name: origin };
}

/** As in sources: apt takes an IPv6 address out of its brackets. */
function quotedHost(url: string): string {
  return quotedName(new URL(url).hostname.replace(/^\[|\]$/g, ''));
}

/** apt reads an escape in a name as in a URL. */
function quotedName(name: string): string {
  if (/^[\w.-]+$/.test(name)) return name;
  return `"${name.replace(/["%\\]/g, (one) => `%${one.charCodeAt(0).toString(16)}`)}"`;
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

/** @param own the paths of the one archive; undefined if there are several. */
function serverOf(url: string, own: readonly string[] | undefined): string {
  const { origin, pathname } = new URL(url);
  const path = pathname.replace(/\/+$/, '');
  if (path === '') return origin;
  if (own === undefined) {
    throw new MirrorlatchError('USAGE', `${url} has a path, and there are several archives`, {
      hint: `apt has one entry for a host. Leave the path out, ${origin}, or name one mirror.`,
    });
  }
  return own.includes(`${path}/`) ? origin : `${origin}${path}`;
}
