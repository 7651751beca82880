/**
 * `mirrorlatch run --http` alone, and the heir of its proxy, bundled into a file of their own (dist/bin/run-by-url.bundle.cjs), for
 * the same reason as `run` without it, see `run-alone.ts`.
 */
import { addKeepProxy } from './commands/keep-proxy.ts';
import { addRun } from './commands/run.ts';
import { start } from './start.ts';

const loadRunByUrl = async () => (await import('./commands/run-by-url.ts')).runCommandByUrl;

void start({
  run: async () => (program, context) => addRun(program, context, loadRunByUrl),
  'keep-proxy': async () => addKeepProxy,
});
