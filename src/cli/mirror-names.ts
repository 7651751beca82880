import { Argument, type Command, Option } from 'commander';
import type { ConfigurationOnDisk } from '../config/source.ts';
import { isMirrorName } from '../config/values.ts';

/** An argument that names a mirror: by its path, or by its name in the configuration. */
export class MirrorArgument extends Argument {
  constructor(name = '<MIRROR>') {
    super(name, 'the path of a mirror, or its name in the configuration');
  }
}

/** A repeatable option that does. */
export class MirrorOption extends Option {
  constructor(flags: string, description: string) {
    super(flags, description);
    this.argParser((word, all: string[] = []) => [...all, word]);
  }
}

/**
 * Puts the path of a mirror in place of each name on a command line. A directory here of that name is written `./NAME`.
 *
 * @param read reads the configuration, which takes time.
 */
export async function replaceNames(
  command: Command,
  read: () => Promise<ConfigurationOnDisk>,
): Promise<void> {
  const named = [...namedByArguments(command), ...namedByOptions(command)];
  if (!named.some(({ words }) => words.some(isMirrorName))) return;
  const { mirrors } = (await read()).read();
  for (const { words, replace } of named)
    replace(words.map((word) => mirrors.get(word)?.root ?? word));
}

/** The one mirror that a command line names by an argument; undefined for none or several. */
export function onlyMirror(command: Command): string | undefined {
  const [only, ...others] = namedByArguments(command).flatMap(({ words }) => words);
  return others.length === 0 ? only : undefined;
}

/** The options of a command, with those of the configuration where the command line does not have them. */
export function withConfigured(
  command: Command,
  configured: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const options = { ...command.opts() };
  for (const option of command.options) {
    const name = option.attributeName();
    const isGiven = command.getOptionValueSource(name) === 'cli';
    if (!isGiven && configured[name] !== undefined) options[name] = configured[name];
  }
  return options;
}

interface Named {
  readonly words: readonly string[];
  replace(words: readonly string[]): void;
}

function namedByArguments(command: Command): Named[] {
  return command.registeredArguments.flatMap((argument, at): Named[] => {
    const given: unknown = command.processedArgs[at];
    if (!(argument instanceof MirrorArgument) || given === undefined) return [];
    const words: string[] = Array.isArray(given) ? given : [String(given)];
    const replace = (roots: readonly string[]) => {
      command.processedArgs[at] = Array.isArray(given) ? roots : roots[0];
    };
    return [{ words, replace }];
  });
}

function namedByOptions(command: Command): Named[] {
  return command.options.flatMap((option): Named[] => {
    const name = option.attributeName();
    const words: unknown = command.getOptionValue(name);
    if (!(option instanceof MirrorOption) || !Array.isArray(words)) return [];
    return [{ words, replace: (roots) => command.setOptionValueWithSource(name, roots, 'cli') }];
  });
}
