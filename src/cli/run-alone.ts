/**
 * `mirrorlatch run` alone, bundled into one small file (dist/bin/run.bundle.cjs). The launcher runs it in
 * place of the whole program, because people wait for it before each guarded command.
 */
import { addRun } from './commands/run.ts';
import { start } from './start.ts';

void start({ run: async () => addRun });
