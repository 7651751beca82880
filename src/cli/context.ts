import type { ConfigurationOnDisk } from '../config/source.ts';

/** What the program provides to each command. */
export interface CommandContext {
  /** The words after `--` on the command line. */
  operands: readonly string[];
  /**
   * Aborts when a signal asks the command to end. From the first call on, signals are caught.
   *
   * @param arePassedOn whether signals are passed on to a child at this moment. Then a repeated
   *   signal does not end this process.
   */
  signal: (arePassedOn?: () => boolean) => AbortSignal;
  /** Sets the exit code of a command that ends without an error. */
  setExitCode: (code: number) => void;
  /** Makes the program end by the signal that ended a command which it ran. */
  endBySignal: (signal: NodeJS.Signals) => void;
  /** The configuration, which is loaded when a command asks for it. */
  configuration: () => Promise<ConfigurationOnDisk>;
}
