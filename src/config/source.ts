import { resolve } from 'node:path';
import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import {
  type ConfigurationSource,
  type Configured,
  NOTHING_CONFIGURED,
} from '../mirror/settings/configured.ts';
import { ifAllowed, realPathToBe } from '../system/files.ts';
import { givenPath } from '../system/given-path.ts';
import type { Configuration, ConfigurationProblem, ConfiguredMirror } from './configuration.ts';
import { type ConfigurationFile, configurationFiles } from './files.ts';
import { configuredFlags, configuredSettings } from './settings.ts';

/** What reads texts. It takes a moment to load, and most hosts have no configuration. */
type Parser = typeof import('./configuration.ts');

/** What was read, or why it could not be. */
interface Look {
  /** Undefined if they could not be read. */
  readonly files: readonly ConfigurationFile[] | undefined;
  readonly configuration: Configuration;
  readonly problem: MirrorlatchError | undefined;
}

const EMPTY: Look = {
  files: [],
  configuration: { files: [], mirrors: new Map() },
  problem: undefined,
};

/**
 * Finds the configuration. Where there is none now, one that is made later is not read by this process.
 *
 * @param given the only file; by default those of the system and of the user.
 */
export async function openConfiguration(
  given: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<ConfigurationOnDisk> {
  const file = given === undefined ? undefined : resolve(given);
  const parser = hasFiles(file, env) ? await import('./configuration.ts') : undefined;
  return new ConfigurationOnDisk(file, env, parser);
}

/** One that cannot be read is there, too. */
function hasFiles(given: string | undefined, env: NodeJS.ProcessEnv): boolean {
  try {
    return configurationFiles(given, env).length > 0;
  } catch {
    return true;
  }
}

/** The configuration as it is on the disk: each question looks again, and reads what has changed. */
export class ConfigurationOnDisk implements ConfigurationSource {
  /** The only file, if one was given; absolute. */
  readonly given: string | undefined;
  readonly #env: NodeJS.ProcessEnv;
  readonly #parser: Parser | undefined;
  #look: Look = EMPTY;

  /** @param parser undefined where there is no configuration. */
  constructor(given: string | undefined, env: NodeJS.ProcessEnv, parser: Parser | undefined) {
    this.given = given;
    this.#env = env;
    this.#parser = parser;
  }

  settingsOf(root: string): Configured {
    const mirror = this.#mirrorAt(root);
    return mirror === undefined ? NOTHING_CONFIGURED : configuredSettings(mirror);
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
    const { configuration } = EMPTY;
    const files = configurationFiles(this.given, this.#env);
    return this.#parser?.readConfiguration(files) ?? { configuration, problems: [] };
  }

  /** @param root absolute and without symlinks. */
  #mirrorAt(root: string): ConfiguredMirror | undefined {
    return [...this.read().mirrors.values()].find(
      (mirror) => mirror.root === root || ifAllowed(() => realPathToBe(mirror.root)) === root,
    );
  }

  /** The mirror that a person means by a path, which may lead over symlinks, or to nothing yet. */
  named(path: string): { root: string; mirror: ConfiguredMirror | undefined } {
    const root = givenPath(path);
    return { root, mirror: this.#mirrorAt(root) };
  }

  /** What the configuration says of the options of commands for the mirror at `path`. */
  flagsFor(path: string): Readonly<Record<string, unknown>> {
    const { mirror } = this.named(path);
    return mirror === undefined ? {} : configuredFlags(mirror);
  }

  #readUsable({ readConfiguration }: Parser): Configuration {
    const leaveOut = () => {};
    const files = configurationFiles(this.given, this.#env, leaveOut);
    return readConfiguration(files, leaveOut).configuration;
  }

  #now(): Look {
    if (this.#parser === undefined) return EMPTY;
    const { files: before, configuration: last } = this.#look;
    try {
      const files = configurationFiles(this.given, this.#env);
      if (before !== undefined && isSame(files, before)) return this.#look;
      const { configuration, problems } = this.#parser.readConfiguration(files);
      const problem = this.#parser.configurationError(problems);
      this.#look = { files, configuration, problem };
    } catch (error) {
      // For whoever only reads, what counted last still counts; at first, whatever can be read.
      const configuration = this.#look === EMPTY ? this.#readUsable(this.#parser) : last;
      const problem = asMirrorlatchError(error);
      this.#look = { files: undefined, configuration, problem };
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
