import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { firstFile } from '../../config/files.ts';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { printCode, printLine } from '../output.ts';
import { choose } from './ask.ts';
import { lookAround, USUAL_PLACES } from './look-around.ts';
import { propose } from './proposal.ts';

/** Prints what may become the configuration, or at a terminal asks for it and writes it. */
export async function proposeConfiguration(
  places: readonly string[],
  output: string | undefined,
  context: CommandContext,
): Promise<void> {
  const configuration = await context.configuration();
  const { mirrors } = configuration.read();
  const found = lookAround(
    places.length > 0 ? places.map((place) => resolve(place)) : USUAL_PLACES,
  );
  const isNew = (root: string) => configuration.named(root).mirror === undefined;
  const proposals = propose(
    found.filter((one) => one.kind !== 'mirror' || isNew(one.root)),
    mirrors.keys(),
  );
  if (proposals.length === 0) {
    throw new MirrorlatchError(
      'UNAVAILABLE',
      'there is no mirror, no crontab with rsync and no archive of apt here',
      {
        hint: 'Name the directory in which the mirrors are, or write the first table by hand: mirrorlatch help configuration',
      },
    );
  }
  const isAsked = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const file = resolve(output ?? firstFile(process.env));
  const taken = isAsked ? await choose(proposals, file, context.signal()) : proposals;
  const text = (taken ?? []).map(({ lines }) => lines.join('\n')).join('\n\n');
  if (!isAsked && output === undefined) {
    printCode(text);
    return;
  }
  if (taken === undefined) {
    printLine('nothing was written');
    return;
  }
  writeNew(file, `${text}\n`);
  printLine(`written: ${file}; see what counts with: mirrorlatch config show`);
}

/** What is there already is the work of a person. */
function writeNew(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { flag: 'wx', mode: 0o644 });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') {
      throw new MirrorlatchError('USAGE', `${file} is there already, and was not changed`, {
        hint: `Add to it what this prints: mirrorlatch config init | cat`,
      });
    }
    throw asMirrorlatchError(error, `the configuration ${file} cannot be written`);
  }
}
