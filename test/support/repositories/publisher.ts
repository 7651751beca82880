/** Publishes snapshots of a mirror, one after the other, while clients read it. */
export interface Publisher {
  /** The number of publications so far. */
  readonly publications: number;
  /** Resolves when the last publication has ended. */
  stop(): Promise<void>;
}
