import { Command } from 'commander';
import { expect, test } from 'vitest';
import { commands } from '../../../src/cli/commands.ts';
import type { CommandContext } from '../../../src/cli/context.ts';
import { KEYS } from '../../../src/config/schema.ts';

/** What is said once, and not of a mirror for good. */
const ONCE = new Set([
  'adopt',
  'all',
  'allow-dirty',
  'allow-shrink',
  'at',
  'clear-options',
  'dry-run',
  'empty',
  'hard-links-are-safe',
  'id',
  'jobs',
  'json',
  'lock-only',
  'other-source',
  'publish-anyway',
  'quiet',
  'remote-program',
  'resume',
  'tag',
  'unadopt',
]);

/** An option whose key has another name. */
const KEY_OF: Readonly<Record<string, string>> = { channel: 'channels' };

test.for(['init', 'sync', 'lock', 'prune'])(
  'what an option of %s says for good, the configuration can say',
  async (verb) => {
    const program = new Command();
    (await commands[verb]?.())?.(program, {} as CommandContext);
    const [command] = program.commands;
    const names = (command?.options ?? []).map(({ long }) => (long ?? '').slice('--'.length));
    expect(names.length).toBeGreaterThan(3);
    const keys = names
      .filter((name) => !name.startsWith('no-') && !ONCE.has(name))
      .map((name) => KEY_OF[name] ?? name);
    expect(keys.filter((key) => !KEYS.some((known) => known === key))).toEqual([]);
  },
);
