import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { bytePath } from '../../mirror/byte-path.ts';
import { ifThere } from '../../system/files.ts';
import { isWithin } from '../files/place-in-tree.ts';
import { isDateOf, isDateSure, validatorsOf } from '../files/validators.ts';
import { fromLatin1 } from '../latin1.ts';
import { percentDecoded } from '../percent.ts';
import { documentKind } from '../pins/entry-documents.ts';
import { isFrozen, type ServedMirror } from '../pins/served-mirror.ts';
import { type Client, KeptDecisions } from './kept-decisions.ts';

/** A line of Apache: words, percent-encoded, see `apacheConfig`. */
interface Question {
  /** Undefined for a path of one given snapshot, about which nothing is to be decided. */
  readonly client: Client | undefined;
  /** ROOT/current, ROOT/CHANNEL, or that snapshot. */
  readonly directory: string;
  /** Below the directory, one character per byte (latin1). */
  readonly path: string;
  /** The dates by which the client recognizes what it has. */
  readonly dates: readonly string[];
  /** Whether it recognizes that by ETags, or wants nothing else: Apache is no judge of that. */
  readonly isForServer: boolean;
}

/**
 * The program of Apache's `RewriteMap prg:` (mod_rewrite): reads a question a line, and answers with one
 * line each, until Apache closes its standard input.
 *
 * - `SNAPSHOT same|changed TAG /REAL/PATH`: Apache sends this file, of which TAG is the ETag without its quotes, or this
 *   directory, with `-`. `changed` if the client names a date that does not tell that it has this very file: see
 *   `isDateSure`. What a client may have by its ETag, mirrorlatch knows, for Apache compares before it has ours.
 * - `ask`, or `ask SNAPSHOT` if one is decided for the client: the answer is mirrorlatch's.
 * - `none`: there is no such file, and mirrorlatch is down.
 * - `later`: it is down, and the tree cannot be entered: the mirror is behind its gate, or the snapshot of the run is gone.
 *   Or it does not answer in time: what is current may not be what the client's run reads.
 *
 * @param listen where `serve` listens: `unix:PATH` or `ADDRESS:PORT`.
 * @param quietMs how long a client is quiet between two of its runs.
 * @param mirrorOf finds a mirror by its name, if it can be read.
 */
export async function answerApache(
  listen: string,
  quietMs: number,
  mirrorOf: (name: string) => ServedMirror | undefined,
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
): Promise<void> {
  const decisions = new KeptDecisions(listen, quietMs);
  input.setEncoding('latin1');
  for await (const line of createInterface({ input })) {
    output.write(`${await answer(decisions, mirrorOf, line)}\n`, 'latin1');
  }
}

async function answer(
  decisions: KeptDecisions,
  mirrorOf: (name: string) => ServedMirror | undefined,
  line: string,
): Promise<string> {
  const question = parse(line);
  if (question === undefined) return 'ask';
  const { client, directory } = question;
  if (client === undefined) {
    const file = found(question, directory, basename(directory), 'snapshots');
    return file === undefined || file === 'not ours' ? 'ask' : file;
  }
  const decision = await decisions.about(client);
  if (decision === 'closed') return 'ask';
  if (decision === 'late') return 'later';
  const [name = ''] = client.name.split('/');
  const mirror = mirrorOf(name);
  const isDown = decision === 'down';
  const isAsked = question.isForServer || (question.dates.length > 0 && mirror?.kind === 'foreign');
  if (isAsked && !isDown && (await decisions.silence(client)) === undefined) {
    return `ask ${decision.snapshot}`;
  }
  const { tree, snapshot } = isDown ? { tree: directory, snapshot: 'unpinned' } : decision;
  const file =
    found(question, tree, snapshot, mirror?.kind) ?? foundInAnother(question, tree, mirror);
  if (file !== undefined && file !== 'not ours') return file;
  const silence = isDown ? 'down' : await decisions.silence(client);
  if (silence === undefined) return `ask ${snapshot}`;
  return silence === 'down' && existsSync(`${tree}/.`) ? 'none' : 'later';
}

/** @returns undefined for a line that Apache's configuration does not make. */
function parse(line: string): Question | undefined {
  const words = line.split(' ').map(percentDecoded);
  const [name = '', directory = '', address = '', agent = '', known = '', base = '', path] = words;
  if (words.length !== 7 || path === undefined || path.includes('\0')) return undefined;
  return {
    client: name === '-' ? undefined : { name, address, agent, url: base + path },
    directory: fromLatin1(directory),
    path,
    ...whatIsKnown(known),
  };
}

/**
 * @param word `IF-MODIFIED-SINCE;IF-RANGE;IF-NONE-MATCH;IF-MATCH;IF-UNMODIFIED-SINCE`, each of which may be empty. A date
 *   has no semicolon.
 */
function whatIsKnown(word: string): Pick<Question, 'dates' | 'isForServer'> {
  const [since = '', range = '', ...others] = word.split(';');
  const [, , unmodifiedSince = ''] = others;
  const isDate = !range.includes('"');
  return {
    dates: [since, isDate ? range : '', unmodifiedSince].filter((date) => date !== ''),
    isForServer: !isDate || others.some((other) => other !== ''),
  };
}

/**
 * The answer for a file or directory of a tree, by a path without symlinks; undefined if the tree has no such thing.
 *
 * @returns `not ours` if a symlink leads out of the tree, and for a name that does not fit in a line.
 */
function found(
  { path, dates }: Question,
  tree: string,
  snapshot: string,
  kind: ServedMirror['kind'] | undefined,
): string | undefined {
  try {
    const top = realpathSync.native(tree);
    const real = realpathSync.native(bytePath(top, path), 'buffer');
    const status = statSync(real, { bigint: true });
    if (!status.isFile() && !status.isDirectory()) return undefined;
    if (real.includes('\n') || !isWithin(top, real)) return 'not ours';
    const own = {
      ...validatorsOf(status, kind !== undefined && isFrozen({ kind })),
      // The trees of another program need not lie beside each other.
      isDateSure: () =>
        kind !== 'foreign' && isDateSure(status, Buffer.from(path, 'latin1'), treesBeside(top)),
    };
    const isSame = dates.every((date) => isDateOf(date, own));
    const tag = status.isFile() ? own.etag.slice(1, -1) : '-';
    return [snapshot, isSame ? 'same' : 'changed', tag, real.toString('latin1')].join(' ');
  } catch {
    // Whatever the reason, mirrorlatch finds it again, and has the words for it.
    return undefined;
  }
}

/**
 * What the snapshot of a run lacks, as mirrorlatch would find it. Apache opens it at once, so no lease is needed: what
 * is removed in between would be gone for a client that came a moment later, too.
 */
function foundInAnother(
  question: Question,
  tree: string,
  mirror: ServedMirror | undefined,
): string | undefined {
  if (mirror?.kind !== 'snapshots' || documentKind(question.path) !== 'content') return undefined;
  const home = ifThere(() => dirname(realpathSync(tree)));
  if (home === undefined) return undefined;
  for (const id of retainedIn(mirror)) {
    const file = found(question, join(home, id), id, mirror.kind);
    if (file !== undefined) return file;
  }
  return undefined;
}

/** The newest first. None of what has become a mirror of another kind, which mirrorlatch says. */
function retainedIn(mirror: ServedMirror): readonly string[] {
  try {
    return mirror.retained();
  } catch {
    return [];
  }
}

/** Where the other snapshots of a mirror lie. */
function treesBeside(tree: string): string[] {
  const home = dirname(tree);
  const names = readdirSync(home, { withFileTypes: true });
  return names.flatMap((entry) =>
    entry.isDirectory() && entry.name !== basename(tree) ? [join(home, entry.name)] : [],
  );
}
