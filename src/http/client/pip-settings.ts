import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseIni, settingsIn } from './settings-file.ts';

/** What pip's files say, the later ones of which win (pip config, "Location"). */
export function readPipSettings(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const home = env['HOME'] || homedir();
  const files = [
    '/etc/pip.conf',
    ...(env['XDG_CONFIG_DIRS'] || '/etc/xdg')
      .split(':')
      .map((directory) => `${directory}/pip/pip.conf`),
    join(home, '.pip/pip.conf'),
    join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'pip/pip.conf'),
    ...(env['VIRTUAL_ENV'] ? [join(env['VIRTUAL_ENV'], 'pip.conf')] : []),
    ...(env['PIP_CONFIG_FILE'] ? [env['PIP_CONFIG_FILE']] : []),
  ];
  const sections = files.flatMap((file) => parseIni(settingsIn(file)));
  const { PIP_PROXY } = env;
  return Object.assign(
    {},
    ...sections.map(({ values }) => values),
    PIP_PROXY ? { proxy: PIP_PROXY } : {},
  );
}

/** The variables that say of pip's places what its files say. Pure. */
export function pipVariables(settings: Readonly<Record<string, string>>): Record<string, string> {
  const names = ['index-url', 'extra-index-url', 'find-links'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const variable = `PIP_${name.toUpperCase().replaceAll('-', '_')}`;
      return settings[name] ? [[variable, settings[name]]] : [];
    }),
  );
}
