import { readSettings, rememberedBy } from '../../mirror/settings.ts';
import { showOptions } from '../../rsync/join-options.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Mend } from '../../writer/modes.ts';
import type { Writer } from '../../writer/writer.ts';

/** By an option that the mirror remembers for rsync. */
export function mendByRsync({ layout }: Writer): Mend {
  return (change) => {
    const settings = readSettings(layout);
    const remembered = settings === undefined ? [] : rememberedBy(settings).rsyncOptions;
    const option = change === 'a+rx' ? '--chmod=Da+rx' : `--chmod=${change}`;
    return `mirrorlatch init ${quoteForSh(layout.root)} -- ${showOptions([...remembered, option])}`;
  };
}
