/** The whole program, bundled into one file (dist/bin/main.cjs), which the launcher runs. */
import { commands } from './cli/commands.ts';
import { start } from './cli/start.ts';

void start(commands);
