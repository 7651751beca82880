import type { ConfigurationOnDisk } from '../../config/source.ts';
import type { CommandContext } from '../context.ts';
import { type GuardFlags, someCommands } from './guard.ts';

/** Commands that read the same mirrors. */
export interface AliasGroup {
  /** Paths of mirrors. */
  readonly roots: readonly string[];
  readonly commands: readonly string[];
}

/** The commands that the key `aliases` names, each with all mirrors that name it. */
function configuredAliases(configuration: ConfigurationOnDisk): AliasGroup[] {
  const rootsOf = new Map<string, string[]>();
  for (const { root, table } of configuration.read().mirrors.values()) {
    for (const command of new Set(table.aliases))
      rootsOf.set(command, [...(rootsOf.get(command) ?? []), root]);
  }
  const groups = new Map<string, AliasGroup>();
  for (const [command, roots] of rootsOf) {
    const key = roots.join('\n');
    groups.set(key, { roots, commands: [...(groups.get(key)?.commands ?? []), command] });
  }
  return [...groups.values()];
}

/**
 * What is to be guarded: the commands of the command line or, if it names neither these nor a mirror, those
 * of the configuration.
 *
 * @throws MirrorlatchError USAGE where neither names a command.
 */
export async function aliasGroups(
  commands: readonly string[],
  { mirror = [], http = [] }: GuardFlags,
  context: CommandContext,
): Promise<AliasGroup[]> {
  if (commands.length + mirror.length + http.length === 0) {
    const groups = configuredAliases(await context.configuration());
    if (groups.length > 0) return groups;
  }
  return [{ roots: mirror, commands: someCommands(commands) }];
}
