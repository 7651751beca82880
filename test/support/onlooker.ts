import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import { nobody } from './privilege.ts';
import { makeScratch } from './scratch.ts';

/** A process of another user that keeps trying to access some paths. */
export interface Onlooker {
  /** Waits until it has tried all paths this many times more. */
  looks(times: number): Promise<void>;
  /**
   * Lets it try once more, ends it, and returns what it has seen: `listed PATH`, `saw PATH` (its
   * attributes) or `read PATH` (its content), each once.
   */
  leave(): Promise<readonly string[]>;
}

/**
 * Tries as `nobody`, until it is told to leave, to list, to stat and to read each path and what a
 * listing of it shows. It is a shell script, because nobody can run a shell wherever Node lies.
 */
export async function startOnlooker(paths: readonly string[]): Promise<Onlooker> {
  const scratch = makeScratch();
  const goal = join(scratch.path, 'leave');
  const ready = execa('sh', ['-c', look, 'sh', goal, ...paths], {
    ...nobody,
    cwd: '/',
    stdin: 'ignore',
    reject: false,
  });
  let printed = '';
  ready.stdout.on('data', (chunk: Buffer | string) => {
    printed += chunk.toString();
  });
  const lines = () => printed.split('\n').slice(0, -1);
  const rounds = () => lines().filter((line) => line === ROUND).length;
  const looks = async (times: number): Promise<void> => {
    // The round that it is in began before.
    const enough = rounds() + 1 + times;
    await eventually(() => expect(rounds()).toBeGreaterThanOrEqual(enough));
  };
  return {
    looks,
    leave: async () => {
      await looks(1);
      writeFileSync(goal, '');
      const { stderr, exitCode } = await ready;
      await scratch.remove();
      if (exitCode !== 0) throw new Error(`the onlooker failed: ${stderr}`);
      return [...new Set(lines().filter((line) => line !== ROUND))];
    },
  };
}

const ROUND = 'all tried';

const look = `
goal=$1
shift
while [ ! -e "$goal" ]; do
  for path in "$@"; do
    find "$path" -mindepth 1 -printf 'listed %p\\n' 2>/dev/null
    stat -c 'saw %n' -- "$path" 2>/dev/null
    [ -f "$path" ] && head -c 1 -- "$path" >/dev/null 2>&1 && echo "read $path"
  done
  echo '${ROUND}'
done
`;
