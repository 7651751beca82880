import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { nobody } from './privilege.ts';
import { makeScratch } from './scratch.ts';

/** What another user has seen. */
interface Sightings {
  /** `listed PATH`, `saw PATH` (its attributes) or `read PATH` (its content), each once. */
  readonly seen: readonly string[];
  /** How often it tried all paths. */
  readonly rounds: number;
}

/** A process of another user that keeps trying to access some paths. */
export interface Onlooker {
  /** Ends it and returns what it has seen. */
  leave(): Promise<Sightings>;
}

/**
 * As `nobody`, lists, stats and reads each path and the entries below it, until `leave` is called.
 * It is a shell script, because Node may be installed where nobody cannot run it.
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
  return {
    leave: async () => {
      if (!existsSync(goal)) writeFileSync(goal, '');
      const { stdout, stderr } = await ready;
      await scratch.remove();
      const rounds = /^rounds (\d+)$/m.exec(stdout)?.[1];
      if (rounds === undefined) throw new Error(`the onlooker failed: ${stderr}`);
      const seen = stdout.split('\n').filter((line) => !line.startsWith('rounds '));
      return { seen: [...new Set(seen)], rounds: Number(rounds) };
    },
  };
}

const look = `
goal=$1
shift
rounds=0
while [ ! -e "$goal" ]; do
  for path in "$@"; do
    find "$path" -mindepth 1 -printf 'listed %p\\n' 2>/dev/null
    stat -c 'saw %n' -- "$path" 2>/dev/null
    [ -f "$path" ] && head -c 1 -- "$path" >/dev/null 2>&1 && echo "read $path"
  done
  rounds=$((rounds + 1))
done
echo "rounds $rounds"
`;
