import type { MirrorlatchError } from '../../errors.ts';
import type { Given, HookPolicy } from './policy.ts';
import type { Settings } from './records.ts';

/** The settings that a configuration can make, in place of `mirror.json`. */
export type SettingsOfFile = Partial<
  Omit<Settings, 'format' | 'mode' | 'firstSync' | 'hold' | 'channelHolds' | 'adopted' | 'serveAt'>
>;

/** What a configuration says of one mirror. */
export interface Configured {
  readonly settings: SettingsOfFile;
  /** What people call it; undefined if the configuration does not name it. */
  readonly name?: string;
  readonly hooks: Given<HookPolicy>;
  /** Where each of these settings, and the hook of each phase, is: `keep-last (/etc/mirrorlatch/config.toml, line 7)`. */
  readonly where: Readonly<Record<string, string>>;
}

/** Of a mirror that the configuration does not name. */
export const NOTHING_CONFIGURED: Configured = { settings: {}, hooks: {}, where: {} };

/** A configuration, as it is at this moment. */
export interface ConfigurationSource {
  /** @param root absolute and without symlinks. */
  settingsOf(root: string): Configured;
  /** Why a part of it is missing, if one is. Readers go on without it, writers do not begin. */
  problem(): MirrorlatchError | undefined;
}

const NONE: ConfigurationSource = {
  settingsOf: () => NOTHING_CONFIGURED,
  problem: () => undefined,
};

let source = NONE;

/**
 * From now on, what a configuration says counts for all mirrors, see `readSettings`. Only the command line
 * has one; a program gives its options with each call.
 */
export function goBy(configuration: ConfigurationSource): void {
  source = configuration;
}

/** What the configuration says of the mirror in `root`, which is absolute and without symlinks. */
export function configuredFor(root: string): Configured {
  return source.settingsOf(root);
}

/** @throws MirrorlatchError CONFIGURATION when a part of the configuration cannot be used. */
export function assertConfigured(): void {
  const problem = source.problem();
  if (problem !== undefined) throw problem;
}

/** Why a part of the configuration cannot be used, if one cannot. */
export function problemOfConfiguration(): MirrorlatchError | undefined {
  return source.problem();
}
