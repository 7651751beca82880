import { MirrorlatchError, NOTHING_PUBLISHED } from '../../errors.ts';
import { describeProcesses, type NamedProcess } from '../../mirror/locks/lock-state.ts';
import { type Attachment, attachmentsOf, describeAttachments } from '../../system/attachments.ts';
import { lstatIfThere } from '../../system/files.ts';
import { refuseMountsWithin } from '../../system/mounts.ts';
import { writersByOtherNames } from '../../system/other-names.ts';
import { mayWriteBy, pathsInUse } from '../../system/paths-in-use.ts';
import { pause } from '../../system/pause.ts';
import {
  processesHoldingFlock,
  processesWithVariables,
  processName,
  processStartTicks,
  sessionOf,
} from '../../system/proc.ts';

/** By this variable a command finds its tree, and mirrorlatch what the command left running. */
export const STAGING = 'MIRRORLATCH_STAGING';
/** By this one, what stayed in the command's session is told from what left it (setsid(2)). */
export const SESSION = 'MIRRORLATCH_SESSION';

/** How long a command's children may outlive it; ms. */
const LINGER_MS = 5_000;
const POLL_MS = 250;

/**
 * @param tree where the tree was while its command ran.
 * @param path where it is now.
 * @throws MirrorlatchError BUSY when a process could still write to a tree that a command left;
 *   UNAVAILABLE when that is possible from another place.
 */
export async function refuseWhileWritten(tree: string, path: string, hint: string): Promise<void> {
  refuseAttachments(attachmentsOf(path), path, 'Then go on from it with the same command.');
  refuse([...startedFor(tree, path), ...(await writingIn(path))], path, hint);
}

/**
 * The same for the one tree of an in-place mirror, which readers may be in: what they have of it is no
 * sign of a writer, and the gate waits for them.
 *
 * @throws MirrorlatchError BUSY
 */
export function refuseWhileWrittenInPlace(tree: string, hint: string): void {
  refuse(startedFor(tree), tree, hint);
}

function refuse(writers: readonly number[], path: string, hint: string): void {
  if (writers.length === 0) return;
  throw new MirrorlatchError(
    'BUSY',
    `other processes could still write to ${path}: ${describeProcesses(named(writers))}`,
    { hint },
  );
}

/** What has to have ended before the tree of a command may be published. */
export interface Watched {
  tree: string;
  /** The lock file whose lock the command inherited. */
  kernelLock: string;
  /** What was in the tree before the command, as `usersOf` found it. */
  before: ReadonlySet<string>;
}

/**
 * Waits a little until no process could write to the tree of a command that has ended, and refuses a
 * tree that would change all the same: something is mounted in it, or it can be written to from another
 * place.
 *
 * @param command its name, for people.
 * @param publish the command that publishes the tree later.
 * @throws MirrorlatchError UNAVAILABLE when something still could write to it; CONFIGURATION when
 *   something is mounted in it; IO when it is no directory any more.
 */
export async function waitForWriters(
  watched: Watched,
  command: string,
  publish: string,
  signal: AbortSignal,
): Promise<void> {
  refuseOtherThanTree(watched.tree);
  try {
    await untilUnwritten(watched, command, publish, signal);
  } finally {
    // What the command started may have removed it meanwhile, which is then the cause of any error.
    refuseOtherThanTree(watched.tree);
  }
}

async function untilUnwritten(
  watched: Watched,
  command: string,
  publish: string,
  signal: AbortSignal,
): Promise<void> {
  const { tree, before } = watched;
  const deadline = performance.now() + LINGER_MS;
  let left = await writersOf(watched);
  while (left.length > 0 && performance.now() < deadline) {
    await pause(POLL_MS, signal);
    left = await writersOf(watched);
  }
  signal.throwIfAborted();
  const then = `Then publish what is there with: ${publish}`;
  refuseMountsWithin(tree, 'published', then);
  // Before the processes: those of another namespace may have got such a mount from here.
  refuseAttachments(
    attachmentsOf(tree).filter(({ name }) => !before.has(name)),
    tree,
    then,
  );
  if (left.length === 0) return;
  const processes = named(left);
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `${command} has ended, but other processes could still write to the tree: ${describeProcesses(processes)}${NOTHING_PUBLISHED}`,
    {
      hint: `Let the command wait for what it starts. Once that has ended, publish what is there with: ${publish}`,
      details: { processes },
    },
  );
}

/** @throws MirrorlatchError when what the command has left in the place of its tree is no directory. */
function refuseOtherThanTree(path: string): void {
  const found = lstatIfThere(path);
  if (found?.isDirectory()) return;
  const did = found === undefined ? 'removed' : 'put something else in the place of';
  throw new MirrorlatchError('IO', `the command ${did} its directory, ${path}`, {
    hint: 'It has to fill the directory that MIRRORLATCH_STAGING names, and to leave it in its place. It may remove all that is in it.',
  });
}

function refuseAttachments(attachments: readonly Attachment[], tree: string, then: string): void {
  if (attachments.length === 0) return;
  const { name, detach } = describeAttachments(attachments);
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `${tree} could still be written to through ${name}${NOTHING_PUBLISHED}`,
    { hint: `Detach it with: ${detach}. ${then}` },
  );
}

/**
 * What is in a tree: processes, each by its pid and its start, because a later process may have the same
 * pid, and what leads to it from another place. A process that writes to a file of the tree by another
 * name is no reader that nobody waited for, and not among them.
 */
export function usersOf(tree: string): Set<string> {
  return new Set([
    ...pathsInUse(tree).map(({ pid }) => identityOf(pid)),
    ...attachmentsOf(tree).map(({ name }) => name),
  ]);
}

async function writersOf({ tree, kernelLock, before }: Watched): Promise<number[]> {
  const strangers = (await writingIn(tree)).filter((pid) => !before.has(identityOf(pid)));
  return [...startedFor(tree), ...strangers, ...processesHoldingFlock(kernelLock)];
}

/**
 * What commands with this tree started and that may come back to it: it has the tree in its
 * environment, and something in it open or the session of the command. A process that has moved into
 * a session of its own and has nothing of the tree open is a daemon, such as gpg-agent.
 */
function startedFor(tree: string, path = tree): number[] {
  const started = processesWithVariables({ [STAGING]: tree });
  const inside = new Set(started.length === 0 ? [] : pathsInUse(path).map(({ pid }) => pid));
  return started.filter((pid) => {
    const session = sessionOf(pid);
    if (session === undefined) return false;
    return inside.has(pid) || processesWithVariables({ [SESSION]: session }).includes(pid);
  });
}

/**
 * The processes that stand in the tree or have something in it open for writing or mapped, if only by a
 * name that it has elsewhere: what runs a program of the tree was left by its command, and could do anything.
 */
async function writingIn(tree: string): Promise<number[]> {
  const writing = pathsInUse(tree).filter((one) => one.use === 'maps' || mayWriteBy(one));
  return [...writing, ...(await writersByOtherNames(tree))].map(({ pid }) => pid);
}

function named(pids: readonly number[]): NamedProcess[] {
  return [...new Set(pids)].map((pid) => ({ pid, name: processName(pid) ?? '?' }));
}

function identityOf(pid: number): string {
  return `${pid} ${processStartTicks(pid)}`;
}
