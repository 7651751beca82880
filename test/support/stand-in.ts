import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import type { SmallMirror } from './small-mirror.ts';

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

/** Limits the script of a stand-in for rsync to its transfers: it leaves plans alone. */
export function atTransfer(script: string): string {
  return `case "$*" in --version | *--dry-run*) ;; *) ${script} ;; esac`;
}

/** What another host does that takes the lock of a mirror over (see `SyncLock`), as a script. */
export function takeOver({ home, state }: SmallMirror): string {
  return `mv '${state('sync.lock')}'/* '${join(home, 'taken')}'`;
}
