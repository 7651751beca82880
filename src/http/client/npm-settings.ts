import { homedir } from 'node:os';
import { join } from 'node:path';
import { settingsIn } from './settings-file.ts';

/** What npm's files say for the user and for the project, which wins (npmrc(5)). */
export function readNpmSettings(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const files = [join(env['HOME'] || homedir(), '.npmrc'), join(process.cwd(), '.npmrc')];
  const lines = files.flatMap((file) => [
    ...settingsIn(file).matchAll(/^\s*([\w-]+)\s*=\s*"?([^\s"]+)/gm),
  ]);
  const inFiles = Object.fromEntries(lines.map(([, name, value]) => [name, value]));
  const { npm_config_proxy: proxy, npm_config_https_proxy: secure } = env;
  return { ...inFiles, ...(proxy ? { proxy } : {}), ...(secure ? { 'https-proxy': secure } : {}) };
}

/** The proxy that npm uses for all registries (npm-registry-fetch). Pure. */
export function npmProxy(settings: Readonly<Record<string, string>>): string | undefined {
  return settings['https-proxy'] ?? settings['proxy'];
}
