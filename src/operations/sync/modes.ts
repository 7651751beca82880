import type { Layout } from '../../mirror/layout.ts';
import { readSettings, rememberedBy } from '../../mirror/settings/settings.ts';
import { showOptions } from '../../rsync/join-options.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Mend } from '../../writer/modes.ts';
import type { Writer } from '../../writer/writer.ts';

/** The command that adds options of rsync to those that the mirror remembers. */
export function initWith(layout: Layout, options: readonly string[]): string {
  const settings = readSettings(layout);
  const remembered = settings === undefined ? [] : rememberedBy(settings).rsyncOptions;
  return `mirrorlatch init ${quoteForSh(layout.root)} -- ${showOptions([...remembered, ...options])}`;
}

/**
 * By an option that the mirror remembers for rsync.
 *
 * @param others the changes that this sync has proposed before, which go into the same command.
 */
export function mendByRsync({ layout }: Writer, others: readonly Parameters<Mend>[0][] = []): Mend {
  return (change) => {
    const options = [...others, change].map((one) =>
      one === 'a+rx' ? '--chmod=Da+rx' : `--chmod=${one}`,
    );
    return initWith(layout, options);
  };
}
