import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { ifThere, lstatIfThere, writeWhole } from '../system/files.ts';
import { runProgram } from '../system/process.ts';
import { quoteForSh } from '../system/quote.ts';
import type { Unit } from './systemd-units.ts';

/** There while systemd is the init of this host: sd_booted(3). */
const BOOTED = '/run/systemd/system';

/**
 * Writes units, and starts those that are to be.
 *
 * @throws MirrorlatchError PERMISSION or IO when a file cannot be written, UNAVAILABLE when systemd
 *   refuses them.
 */
export async function installUnits(
  units: readonly Unit[],
  directory: string,
): Promise<{ written: string[]; isStarted: boolean }> {
  const written = units.map(({ name, text }) => {
    const path = join(directory, name);
    try {
      if (lstatIfThere(path)?.isDirectory()) throw new Error(`${path} is a directory`);
      writeWhole(path, text);
    } catch (error) {
      throw asMirrorlatchError(error, `the unit ${path} cannot be written`);
    }
    return path;
  });
  const isBooted = ifThere(() => lstatSync(BOOTED)) !== undefined;
  if (!isBooted || units.length === 0) return { written, isStarted: isBooted };
  await systemctl('daemon-reload');
  const enabled = units.filter(({ isEnabled }) => isEnabled).map(({ name }) => name);
  await systemctl('enable', '--now', ...enabled);
  return { written, isStarted: true };
}

async function systemctl(...words: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runProgram('systemctl', words);
  if (exitCode === 0) return;
  const line = ['systemctl', ...words].map(quoteForSh).join(' ');
  throw new MirrorlatchError('UNAVAILABLE', `systemd refuses the units: ${stderr.trim()}`, {
    hint: `They are written. Once that is mended, run: ${line}`,
  });
}
