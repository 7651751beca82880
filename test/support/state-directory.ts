import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Gives the servers of all tests a place for what outlives them, so that none is left in /run. */
export default function makeStateDirectory(): () => void {
  const path = mkdtempSync(join(tmpdir(), 'mirrorlatch-state-'));
  chmodSync(path, 0o1777);
  process.env['STATE_DIRECTORY'] = path;
  return () => rmSync(path, { recursive: true });
}
