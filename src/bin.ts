#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { runCommandLine } from './cli/program.ts';

// A reader that has seen enough, such as head(1), is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

// Where nobody listens any more (a closed pipe, a lost terminal) the work goes on all the same.
process.stderr.on('error', () => {});

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
process.exitCode = await runCommandLine(process.argv.slice(2), version);
