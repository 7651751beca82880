import { describe, expect, test } from 'vitest';
import { configurationError, readConfiguration } from '../../../src/config/configuration.ts';
import { KEYS, type Key } from '../../../src/config/schema.ts';
import { configuredFlags, configuredSettings } from '../../../src/config/settings.ts';

const DAY = 24 * 3_600_000;

function read(...texts: string[]) {
  return readConfiguration(texts.map((text, at) => ({ file: `/etc/${at}.toml`, text })));
}

/** A mirror with a root, and these lines. */
function debian(...lines: string[]) {
  return read(['[mirrors.debian]', 'root = "/srv/debian"', ...lines].join('\n'));
}

function sentences(...texts: string[]): string[] {
  return read(...texts).problems.map(
    ({ place, message, hint }) => `${place.file}:${place.line} ${message} | ${hint}`,
  );
}

/** A value of every key, and what it means. */
const VALUES: Record<Key, [toml: string, value: unknown]> = {
  root: ['"/srv/debian"', '/srv/debian'],
  source: ['"rsync://mirror.example.org/debian"', 'rsync://mirror.example.org/debian/'],
  'rsync-options': ['["--exclude=/iso/", "-H"]', ['--exclude=/iso/', '-H']],
  'in-place': ['true', true],
  'serve-at': ['"/var/www/debian"', '/var/www/debian'],
  'serve-as': ['"/debian/"', '/debian/'],
  'keep-last': ['7', 7],
  'keep-hourly': ['24', 24],
  'keep-daily': ['7', 7],
  'keep-weekly': ['4', 4],
  'keep-monthly': ['12', 12],
  'keep-yearly': ['0', 0],
  'keep-tag': ['"release"', ['release']],
  'keep-within': ['"14d"', 14 * DAY],
  grace: ['0', 0],
  'max-shrink': ['"12.5 %"', 12.5],
  'max-shrink-in': ['{ "/pool/" = 10, dists = "5%" }', { pool: 10, dists: 5 }],
  probe: ['"auto"', ['auto']],
  'probe-max-age': ['"36h"', 1.5 * DAY],
  'busy-when': ['["Archive-Update-in-Progress"]', ['Archive-Update-in-Progress']],
  'file-list': ['"auto"', 'auto'],
  check: ['["apt", "sha256sums"]', ['apt', 'sha256sums']],
  'check-command': ['"test -e index.html"', 'test -e index.html'],
  'check-timeout': ['"5m"', 300_000],
  'check-except': ['["pool/old/**"]', ['pool/old/**']],
  'check-keyring': [
    '"/usr/share/keyrings/debian-archive-keyring.gpg"',
    '/usr/share/keyrings/debian-archive-keyring.gpg',
  ],
  'check-content': ['true', true],
  channels: ['{ testing = "current after 1d" }', { testing: { from: 'current', afterMs: DAY } }],
  strategy: ['"link-dest"', 'link-dest'],
  clone: ['"copy"', 'copy'],
  without: ['["safe-links"]', ['safe-links']],
  unclean: ['"refuse"', 'refuse'],
  prune: ['false', false],
  wait: ['"1h"', DAY / 24],
  'stale-after': ['"10m"', 600_000],
  retries: ['0', 0],
  'retry-delay': ['"500ms"', 500],
  drain: ['"5m"', 300_000],
  'after-drain': ['"go-on"', 'go-on'],
  'before-sync': ['"mountpoint /srv"', ['/bin/sh', '-c', 'mountpoint /srv']],
  'before-publish': ['["/usr/bin/test", "-e", "README"]', ['/usr/bin/test', '-e', 'README']],
  'after-publish': ['["purge-cache"]', ['purge-cache']],
  'on-failure': ['[]', []],
  'on-recovery': ['"true"', ['/bin/sh', '-c', 'true']],
  'hook-timeout': ['"90s"', 90_000],
  'max-age': ['"26h"', (26 * DAY) / 24],
  schedule: ['"Mon..Fri 03:17"', 'Mon..Fri 03:17'],
  fill: [
    `'debmirror "$MIRRORLATCH_STAGING"'`,
    ['/bin/sh', '-c', 'debmirror "$MIRRORLATCH_STAGING"'],
  ],
  after: ['"debian-archive"', 'debian-archive'],
  'notify-mail': ['["root", "ops@example.org"]', ['root', 'ops@example.org']],
  'notify-webhook': ['"https://chat.example.org/x?y"', ['https://chat.example.org/x?y']],
  'notify-systemd': ['true', true],
  aliases: ['["apt-get", "apt"]', ['apt-get', 'apt']],
};

/** The first character that differs makes it no key. */
const misspelt = (key: string) => `${key.slice(0, -1)}x`;

describe.each(KEYS)('the key %s', (key) => {
  const [toml, value] = VALUES[key];

  test('means what its value says', () => {
    const { configuration, problems } = read(
      `[mirrors.debian]\nroot = "/srv/debian"`,
      `[mirrors.debian]\n${key} = ${toml}\n[mirrors.debian-archive]\nroot = "/a"`,
    );
    expect(problems).toEqual([]);
    expect(configuration.mirrors.get('debian')?.table[key]).toEqual(value);
  });

  test('misspelt, is named with its line and what was meant', () => {
    expect(sentences(`[mirrors.debian]\nroot = "/srv/debian"\n${misspelt(key)} = ${toml}`)).toEqual(
      [
        expect.stringMatching(
          new RegExp(
            `^/etc/0.toml:3 there is no key ${misspelt(key)} in \\[mirrors.debian\\] \\| Did you mean `,
          ),
        ),
      ],
    );
  });

  test.each(['1979-05-27', '[[1]]', '{ a = { b = 1 } }', '-1', '"\\u0000"'])(
    'cannot be %s: the line, and what to give, are named',
    (wrong) => {
      const problems = sentences(
        `[mirrors.debian]\nroot = "/srv/debian"`,
        `\n[mirrors.debian]\n${key} = ${wrong}`,
      );
      expect(problems).toEqual([
        expect.stringMatching(
          new RegExp(`^/etc/1.toml:3 ${key}[^ ]* of \\[mirrors.debian\\] cannot be .* \\| .`, 's'),
        ),
      ]);
    },
  );
});

test.each([
  ['root', '"/srv/\\u0000"', 'No path has a byte of zero.'],
  ['notify-webhook', '"https://me:secret@chat.example.org/"', 'Give a URL without a user'],
  ['after-publish', '""', 'Give a line for sh in quotes'],
  ['after-publish', '["bin/purge"]', 'Give a line for sh in quotes'],
  ['after-publish', '["purge", 3]', 'Give a line for sh in quotes'],
  ['schedule', '"dayly"', 'Did you mean daily? Give a calendar event'],
  ['schedule', '"@hourly"', 'Did you mean hourly?'],
  ['schedule', '"0 3 * * *"', 'Give a calendar event of systemd'],
  ['check-keyring', '"keys.gpg"', 'such as "/usr/share/keyrings/debian-archive-keyring.gpg"'],
  ['aliases', '"apt-get apt"', 'Name commands as you type them'],
  ['aliases', '["apt-get", "cd"]', 'Name programs'],
])('%s cannot be %s', (key, toml, hint) => {
  const [problem] = sentences(
    `[mirrors.debian]\nroot = "/srv/debian"`,
    `[mirrors.debian]\n${key} = ${toml}`,
  );
  expect(problem).toContain(hint);
});

test('of the keys, a mirror says its own, and [defaults] the rest', () => {
  const { configuration } = read(
    '[defaults]\nkeep-last = 9\nwait = "1h"\n[mirrors.a]\nroot="/a"\nkeep-last = 2\n[mirrors.b]\nroot="/b"',
  );
  const [a, b] = [...configuration.mirrors.values()];
  expect(a?.table).toMatchObject({ 'keep-last': 2, wait: 3_600_000 });
  expect(b?.table).toMatchObject({ 'keep-last': 9, wait: 3_600_000 });
});

test('a hook of a mirror takes the place of that in [defaults], and [] is none', () => {
  const { configuration } = read(
    '[defaults]\non-failure = "a"\nafter-publish = "b"\n[mirrors.a]\nroot="/a"\non-failure = []',
  );
  const a = configuration.mirrors.get('a');
  if (a === undefined) throw new Error('there is a mirror');
  expect(configuredSettings(a).hooks.commands).toEqual({
    'on-failure': [],
    'after-publish': ['/bin/sh', '-c', 'b'],
  });
});

test('what a mirror has its signatures and its own check by can be turned off where [defaults] has one', () => {
  const { configuration, problems } = read(
    '[defaults]\ncheck-keyring = "/k.gpg"\ncheck-command = "a"\n[mirrors.a]\nroot="/a"\ncheck-keyring = ""\ncheck-command = ""',
  );
  expect(problems).toEqual([]);
  const a = configuration.mirrors.get('a');
  expect(a && configuredSettings(a).settings).toEqual({ checkKeyring: '', checkCommand: '' });
});

test('a later file overrides an earlier one key by key', () => {
  const { configuration } = read(
    '[mirrors.a]\nroot="/a"\nkeep-last = 2\ngrace = "1d"',
    '[mirrors.a]\nkeep-last = 3',
  );
  const a = configuration.mirrors.get('a');
  expect(a?.table).toMatchObject({ 'keep-last': 3, grace: DAY });
  expect(a?.places.get('keep-last')).toEqual({ file: '/etc/1.toml', line: 2 });
  expect(a?.places.get('grace')).toEqual({ file: '/etc/0.toml', line: 4 });
});

test('settings have the names that mirror.json has for them, flags those of commander', () => {
  const mirror = debian('keep-within = "1d"', 'retry-delay = "2s"').configuration.mirrors.get(
    'debian',
  );
  if (mirror === undefined) throw new Error('there is a mirror');
  expect(configuredSettings(mirror)).toEqual({
    name: 'debian',
    settings: { keepWithinMs: DAY },
    hooks: { commands: {}, timeoutMs: undefined },
    where: { keepWithinMs: 'keep-within (/etc/0.toml, line 3)' },
  });
  expect(configuredFlags(mirror)).toEqual({ root: '/srv/debian', retryDelay: 2000 });
});

test.each([
  ['keep-last = 3', '/etc/0.toml:1 keep-last is in no table'],
  ['defaults = 3', '/etc/0.toml:1 defaults is not a table | Begin it with a line of its own: [def'],
  ['mirrors = []', '/etc/0.toml:1 mirrors is not a table | Begin it with a line of its own: [mir'],
  [
    '[default]\nkeep-last = 3',
    '/etc/0.toml:1 there is no table [default] | Did you mean [defaults]?',
  ],
  [
    '[mirror.debian]\nroot="/a"',
    '/etc/0.toml:1 there is no table [mirror] | Did you mean [mirrors]?',
  ],
  [
    '[mirrors.a]\nroot="/a"\nafter="b"\n[mirrors.b]\nroot="/b"\nafter="c"\n[mirrors.c]\nroot="/c"\nafter="b"',
    '/etc/0.toml:6 b comes after c comes after b | Give one of them a schedule instead.',
  ],
  [
    '[mirrors.a]\nroot="/a"\nafter="bb"\n[mirrors.b]\nroot="/b"',
    '/etc/0.toml:3 a comes after bb, which is no mirror here | Did you mean b?',
  ],
  [
    '[mirrors.a]\nroot="/a"\nafter="a"',
    '/etc/0.toml:3 a comes after itself | Name another mirror, or give it a schedule instead.',
  ],
  ['[mirrors]\ndebian = "/srv"', '/etc/0.toml:2 debian is not a table'],
  ['[mirrors."a b"]\nroot="/a"', '/etc/0.toml:1 a mirror cannot be called "a b"'],
  ['[mirrors.-x]\nroot="/a"', '/etc/0.toml:1 a mirror cannot be called "-x"'],
  [
    '\n[mirrors.a]\ngrace="1d"',
    '/etc/0.toml:2 [mirrors.a] has no root | Say where the mirror is: root = "/srv/mirror/a"',
  ],
  [
    '[mirrors.a]\nroot="rel"',
    '/etc/0.toml:2 root of [mirrors.a] cannot be "rel" | Give an absolute path',
  ],
  [
    '[defaults]\nroot="/a"',
    '/etc/0.toml:2 there is no key root in [defaults] | Each mirror has its own',
  ],
  ['[mirrors.a]\nroot="/x"\n[mirrors.b]\nroot="/x"', '/etc/0.toml:4 b and a have one root, /x'],
  [
    '[mirrors.a]\nroot="/a"\nwait = 5',
    '/etc/0.toml:3 wait of [mirrors.a] cannot be 5 | It has no unit: write 5s, 5m, 5h or 5d.',
  ],
  [
    '[mirrors.a]\nroot="/a"\nkeep-last = "7"',
    '/etc/0.toml:3 keep-last of [mirrors.a] cannot be "7" | Give a whole number of at least 1, without quotes.',
  ],
  [
    '[mirrors.a]\nroot="/a"\n[mirrors.a.max-shrink-in]\npool = 10\ndists = 101',
    '/etc/0.toml:5 max-shrink-in.dists of [mirrors.a] cannot be 101 | Give a percentage from 0 to 100.',
  ],
  [
    '[mirrors.a]\nroot="/a"\n[mirrors.a.max-shrink-in]\n"pool/.." = 10',
    '/etc/0.toml:4 max-shrink-in of [mirrors.a] cannot have the key "pool/.." | Give a directory',
  ],
  [
    '[mirrors.a]\nroot="/a"\nchannels = { snapshots = "current" }',
    '/etc/0.toml:3 channels of [mirrors.a] cannot have the key "snapshots" | "snapshots" cannot name a channel. Use 1 to 64',
  ],
  [
    '[mirrors.a]\nroot="/a"\n[mirrors.a.channels]\n__proto__ = "current"',
    '/etc/0.toml:4 channels of [mirrors.a] cannot have the key __proto__',
  ],
  [
    '[mirrors.a]\nroot="/a"\nrsync-options = ["--exclude-from=ex.txt"]',
    '/etc/0.toml:3 rsync-options of [mirrors.a] cannot be ["--exclude-from=ex.txt"] | Give the absolute path of a file',
  ],
  [
    '[mirrors.a]\nroot="/a"\nrsync-options = ["--inplace"]',
    '/etc/0.toml:3 rsync-options of [mirrors.a] cannot be ["--inplace"] | ',
  ],
  [
    '[mirrors.a]\nroot="/a"\nsource = "http://x/"',
    '/etc/0.toml:3 source of [mirrors.a] cannot be "http://x/" | ',
  ],
  [
    '[mirrors.a]\nroot="/a"\n__proto__ = 1',
    '/etc/0.toml:3 there is no key __proto__ in [mirrors.a]',
  ],
  [
    '[mirrors.constructor]\ntoString = 1',
    '/etc/0.toml:2 there is no key toString in [mirrors.constructor]',
  ],
  ['[[mirrors.a]]\nroot="/a"\n[mirrors.a.x]\ny=1', '/etc/0.toml:1 a is not a table | Begin it'],
  ['[[mirrors]]\nroot="/a"', '/etc/0.toml:1 mirrors is not a table | Begin it'],
])('%j: %s', (text, sentence) => {
  expect(sentences(text)[0]).toContain(sentence);
});

test('a configuration that is no TOML names the line', () => {
  expect(() => read('[defaults]\nkeep-last = seven')).toThrow(
    /^\/etc\/0.toml, line 2: not valid TOML/,
  );
});

test('a configuration with more brackets than the parser can count is refused', () => {
  expect(() => read(`x = ${'['.repeat(100_000)}${']'.repeat(100_000)}`)).toThrow(
    '/etc/0.toml: its values are nested',
  );
});

test('an error names the first problem, and how many more there are', () => {
  const { problems } = read('[mirrors.a]\nroot="/a"\nx=1\ny=2');
  expect(configurationError(problems)?.message).toBe(
    '/etc/0.toml, line 3: there is no key x in [mirrors.a] (and 1 more: mirrorlatch config check)',
  );
});

test('one wrong value leaves the rest of a mirror in force', () => {
  const { configuration } = debian('keep-last = 0', 'grace = "1d"');
  expect(configuration.mirrors.get('debian')?.table).toEqual({ root: '/srv/debian', grace: DAY });
});

test('channels that follow each other in a circle are named', () => {
  expect(
    sentences(
      '[mirrors.a]\nroot = "/a"\n[mirrors.a.channels]\nproduction = "testing after 7d"\ntesting = "production"',
    ),
  ).toEqual([
    expect.stringMatching(
      /testing follows production follows testing|production follows testing follows production/,
    ),
  ]);
});
