import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { relative } from 'node:path/posix';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { project } from '../support/project.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';

/** An import that `npm run check` refuses, and the reason that it gives. */
const REFUSED: readonly [file: string, imported: string, because: string][] = [
  ['bin.ts', 'operations/sync.ts', 'only starts the command line'],
  ['bin.ts', 'errors.ts', 'only starts the command line'],
  ['bin.ts', 'commander', 'only starts the command line'],
  ['index.ts', 'cli/program.ts', 'only exports verbs'],
  ['index.ts', 'system/files.ts', 'only exports verbs'],
  ['index.ts', 'node:fs', 'only exports verbs'],
  ['index.ts', 'mirror/recovery.ts', 'Only writer/'],
  ['cli/program.ts', 'system/files.ts', 'cli/ calls the verbs'],
  ['cli/start.ts', 'system/files.ts', 'start.ts only starts'],
  ['cli/program.ts', 'picocolors', 'cli/ calls the verbs'],
  ['cli/program.ts', 'cli-table3', 'cli/ calls the verbs'],
  ['cli/program.ts', 'ms', 'cli/ calls the verbs'],
  ['cli/program.ts', 'pretty-bytes', 'cli/ calls the verbs'],
  ['cli/program.ts', 'mirror/publication.ts', 'Only writer/'],
  ['cli/output.ts', 'cli-table3', 'cli/ calls the verbs'],
  ['cli/output.ts', 'system/files.ts', 'cli/ calls the verbs'],
  ['cli/table.ts', 'picocolors', 'cli/ calls the verbs'],
  ['cli/table.ts', 'system/files.ts', 'cli/ calls the verbs'],
  ['cli/terminal.ts', 'picocolors', 'cli/ calls the verbs'],
  ['cli/terminal.ts', 'system/files.ts', 'cli/ calls the verbs'],
  ['cli/units.ts', 'picocolors', 'cli/ calls the verbs'],
  ['cli/units.ts', 'system/files.ts', 'cli/ calls the verbs'],
  ['cli/commands/sync.ts', 'system/files.ts', 'A command calls the verbs'],
  ['cli/commands/sync.ts', 'picocolors', 'A command calls the verbs'],
  ['cli/commands/sync.ts', 'mirror/locks/acquire-lock.ts', 'Only writer/'],
  ['cli/options/lock.ts', 'cli/commands/sync.ts', 'An option knows no command'],
  ['cli/options/lock.ts', 'ms', 'An option knows no command'],
  ['push/push.ts', 'cli/start.ts', 'push/ is a sync on two hosts'],
  ['push/push.ts', 'writer/session.ts', 'push/ is a sync on two hosts'],
  ['push/push.ts', 'reader/script.ts', 'push/ is a sync on two hosts'],
  ['push/push.ts', 'zod/mini', 'push/ is a sync on two hosts'],
  ['push/push.ts', 'mirror/trash.ts', 'Only writer/'],
  ['push/messages.ts', 'node:fs', 'messages.ts is a schema'],
  ['push/messages.ts', 'system/files.ts', 'messages.ts is a schema'],
  ['push/messages.ts', 'push/push.ts', 'messages.ts is a schema'],
  ['operations/rollback.ts', 'cli/start.ts', 'A verb stands on writer/'],
  ['operations/rollback.ts', 'push/push.ts', 'A verb stands on writer/'],
  ['operations/rollback.ts', 'reader/script.ts', 'A verb stands on writer/'],
  ['operations/rollback.ts', 'execa', 'A verb stands on writer/'],
  ['operations/rollback.ts', 'mirror/locks/sync-lock.ts', 'Only writer/'],
  ['operations/sync/sync.ts', 'reader/script.ts', 'A verb stands on writer/'],
  ['operations/sync/sync.ts', 'index.ts', 'A verb stands on writer/'],
  ['operations/sync/sync.ts', 'mirror/recovery.ts', 'Only writer/'],
  ['writer/session.ts', 'operations/sync/sync.ts', 'writer/ knows no verb'],
  ['writer/session.ts', 'operations/rollback.ts', 'writer/ knows no verb'],
  ['push/push.ts', 'reader/guard.ts', 'push/ is a sync on two hosts'],
  ['writer/session.ts', 'reader/guard.ts', 'writer/ knows no verb'],
  ['writer/session.ts', 'proper-lockfile', 'writer/ knows no verb'],
  ['reader/wait.ts', 'writer/events.ts', 'never reaches the writer'],
  ['reader/wait.ts', 'operations/rollback.ts', 'never reaches the writer'],
  ['reader/wait.ts', 'rsync/run.ts', 'never reaches the writer'],
  ['reader/wait.ts', 'chokidar', 'never reaches the writer'],
  ['reader/wait.ts', 'mirror/publication.ts', 'Only writer/'],
  ['mirror/layout.ts', 'reader/script.ts', 'mirror/ knows what lies on disk'],
  ['mirror/layout.ts', 'writer/session.ts', 'mirror/ knows what lies on disk'],
  ['mirror/layout.ts', 'zod/mini', 'mirror/ knows what lies on disk'],
  ['mirror/settings/records.ts', 'node:fs', 'records.ts is a schema'],
  ['mirror/settings/records.ts', 'mirror/layout.ts', 'records.ts is a schema'],
  ['mirror/settings/records.ts', 'system/files.ts', 'records.ts is a schema'],
  ['rsync/run.ts', 'mirror/layout.ts', 'rsync/ knows rsync'],
  ['rsync/run.ts', 'execa', 'rsync/ knows rsync'],
  ['system/files.ts', 'rsync/run.ts', 'system/ wraps the outside world'],
  ['system/files.ts', 'cli/start.ts', 'system/ wraps the outside world'],
  ['system/files.ts', 'execa', 'system/ wraps the outside world'],
  ['system/files.ts', 'proper-lockfile', 'system/ wraps the outside world'],
  ['system/process.ts', 'chokidar', 'system/ wraps the outside world'],
  ['system/process.ts', 'rsync/run.ts', 'system/ wraps the outside world'],
  ['system/lock-directory.ts', 'execa', 'system/ wraps the outside world'],
  ['system/lock-directory.ts', 'rsync/run.ts', 'system/ wraps the outside world'],
  ['system/watcher.ts', 'execa', 'system/ wraps the outside world'],
  ['system/watcher.ts', 'rsync/run.ts', 'system/ wraps the outside world'],
  ['errors.ts', 'node:fs', 'errors.ts stands on nothing'],
  ['errors.ts', 'system/files.ts', 'errors.ts stands on nothing'],
];

/** An import that the same files are allowed. */
const ALLOWED: readonly [file: string, imported: string][] = [
  ['cli/start.ts', 'node:fs'],
  ['bin.ts', 'cli/start.ts'],
  ['index.ts', 'errors.ts'],
  ['index.ts', 'operations/sync/sync.ts'],
  ['index.ts', 'operations/rollback.ts'],
  ['index.ts', 'mirror/layout.ts'],
  ['index.ts', 'system/job.ts'],
  ['cli/program.ts', 'node:fs/promises'],
  ['cli/program.ts', 'commander'],
  ['cli/program.ts', 'cli/commands/sync.ts'],
  ['cli/output.ts', 'picocolors'],
  ['cli/table.ts', 'cli-table3'],
  ['cli/units.ts', 'ms'],
  ['mirror/units.ts', 'pretty-bytes'],
  ['cli/commands/sync.ts', 'cli/units.ts'],
  ['cli/commands/sync.ts', 'cli/options/lock.ts'],
  ['cli/commands/sync.ts', 'operations/sync/sync.ts'],
  ['cli/options/lock.ts', 'cli/units.ts'],
  ['push/push.ts', 'operations/sync/sync.ts'],
  ['push/push.ts', 'push/messages.ts'],
  ['push/push.ts', 'system/quote.ts'],
  ['push/push.ts', 'writer/events.ts'],
  ['push/messages.ts', 'zod/mini'],
  ['push/messages.ts', 'errors.ts'],
  ['operations/rollback.ts', 'writer/session.ts'],
  ['operations/rollback.ts', 'operations/sync/sync.ts'],
  ['operations/sync/sync.ts', 'operations/rollback.ts'],
  ['operations/sync/sync.ts', 'writer/session.ts'],
  ['operations/sync/sync.ts', 'errors.ts'],
  ['writer/session.ts', 'mirror/locks/acquire-lock.ts'],
  ['writer/session.ts', 'mirror/trash.ts'],
  ['writer/session.ts', 'reader/script.ts'],
  ['reader/wait.ts', 'mirror/layout.ts'],
  ['mirror/layout.ts', 'mirror/publication.ts'],
  ['mirror/layout.ts', 'rsync/run.ts'],
  ['mirror/settings/records.ts', 'mirror/settings/policy.ts'],
  ['mirror/settings/records.ts', 'zod/mini'],
  ['rsync/run.ts', 'system/process.ts'],
  ['system/process.ts', 'execa'],
  ['system/process.ts', 'errors.ts'],
  ['system/lock-directory.ts', 'proper-lockfile'],
  ['system/watcher.ts', 'chokidar'],
];

/** Files of each floor of the house, from top to bottom. */
const FLOORS: readonly (readonly string[])[] = [
  ['bin.ts', 'index.ts'],
  ['cli/program.ts', 'cli/commands/sync.ts', 'cli/options/lock.ts'],
  ['push/push.ts', 'push/messages.ts'],
  ['operations/rollback.ts', 'operations/sync/sync.ts'],
  ['writer/session.ts'],
  ['reader/wait.ts'],
  ['mirror/layout.ts', 'mirror/settings/records.ts'],
  ['rsync/run.ts'],
  ['system/files.ts', 'system/process.ts'],
  ['errors.ts'],
];

/** Every import from a higher floor. */
const UPWARDS = FLOORS.flatMap((files, floor) =>
  files.flatMap((file) =>
    FLOORS.slice(0, floor)
      .flat()
      .map((above): [file: string, imported: string] => [file, above]),
  ),
);

/** The ways in which one module imports another. */
const WAYS: readonly [way: string, line: (name: string) => string][] = [
  ['an import of a value', (name) => `import { it } from '${name}';`],
  ['an import of a type', (name) => `import type { It } from '${name}';`],
  ['an import for its effect', (name) => `import '${name}';`],
  ['an export', (name) => `export { it } from '${name}';`],
  ['a dynamic import', (name) => `await import('${name}');`],
];

const scratch = makeScratch();
afterAll(() => scratch.remove());
/** The reason for each refused line of `src`, by `file:line`. */
const refusals = new Map<string, string>();
/** The lines of each file. */
const sources = new Map<string, string[]>();

/** Adds a line to a file of `src`, and makes the module that it imports. */
function write(file: string, imported: string, line: (name: string) => string): void {
  sources.set(file, [...(sources.get(file) ?? []), line(nameFrom(file, imported))]);
  if (imported.endsWith('.ts') && !sources.has(imported)) sources.set(imported, []);
}

/** The specifier by which `file` imports another file of `src`, or a package. */
function nameFrom(file: string, imported: string): string {
  if (!imported.endsWith('.ts')) return imported;
  const path = relative(dirname(file), imported);
  return path.startsWith('.') ? path : `./${path}`;
}

function refusalOf(file: string, imported: string, line: (name: string) => string) {
  const lines = sources.get(file) ?? [];
  return refusals.get(`${file}:${lines.indexOf(line(nameFrom(file, imported))) + 1}`);
}

const plainly = (name: string): string => `import '${name}';`;

beforeAll(async () => {
  for (const [file, imported] of [...REFUSED, ...ALLOWED, ...UPWARDS]) {
    write(file, imported, plainly);
  }
  for (const [, line] of WAYS) write('rsync/ways.ts', 'mirror/layout.ts', line);
  const { stdout } = await lint(scratch.path, sources);
  for (const { category, message, location } of JSON.parse(stdout).diagnostics) {
    if (category !== 'lint/style/noRestrictedImports') continue;
    refusals.set(`${relative('src', location.path)}:${location.start.line}`, message);
  }
});

/** Runs `npm run lint` over these files as the project's `src`. */
function lint(home: string, files: ReadonlyMap<string, readonly string[]>) {
  for (const name of ['package.json', 'biome.json', '.gitignore', 'scripts/layers.mjs']) {
    cpSync(join(project, name), join(home, name));
  }
  for (const [file, lines] of files) {
    mkdirSync(dirname(join(home, 'src', file)), { recursive: true });
    writeFileSync(join(home, 'src', file), lines.map((line) => `${line}\n`).join(''));
  }
  const reporting = ['--reporter=json', '--max-diagnostics=none'];
  return execa('npm', ['run', '--silent', 'lint', '--', ...reporting], {
    cwd: home,
    env: { PATH: `${join(project, 'node_modules/.bin')}:${process.env['PATH']}` },
    reject: false,
  });
}

describe('the layers of src', () => {
  test.each(REFUSED)('%s may not import %s: %s', (file, imported, because) => {
    expect(refusalOf(file, imported, plainly)).toContain(because);
  });

  test.each(UPWARDS)('%s may not import %s, which lies above it', (file, imported) => {
    expect(refusalOf(file, imported, plainly)).toBeDefined();
  });

  test.each(ALLOWED)('%s may import %s', (file, imported) => {
    expect(refusalOf(file, imported, plainly)).toBeUndefined();
  });

  test.each(WAYS)('%s counts', (_, line) => {
    expect(refusalOf('rsync/ways.ts', 'mirror/layout.ts', line)).toContain('rsync/ knows rsync');
  });

  test('a folder without a layer is an error', async () => {
    const { stderr, exitCode } = await lint(scratchDirectory(), new Map([['attic/box.ts', []]]));
    expect(stderr).toContain('src/attic/box.ts is in no room of scripts/layers.mjs');
    expect(exitCode).not.toBe(0);
  });
});
