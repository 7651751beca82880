import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import type { SmallMirror } from './small-mirror.ts';

/**
 * Makes `directory` with a sh script that stands in for a program and then becomes it.
 *
 * @param script what it does before; `"$@"` are the program's arguments, and `$program` its path.
 * @returns a PATH on which the stand-in comes first.
 */
export function standInFor(program: string, directory: string, script: string): string {
  const { stdout } = execaSync('which', [program]);
  mkdirSync(directory);
  const lines = ['#!/bin/sh', `program='${stdout}'`, script, 'exec "$program" "$@"', ''];
  writeFileSync(join(directory, program), lines.join('\n'), { mode: 0o755 });
  return `${directory}:${process.env['PATH']}`;
}

/** Limits the script of a stand-in for rsync to its transfers: it leaves plans alone. */
export function atTransfer(script: string): string {
  return `case "$*" in --version | *--dry-run*) ;; *) ${script} ;; esac`;
}

/** The same for what happens after each transfer. */
export function afterTransfer(script: string): string {
  return atTransfer(`"$program" "$@"; code=$?; ${script}; exit $code`);
}

/**
 * Limits the script of a stand-in for sync(1) to the flush right before a sync publishes. An earlier
 * one runs beside the last look at the source.
 */
export function atPublication({ home }: SmallMirror, script: string): string {
  return `if [ -e '${home}/flushed' ]; then ${script}; fi; : >'${home}/flushed'`;
}

/** What another host does that takes the lock of a mirror over (see `SyncLock`), as a script. */
export function takeOver({ home, state }: SmallMirror): string {
  return `mv '${state('sync.lock')}'/* '${join(home, 'taken')}'`;
}
