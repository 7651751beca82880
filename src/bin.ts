#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { commands } from './cli/commands.ts';
import { start } from './cli/start.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
await start(version, commands);
