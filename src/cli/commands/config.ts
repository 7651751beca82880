import type { Command } from 'commander';
import type { Configuration, ConfigurationProblem } from '../../config/configuration.ts';
import { notOnThisHost } from '../../config/outside.ts';
import { EXIT_CODES, MirrorlatchError } from '../../errors.ts';
import { layoutOf } from '../../mirror/layout.ts';
import { readRecorded } from '../../mirror/settings/settings.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printCode, printJson, printLine, printNote } from '../output.ts';
import { printTable, printWithPlaces } from '../table.ts';

export function addConfig(program: Command, context: CommandContext): void {
  const config = program
    .command('config')
    .summary('check or show the configuration of all mirrors')
    .description(
      'Checks or shows the configuration of all mirrors, see mirrorlatch help configuration.',
    );
  config
    .command('check')
    .description('Reads all files of the configuration, and names each mistake with its line.')
    .option('--json', 'print one object')
    .addHelpText('after', helpAfter(['mirrorlatch config check'], ['USAGE', 'CONFIGURATION']))
    .action(async ({ json }: { json?: boolean }) => {
      const { configuration, problems: unread } = (await context.configuration()).check();
      const problems = [...unread, ...(await notOnThisHost(configuration))];
      if (json) printJson(checkedAsJson(configuration, problems));
      else report(configuration, problems);
      if (problems.length > 0) context.setExitCode(EXIT_CODES.CONFIGURATION);
    });
  config
    .command('init')
    .description(
      'Proposes a configuration of what is there: mirrors, what a crontab fills by rsync, and what apt of this host reads. At a terminal it asks, and writes; otherwise it prints.',
    )
    .argument('[DIR...]', 'where mirrors may be (default: /srv, /var/www and other usual places)')
    .option('--output <file>', 'write it to this file, which must be new')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch config init', 'mirrorlatch config init /srv/mirror --output mirrors.toml'],
        ['USAGE', 'UNAVAILABLE', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (places: string[], { output }: { output?: string }) => {
      const { proposeConfiguration } = await import('../config-init/propose-configuration.ts');
      await proposeConfiguration(places, output, context);
    });
  config
    .command('show')
    .description(
      'Shows the mirrors of the configuration, or what counts for one of them and where that is said.',
    )
    .addArgument(new MirrorArgument('[MIRROR]'))
    .option('--toml', 'print what mirror.json holds as a table for the configuration')
    .option('--json', 'print one object')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch config show',
          'mirrorlatch config show debian',
          'mirrorlatch config show /srv/mirror/debian --toml >>/etc/mirrorlatch/config.toml',
        ],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(
      async (root: string | undefined, { json, toml }: { json?: boolean; toml?: boolean }) => {
        const configuration = await context.configuration();
        if (root === undefined) {
          showMirrors(configuration.read(), json);
          return;
        }
        const { root: real, mirror: configured } = configuration.named(root);
        const layout = layoutOf(real);
        const settings = readRecorded(layout);
        if (configured === undefined && settings === undefined) throw nothingKnown(root);
        const { keysInForce, tableOf } = await import('../../config/in-force.ts');
        const recorded = settings && { settings, path: layout.settings };
        if (toml) {
          if (recorded === undefined) throw nothingKnown(root);
          const name = configured?.name ?? nameFor(real);
          printCode(tableOf(name, real, recorded.settings, recorded.path).join('\n'));
          return;
        }
        const keys = keysInForce(configured, recorded);
        if (json) printJson({ name: configured?.name ?? null, root: real, keys });
        else
          printWithPlaces(
            ['key', 'value', 'from'],
            keys.map(({ key, value, from }) => [key, value, from ?? 'default']),
          );
      },
    );
}

function checkedAsJson(
  { files, mirrors }: Configuration,
  problems: readonly ConfigurationProblem[],
) {
  return {
    files,
    mirrors: [...mirrors.keys()],
    problems: problems.map(({ place, message, hint }) => ({ ...place, message, hint })),
  };
}

const PROPOSED = 'For one made of what is on this host: mirrorlatch config init';

function report(
  { files, mirrors }: Configuration,
  problems: readonly ConfigurationProblem[],
): void {
  for (const { place, message, hint } of problems) {
    printNote(`${place.file}, line ${place.line}: ${message}`);
    printNote(`  ${hint}`);
  }
  const names = [...mirrors.keys()];
  if (files.length === 0) {
    printLine(
      'there is no configuration; the files would be /etc/mirrorlatch/config.toml and /etc/mirrorlatch/conf.d/*.toml',
    );
    printLine(`  ${PROPOSED}`);
  } else if (problems.length === 0)
    printLine(`${files.join(', ')}: ${names.length === 0 ? 'no mirror yet' : names.join(', ')}`);
}

function showMirrors({ mirrors }: Configuration, json: boolean | undefined): void {
  const all = [...mirrors.values()].map(({ name, root, table }) => ({
    name,
    root,
    source: table.source ?? null,
  }));
  if (json) printJson(all);
  else if (all.length === 0) {
    printLine('the configuration names no mirror');
    printLine(`  ${PROPOSED}`);
  } else
    printTable(
      ['name', 'root', 'source'],
      all.map(({ name, root, source }) => [name, root, source ?? '-']),
    );
}

/** The name that a mirror may have in the configuration, made of that of its directory. */
function nameFor(root: string): string {
  const name =
    root
      .split('/')
      .at(-1)
      ?.replaceAll(/[^A-Za-z0-9._-]/g, '-') ?? '';
  return name.replace(/^[._-]+/, '') || 'mirror';
}

function nothingKnown(root: string): MirrorlatchError {
  return new MirrorlatchError('NO_MIRROR', `there is no mirror in ${root}`, {
    hint: 'See the mirrors that the configuration names with: mirrorlatch config show',
  });
}
