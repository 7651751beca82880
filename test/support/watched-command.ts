import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { runForJson } from './program.ts';
import { launcher } from './project.ts';
import { scratchDirectory } from './scratch.ts';

/** A directory for PATH with `mirrorlatch`, a `sudo` that runs its arguments, and two commands. */
export interface Commands {
  readonly bin: string;
  readonly env: { readonly PATH: string; readonly MIRROR: string; readonly XDG_STATE_HOME: string };
  /**
   * Calls `run`, which must start `peruse NUMBER`. That reads the mirror before and after a flip of
   * `current`.
   *
   * @returns what it read both times, and its working directory.
   */
  whileFlipped(number: number, run: () => Promise<unknown>): Promise<string[]>;
}

/** Reads the mirror's current snapshot by absolute path, as package managers do. */
const READ = 'cat "$MIRROR/current/file"; echo';

/**
 * Makes commands that read a mirror, which must have an earlier snapshot to roll back to.
 *
 * @param flipped the mirror's own ROOT, if `root` is another path to it.
 */
export function commandsReading(root: string, flipped = root): Commands {
  const home = scratchDirectory();
  const bin = join(home, 'bin');
  mkdirSync(bin);
  symlinkSync(launcher, join(bin, 'mirrorlatch'));
  const program = (name: string, text: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  program('sudo', 'exec "$@"');
  program('apt-get', `{ ${READ}; } >>'${home}/read'`);
  program(
    'peruse',
    `{
  ${READ}
  touch '${home}/ready'-$1
  while [ ! -e '${home}/go'-$1 ] && [ -d '${home}' ]; do sleep 0.02; done
  ${READ}
  pwd
} >'${home}/seen'-$1`,
  );
  return {
    bin,
    env: {
      PATH: `${bin}:${process.env['PATH']}`,
      MIRROR: root,
      XDG_STATE_HOME: join(home, 'state'),
    },
    whileFlipped: async (number, run) => {
      const file = (name: string) => join(home, `${name}-${number}`);
      for (const name of ['ready', 'go', 'seen']) rmSync(file(name), { force: true });
      const running = run();
      await expect.poll(() => existsSync(file('ready'))).toBe(true);
      await runForJson(['rollback', flipped]);
      writeFileSync(file('go'), '');
      await running;
      return readFileSync(file('seen'), 'utf8').trimEnd().split('\n');
    },
  };
}
