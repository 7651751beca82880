let given: number | undefined;

/**
 * Lets this process keep the files that it makes open to their owner. A umask may close them, and with them the mirror,
 * files of rsync and cp included.
 */
export function keepOwnFilesOpen(): void {
  given = process.umask(0o077);
  process.umask(given & 0o077);
}

/** Starts a command of the caller, with the umask that the caller has given to this process. */
export function withCallersUmask<Started>(start: () => Started): Started {
  if (given === undefined) return start();
  const ours = process.umask(given);
  try {
    return start();
  } finally {
    process.umask(ours);
  }
}
