import { createHash } from 'node:crypto';
import { runForJson } from './program.ts';
import { type SmallMirror, smallMirror } from './small-mirror.ts';

/** A list of sha256sum(1) for files of this content. */
export function listOf(files: Readonly<Record<string, string>>): string {
  const lines = Object.entries(files).map(
    ([name, content]) => `${createHash('sha256').update(content).digest('hex')}  ${name}\n`,
  );
  return lines.join('');
}

/** Two files that begin with this word, and their list. */
export function summedFiles(word: string): Record<string, string> {
  const files = { 'a.iso': `${word} a`, 'b.iso': `${word} b` };
  return {
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`images/${name}`, text])),
    'images/SHA256SUMS': listOf(files),
  };
}

/** Such files of which one has been cut off. */
export const CUT_OFF = { ...summedFiles('second'), 'images/a.iso': 'cut off' };

/** A mirror with the snapshot `right` of such files, which remembers to check them. */
export async function checkedMirror(): Promise<SmallMirror> {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--source', mirror.source, '--check', 'auto']);
  await mirror.publish('right', summedFiles('first'));
  return mirror;
}
