import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readerText } from '../../reader/script.ts';
import { readTextIfThere } from '../../system/files.ts';
import { runProgram } from '../../system/process.ts';
import { bad, type Check, ok, skipped, type Verdict, warning } from './check.ts';

/** Any user but root; nobody of Debian and others. */
const ORDINARY = '65534';

export const NAMESPACES: readonly Check<void>[] = [
  { title: 'namespaces', look: lookAsThisUser },
  { title: 'those of users', look: lookAsOrdinaryUser },
];

async function lookAsThisUser(): Promise<Verdict> {
  const obstacle = await obstacleToGuard([]);
  if (obstacle === undefined) return ok('a guard of this user can pin a mirror under its own path');
  return process.geteuid?.() === 0
    ? bad(`no guard can pin a mirror: ${obstacle}`, wayOut())
    : warning(`no guard of this user can pin a mirror: ${obstacle}`, wayOut());
}

async function lookAsOrdinaryUser(): Promise<Verdict> {
  if (process.geteuid?.() !== 0) return skipped('only root can try that as another user');
  const asUser = ['setpriv', '--reuid', ORDINARY, '--regid', ORDINARY, '--clear-groups'];
  const obstacle = await obstacleToGuard([...asUser, '--inh-caps=-all']);
  return obstacle === undefined
    ? ok('a guard of an ordinary user can pin a mirror, too')
    : warning(`no guard of an ordinary user can pin a mirror: ${obstacle}`, wayOut());
}

/**
 * Pins a tree of its own, as every guard does, by the very reader.
 *
 * @param through a prefix of the command line.
 * @returns why that fails; undefined if it does not.
 */
async function obstacleToGuard(through: readonly string[]): Promise<string | undefined> {
  const home = mkdtempSync(join(tmpdir(), 'mirrorlatch-doctor-'));
  try {
    const [root, reader] = [join(home, 'mirror'), join(home, 'reader')];
    mkdirSync(join(root, 'tree'), { recursive: true });
    symlinkSync('tree', join(root, 'current'));
    writeFileSync(reader, readerText());
    // Another user has to get through.
    const modes = ['a+rX', home, reader, root, join(root, 'tree')];
    await runProgram('chmod', modes);
    const guard = ['--root', root, '--pin', 'namespace', '--chdir', 'no', '--wait', '0', '--'];
    const [program = '', ...words] = [...through, 'sh', reader, ...guard, 'true'];
    const { exitCode, stderr } = await runProgram(program, words, { cwd: '/' });
    if (exitCode === 0) return undefined;
    const [said = ''] = stderr.replace(/^[\w-]+: /, '').split('\n');
    return said === '' ? `exit code ${exitCode}` : said.replace(root, 'it');
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** The first switch of the kernel that is off, and the command for it. */
function wayOut(): string {
  const switches = [
    { name: 'user.max_user_namespaces', isOff: (value: string) => value === '0', on: 10_000 },
    { name: 'kernel.unprivileged_userns_clone', isOff: (value: string) => value === '0', on: 1 },
    {
      name: 'kernel.apparmor_restrict_unprivileged_userns',
      isOff: (value: string) => value === '1',
      on: 0,
    },
  ];
  const off = switches.find(({ name, isOff }) => {
    const value = readTextIfThere(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim();
    return value !== undefined && isOff(value);
  });
  return off === undefined
    ? 'See what else there is with: mirrorlatch help containers'
    : `As root, allow them with: sysctl -w ${off.name}=${off.on}`;
}
