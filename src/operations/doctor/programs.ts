import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { checkRsync } from '../../mirror/plan/preflight.ts';
import { ifThere } from '../../system/files.ts';
import { programsInPath } from '../../system/own-program.ts';
import { runProgram } from '../../system/process.ts';
import { bad, type Check, ok, type Verdict, warning } from './check.ts';
import { isOlder, openHoles, versionIn } from './rsync-holes.ts';

/** As package.json has it. */
const OLDEST_NODE = [20, 19] as const;

/** Without one of these, no sync can do its work. */
const OF_A_SYNC = ['flock', 'setpriv', 'cp', 'find', 'sync', 'touch'];

/** Without one of these, the reader cannot make a namespace for every user, or hold a snapshot. */
const OF_A_GUARD = ['sh', 'flock', 'unshare', 'mount', 'nsenter', 'setpriv', 'awk'];

export const PROGRAMS: readonly Check<void>[] = [
  { title: 'Node.js', look: lookAtNode },
  { title: 'rsync', look: lookAtRsync },
  {
    title: 'tools of a sync',
    look: () => lookForTools(OF_A_SYNC, bad),
  },
  {
    title: 'tools of a guard',
    look: () => lookForTools(OF_A_GUARD, warning),
  },
];

function lookAtNode(): Verdict {
  const { node } = process.versions;
  return isOlder(versionIn(node) ?? [], OLDEST_NODE)
    ? bad(
        `${node}, which is older than ${OLDEST_NODE.join('.')}`,
        'Install a newer one, from https://nodejs.org/en/download or in the package of mirrorlatch that carries its own.',
      )
    : ok(node);
}

async function lookAtRsync(): Promise<Verdict> {
  await checkRsync();
  const { stdout } = await runProgram('rsync', ['--version']);
  const version = versionIn(stdout) ?? [];
  const shown = version.join('.');
  const [hole, ...others] = openHoles(version, await changesOfPackage());
  if (hole === undefined) return ok(shown);
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return warning(
    `${shown}: ${hole.what}${more}; ${hole.mendedIn.join('.')} mends it`,
    'Install a newer one, for example with: apt-get install --only-upgrade rsync',
  );
}

/** What a distribution says that it has changed in its rsync, which keeps its version; empty if nothing is known. */
async function changesOfPackage(): Promise<string> {
  const packed = ifThere(() => readFileSync('/usr/share/doc/rsync/changelog.Debian.gz'));
  if (packed !== undefined) return gunzipSync(packed).toString('latin1');
  try {
    return (await runProgram('rpm', ['-q', '--changelog', 'rsync'])).stdout;
  } catch {
    // Another kind of package, or none.
    return '';
  }
}

function lookForTools(
  tools: readonly string[],
  complain: (found: string, remedy: string) => Verdict,
): Verdict {
  const missing = tools.filter((tool) => programsInPath(tool).length === 0);
  if (missing.length === 0) return ok(tools.join(', '));
  return complain(
    `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not in PATH`,
    'Install what is missing, for example with: apt-get install util-linux coreutils findutils mawk',
  );
}
