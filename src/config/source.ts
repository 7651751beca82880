import { resolve } from 'node:path';
import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import type { ConfigurationSource, Configured } from '../mirror/configured.ts';
import { realPathToBe } from '../system/files.ts';
import {
  type Configuration,
  type ConfigurationProblem,
  type ConfiguredMirror,
  configurationError,
  readConfiguration,
} from './configuration.ts';
import { type ConfigurationFile, configurationFiles } from './files.ts';
import { configuredFlags, configuredSettings } from './settings.ts';

/** What was read, or why it could not be. */
interface Look {
  readonly files: readonly ConfigurationFile[];
  readonly configuration: Configuration;
  readonly problem: MirrorlatchError | undefined;
}

const EMPTY: Look = {
  files: [],
  configuration: { files: [], mirrors: new Map() },
  problem: undefined,
};

/** The configuration as it is on the disk: each question looks again, and reads what has changed. */
export class ConfigurationOnDisk implements ConfigurationSource {
  /** The only file, if one was given; absolute. */
  readonly given: string | undefined;
  readonly #env: NodeJS.ProcessEnv;
  #look: Look = EMPTY;

  /** @param given the only file; by default those of the system and of the user. */
  constructor(given: string | undefined, env: NodeJS.ProcessEnv) {
    this.given = given === undefined ? undefined : resolve(given);
    this.#env = env;
  }

  settingsOf(root: string): Configured {
    const mirror = this.#mirrorAt(root);
    return mirror === undefined ? { settings: {}, where: {} } : configuredSettings(mirror);
  }

  problem(): MirrorlatchError | undefined {
    return this.#now().problem;
  }

  /** What the configuration says, without the parts that are wrong. */
  read(): Configuration {
    return this.#now().configuration;
  }

  /**
   * Reads all files anew, and finds every mistake.
   *
   * @throws MirrorlatchError when a file cannot be read or is no TOML.
   */
  check(): { configuration: Configuration; problems: ConfigurationProblem[] } {
    return readConfiguration(configurationFiles(this.given, this.#env));
  }

  /** @param root absolute and without symlinks. */
  #mirrorAt(root: string): ConfiguredMirror | undefined {
    return [...this.read().mirrors.values()].find(
      (mirror) => mirror.root === root || realPathToBe(mirror.root) === root,
    );
  }

  /** The mirror that a person means by a path, which may lead over symlinks, or to nothing yet. */
  named(path: string): { root: string; mirror: ConfiguredMirror | undefined } {
    const root = realPathToBe(resolve(path));
    return { root, mirror: this.#mirrorAt(root) };
  }

  /** What the configuration says of the options of commands for the mirror at `path`. */
  flagsFor(path: string): Readonly<Record<string, unknown>> {
    const { mirror } = this.named(path);
    return mirror === undefined ? {} : configuredFlags(mirror);
  }

  #now(): Look {
    try {
      const files = configurationFiles(this.given, this.#env);
      if (!isSame(files, this.#look.files)) {
        const { configuration, problems } = readConfiguration(files);
        this.#look = { files, configuration, problem: configurationError(problems) };
      }
    } catch (error) {
      // For whoever only reads, what counted last still counts.
      const { configuration } = this.#look;
      this.#look = { files: [], configuration, problem: asMirrorlatchError(error) };
    }
    return this.#look;
  }
}

function isSame(some: readonly ConfigurationFile[], others: readonly ConfigurationFile[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ file, text }, at) => file === others[at]?.file && text === others[at].text)
  );
}
