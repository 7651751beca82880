import { defineConfig } from 'vitest/config';

/** One project a kind of test, each with the time limit that its kind needs (ms). */
const kind = (name: string, testTimeout: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: testTimeout,
    // How long something takes is never what a test asserts.
    expect: { poll: { timeout: 0.8 * testTimeout } },
  },
});

export default defineConfig({
  test: {
    globalSetup: ['test/support/build.ts', 'test/support/state-directory.ts'],
    // Most tests wait for processes: with one worker the second core would stand idle.
    maxWorkers: 2,
    projects: [
      kind('unit', 10_000),
      kind('integration', 60_000),
      kind('e2e', 180_000),
      kind('stress', 600_000),
    ],
  },
});
