/** What every command gets from the program around it. */
export interface CommandContext {
  /** What followed `--` on the command line. */
  operands: readonly string[];
  /**
   * Aborts when a signal asks the command to end; from the first call on, signals are caught.
   *
   * @param arePassedOn whether they are somebody else's now: then a second one is no last word.
   */
  signal: (arePassedOn?: () => boolean) => AbortSignal;
  /** For a command that ends well and all the same has something to tell by its exit code. */
  setExitCode: (code: number) => void;
  /** For a command that ends as another did that it ran. */
  endBySignal: (signal: NodeJS.Signals) => void;
}
