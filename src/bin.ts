/** The whole program, bundled into one file (dist/bin/main.bundle.cjs), see `start-bundle.ts`. */
import { commands } from './cli/commands.ts';
import { start } from './cli/start.ts';

void start(commands);
