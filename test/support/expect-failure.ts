import { expect } from 'vitest';
import { type ProgramResult, transcript } from './program.ts';

/** Expects an error that mirrorlatch handles: its exit code, and messages on standard error. */
export function expectFailure(result: ProgramResult, exitCode: number, ...said: RegExp[]): void {
  expect(result.exitCode, transcript(result)).toBe(exitCode);
  expect(result.stderr).toMatch(/^mirrorlatch: /m);
  expect(result.stderr, 'a stack trace is for programmers').not.toMatch(/^ +at .*:\d+:\d+/m);
  for (const words of said) expect(result.stderr).toMatch(words);
}
