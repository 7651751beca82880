import { afterEach, expect } from 'vitest';
import { transcript } from '../program.ts';
import { type ServeProcess, startServe } from './serve.ts';

/** Starts servers that end with their test, each with exit code 0. To be called once in a file. */
export function serversOfTests(): (...words: string[]) => Promise<ServeProcess> {
  const servers: ServeProcess[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) {
      const result = await server.stop();
      expect(result.exitCode, transcript(result)).toBe(0);
    }
  });
  return async (...words) => {
    const server = await startServe(words);
    servers.push(server);
    return server;
  };
}
