import { defineConfig } from 'vitest/config';

/** One project a kind of test, each with the time limit that its kind needs (ms). */
const kind = (name: string, testTimeout: number, more = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: testTimeout,
    // How long something takes is never what a test asserts.
    expect: { poll: { timeout: 0.8 * testTimeout } },
    ...more,
  },
});

export default defineConfig({
  test: {
    globalSetup: [
      'test/support/build.ts',
      'test/support/state-directory.ts',
      'test/support/certificates.ts',
    ],
    // Most tests wait for processes, and those for a disk, a clock or each other for a third of the time: with one worker
    // a core, as much of two cores would be idle, and with four still a twentieth.
    maxWorkers: 5,
    projects: [
      // Nothing of a pure function outlives its file.
      kind('unit', 10_000, { isolate: false }),
      kind('integration', 60_000),
      kind('e2e', 180_000),
      // What stress tests load the machine with is part of them, but they wait, too: a kill for its command, a host for the
      // other's heartbeat. vitest wants a place in the order where the number differs.
      kind('stress', 600_000, { maxWorkers: 3, sequence: { groupOrder: 1 } }),
    ],
  },
});
