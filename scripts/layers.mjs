/**
 * The layers of src/, from top to bottom, and what each may import. `npm run lint` writes them as Biome's
 * noRestrictedImports into node_modules/.cache/biome.json, which extends biome.json.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path/posix';

/** A folder may always import itself, errors.ts and Node's modules; a file only what its line names. */
// biome-ignore format: a picture of the house
const ROOMS = {
  'bin.ts':            ['cli/commands.ts cli/start.ts', 'bin.ts only starts the command line.'],
  'start-bundle.ts':   ['node: system/bundle.ts system/heap.ts', 'start-bundle.ts only starts a bundle.'],
  'index.ts':          ['errors.ts checks/finding.ts operations push reader writer mirror rsync system/job.ts system/paths-in-use.ts', 'index.ts only exports verbs and their types.'],
  'cli':               ['cli/commands config notices scheduling trigger http/client http/front http/server http/pins operations push reader writer mirror rsync system/ignored-signals.ts system/nearest.ts system/quote.ts commander', 'cli/ calls the verbs, which do the work.'],
  'cli/start.ts':      ['node: cli/commands.ts cli/interrupt.ts cli/output.ts cli/program.ts system/ignored-signals.ts system/proc.ts system/umask.ts', 'start.ts only starts a command line.'],
  'cli/commands':      ['cli cli/config-init cli/explanation cli/options checks/exceptions.ts checks/finding.ts config notices scheduling trigger http/client http/front http/server http/status operations push reader writer mirror rsync system/file-access.ts system/nearest.ts system/quote.ts commander', 'A command calls the verbs, which do the work.'],
  'cli/config-init':   ['cli config operations/doctor/cron.ts mirror rsync system/files.ts system/quote.ts', 'What is there becomes a proposal for the configuration.'],
  'cli/explanation':   ['cli cli/options checks/exceptions.ts checks/finding.ts checks/way-out.ts config operations mirror system/quote.ts', 'An explanation puts facts into words.'],
  'cli/options':       ['cli config http/client operations push reader writer mirror rsync system/nearest.ts system/quote.ts commander', 'An option knows no command.'],
  'notices':           ['mirror system', 'What people are told without being asked is read off a mirror.'],
  'trigger':           ['mirror system', 'A wish for a sync is a mark in the mirror; the sync is a program of its own.'],
  'scheduling':        ['system', 'What starts syncs is made of plain values.'],
  'config':            ['operations/sync/context.ts reader/alias-names.ts scheduling/calendar.ts mirror rsync system zod/mini', 'config/ reads what a file says, and does nothing.'],
  'http/server':       ['http http/status http/files http/pins reader mirror system', 'The server stands on pins and files. Like all of http/ it never reaches the writer.'],
  'http/status':       ['http reader mirror system', 'The status page looks, and knows no request.'],
  'http/front':        ['http http/files http/pins mirror system', 'What other web servers are told stands on what is served.'],
  'http/client':       ['http reader mirror system', 'The client knows a server by its URLs alone.'],
  'http/files':        ['http mirror system', 'Sending a file knows no mirror.'],
  'http/pins':         ['http reader mirror system', 'A pin holds a snapshot, and knows no request.'],
  'http':              ['system', 'What the rooms of http/ share.'],
  'push':              ['operations writer/events.ts mirror rsync system', 'push/ is a sync on two hosts: it stands on the verbs.'],
  'operations':        ['writer checks mirror rsync system', 'A verb stands on writer/ and knows neither push nor readers.'],
  'operations/doctor/namespaces.ts': ['node: errors.ts operations/doctor/check.ts reader/script.ts system', 'It tries what every guard does, by the reader itself.'],
  'writer':            ['checks reader/script.ts mirror rsync system', 'writer/ knows no verb. Of readers it knows the script that it puts in place.'],
  'checks':            ['checks/alpine checks/apt checks/npm checks/pypi mirror rsync system', 'A check looks at a tree, and knows nobody who publishes it.'],
  'checks/alpine':     ['checks mirror system', 'One kind of repository.'],
  'checks/hash-file.ts': ['node: checks/claims.ts', 'hash-file.ts also runs in threads, where nothing else is loaded.'],
  'checks/hash-worker.ts': ['node: errors.ts checks/hash-file.ts checks/hash-threads.ts', 'hash-worker.ts is a thread: it hashes, and loads nothing else.'],
  'checks/apt':        ['checks mirror system', 'One kind of repository.'],
  'checks/npm':        ['checks mirror system', 'One kind of repository.'],
  'checks/pypi':       ['checks mirror system', 'One kind of repository.'],
  'reader':            ['mirror system', 'reader/ reads and holds: it never reaches the writer.'],
  'mirror':            ['rsync system', 'mirror/ knows what lies on disk, not who uses it.'],
  'rsync':             ['system', 'rsync/ knows rsync, not mirrors.'],
  'system':            ['', 'system/ wraps the outside world, and knows nothing of ours.'],
  'errors.ts':         ['', 'errors.ts stands on nothing.'],
  'mirror/settings/records.ts': ['mirror/settings/name-pattern.ts mirror/settings/policy.ts zod/mini', 'records.ts is a schema: all it needs of ours is the defaults and what a pattern is.'],
  'http/pins/pin-records.ts': ['errors.ts zod/mini', 'pin-records.ts is a schema: it does nothing.'],
  'push/messages.ts':  ['errors.ts operations/sync/context.ts writer/events.ts mirror rsync zod/mini', 'messages.ts is a schema: it does nothing.'],
};

/** A package is imported by one file (undici has its types declared in another), which otherwise keeps to its folder's line. */
const PACKAGES = {
  'checks/exceptions.ts': 'ignore',
  'checks/json.ts': '@streamparser/json',
  'checks/tar.ts': 'tar-stream',
  'cli/markdown.ts': 'marked wrap-ansi',
  'cli/output.ts': 'picocolors',
  'cli/table.ts': 'cli-table3',
  'cli/units.ts': 'ms',
  'config/toml.ts': 'toml-eslint-parser',
  'http/files/files.ts': 'send',
  'http/status/metrics.ts': 'prom-client',
  'http/client/outgoing.ts': 'undici undici/lib/dispatcher/* undici/lib/api/*',
  'http/client/undici.d.ts': 'undici',
  'mirror/units.ts': 'pretty-bytes',
  'system/lock-directory.ts': 'proper-lockfile',
  'system/nearest.ts': 'fastest-levenshtein',
  'system/process.ts': 'execa',
  'system/watcher.ts': 'chokidar',
};

/** Only the holder of the lock changes what readers see. */
const LOCKED = {
  files: [
    'mirror/locks/acquire-lock.ts',
    'mirror/locks/sync-lock.ts',
    'mirror/recovery.ts',
    'mirror/publication.ts',
    'mirror/trash.ts',
  ],
  openTo: ['writer', 'mirror'],
  because: 'Only writer/ takes the lock, recovers, publishes or empties the trash: use withWriter.',
};

const files = readdirSync('src', { recursive: true }).filter((file) => file.endsWith('.ts'));
const folders = [...new Set(files.map(dirname))];

/** The line of the table for a file or folder: its own, or else that of the folder around it. */
function roomOf(path) {
  if (path in ROOMS) return path;
  if (path === '.') return undefined;
  return roomOf(dirname(path));
}

/** The specifiers by which a file in `folder` imports what a line names, as patterns. */
function patterns(line, folder) {
  const named = (target) => {
    const path = relative(folder, target) || '.';
    return path.startsWith('.') ? path : `./${path}`;
  };
  return (line.match(/\S+/g) ?? []).flatMap((name) => {
    if (name === 'node:') return ['node:*', 'node:*/*'];
    if (name.endsWith('.ts')) return [named(name)];
    if (!(name in ROOMS)) return [name];
    return folders
      .filter((target) => roomOf(target) === name)
      .map((target) => `${named(target)}/*`);
  });
}

function rulesFor(file) {
  const room = roomOf(file);
  if (room === undefined) throw new Error(`src/${file} is in no room of scripts/layers.mjs`);
  const folder = dirname(file);
  const [line, because] = ROOMS[room];
  const more = room === file ? '' : `node: errors.ts ${room} ${PACKAGES[file] ?? ''}`;
  const allowed = patterns(`${line} ${more}`, folder).map((pattern) => `!${pattern}`);
  const rules = [{ group: ['**', ...allowed], message: because }];
  if (!LOCKED.openTo.includes(room)) {
    rules.push({ group: patterns(LOCKED.files.join(' '), folder), message: LOCKED.because });
  }
  return rules;
}

mkdirSync('node_modules/.cache', { recursive: true });
const configuration = {
  extends: ['../../biome.json'],
  overrides: files.map((file) => ({
    includes: [`src/${file}`],
    linter: {
      rules: {
        style: {
          noRestrictedImports: { level: 'error', options: { patterns: rulesFor(file) } },
        },
      },
    },
  })),
};
writeFileSync('node_modules/.cache/biome.json', JSON.stringify(configuration, null, 2));
