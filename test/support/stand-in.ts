import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';

/**
 * Makes `directory` with a sh script that stands in for a program and then becomes it.
 *
 * @param script what it does before; `"$@"` are the program's arguments.
 * @returns a PATH on which the stand-in comes first.
 */
export function standInFor(program: string, directory: string, script: string): string {
  const { stdout } = execaSync('which', [program]);
  mkdirSync(directory);
  const lines = ['#!/bin/sh', script, `exec '${stdout}' "$@"`, ''];
  writeFileSync(join(directory, program), lines.join('\n'), { mode: 0o755 });
  return `${directory}:${process.env['PATH']}`;
}
