import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { firstFile } from '../../config/files.ts';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../../errors.ts';
import { lstatIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { printCode, printLine } from '../output.ts';
import { choose } from './ask.ts';
import { lookAround, USUAL_PLACES } from './look-around.ts';
import { adoptedRoot, type Found, propose, rsyncOf } from './proposal.ts';

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
  const isNamed = (root: string) => configuration.named(root).mirror !== undefined;
  const sources = [...mirrors.values()].map(({ table }) => table.source);
  const isKnown = (one: Found) => {
    switch (one.kind) {
      case 'mirror':
        return isNamed(one.root);
      case 'rsync':
        return isNamed(adoptedRoot(one.call.destination)) || isNamed(one.call.destination);
      case 'apt':
        return sources.includes(rsyncOf(one.archive.url));
    }
  };
  const proposals = propose(
    found.filter((one) => !isKnown(one)),
    mirrors.keys(),
  );
  if (proposals.length === 0) {
    throw new MirrorlatchError(
      'UNAVAILABLE',
      mirrors.size === 0
        ? 'there is no mirror, no crontab with rsync and no archive of apt here'
        : 'there is nothing here that the configuration does not have already',
      {
        hint: 'Name the directory in which the mirrors are, or write the first table by hand: mirrorlatch help configuration',
      },
    );
  }
  const isAsked = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const file = resolve(output ?? firstFile(process.env));
  if ((isAsked || output !== undefined) && lstatIfThere(file) !== undefined)
    throw alreadyThere(file);
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
    if (errnoOf(error) === 'EEXIST') throw alreadyThere(file);
    throw asMirrorlatchError(error, `the configuration ${file} cannot be written`);
  }
}

function alreadyThere(file: string): MirrorlatchError {
  const other = join(dirname(firstFile(process.env)), 'conf.d/more.toml');
  return new MirrorlatchError('USAGE', `${file} is there already, and was not changed`, {
    hint: `Write a file of its own: mirrorlatch config init --output ${quoteForSh(other)}; or add to it what this prints: mirrorlatch config init | cat`,
  });
}
