import { type Command, InvalidArgumentError } from 'commander';
import type { Configuration } from '../../config/configuration.ts';
import { hasCode, MirrorlatchError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printCode, printJson, printLine, printNote } from '../output.ts';
import { printWarning } from '../terminal.ts';
import { count, duration } from '../values.ts';

interface Flags {
  listen?: string[];
  trustProxy?: string[];
  user?: string;
  state?: string;
  accessLog?: string;
  pinQuiet?: number;
  pinGap?: number;
  pinMaxAge?: number;
  maxPins?: number;
  maxAge?: number;
  frontQuiet?: number;
  frontKeep?: number;
  drain?: number;
  aptConfig?: string;
  nginxConfig?: boolean;
  apacheConfig?: boolean;
  apacheMap?: boolean;
  json?: boolean;
}

/** Where it listens if nothing else is said: no other host reaches it. */
const DEFAULT_LISTEN = '127.0.0.1:8080';

/** Whom it becomes after it listens, if root starts it. */
const DEFAULT_USER = 'nobody';

const MORE_HELP = `MIRROR is a mirror of mirrorlatch, or a directory with a symlink "current" that another program keeps.
Its URLs are /NAME/current/… (the snapshot of the client's run), /NAME/snapshots/ID/… and /NAME/current.json,
where NAME is the name of its directory. MIRROR=/PREFIX/ gives it another place, MIRROR=/ the whole server,
and MIRROR/current=/PREFIX/ has what is current right below the prefix.

A run of a client, which is its address and its User-Agent, sees one snapshot from its first request on. It
ends when the client is quiet for --pin-quiet, or comes back to an index such as InRelease or repomd.xml after
--pin-gap. A file that this snapshot lacks, but no index, comes from the newest one that has it.

/-/ is a page that shows whether each mirror is fresh and whole; /-/status.json, /-/metrics (Prometheus) and
/-/healthz are for programs, and all are at / as well where no mirror has that place. healthz answers 503 when
clients cannot read a mirror, or its last successful sync is older than --max-age.

Sockets of systemd.socket(5) are used in place of --listen. SIGTERM lets the answers end that are being sent.

Which client reads which snapshot is written down in --state, so that a server started again at the same place
goes on with all runs. The default is a directory of systemd (StateDirectory=, RuntimeDirectory=), /run/mirrorlatch
for root, or mirrorlatch below XDG_RUNTIME_DIR.`;

/** A server's URL, as its clients name it. */
function serverUrl(value: string): string {
  const isUrl = URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
  if (isUrl) return value;
  throw new InvalidArgumentError('Give the URL that the clients use: http://mirror.example.org');
}

const collect = (value: string, all: string[] = []): string[] => [...all, value];

export function addServe(program: Command, context: CommandContext): void {
  program
    .command('serve')
    .summary('serve mirrors by HTTP, each client out of one snapshot')
    .description(
      'Serves mirrors by HTTP, so that each run of a client sees one snapshot, whatever is published meanwhile.',
    )
    .usage('[options] <MIRROR[=/PREFIX/]>...')
    .argument('<MIRROR[=/PREFIX/]...>')
    .option(
      '--listen <where>',
      `an address and a port, or unix:PATH; may be repeated (default: ${DEFAULT_LISTEN})`,
      collect,
    )
    .option(
      '--trust-proxy <address>',
      'believe X-Forwarded-For of this address or network; may be repeated. Unix sockets are trusted',
      collect,
    )
    .option(
      '--user <name>',
      `the user that root becomes, once it listens (default: ${DEFAULT_USER})`,
    )
    .option('--state <directory>', 'a directory where the runs of clients outlive a restart')
    .option('--access-log <file>', 'append a line for each request, - for standard output')
    .option(
      '--pin-quiet <duration>',
      'a quiet client keeps its snapshot this long (default: 10m)',
      duration,
    )
    .option(
      '--pin-gap <duration>',
      'an index again after this gap begins another run (default: 5s)',
      duration,
    )
    .option('--pin-max-age <duration>', 'without a gap, after this time (default: 1h)', duration)
    .option(
      '--max-pins <number>',
      'how many clients of a mirror are remembered (default: 20000)',
      count(1),
    )
    .option(
      '--max-age <duration>',
      'report a mirror as stale whose last successful sync is older',
      duration,
    )
    .option(
      '--front-quiet <duration>',
      'a web server in front forgets a client that is quiet this long (default: 1m)',
      duration,
    )
    .option(
      '--front-keep <duration>',
      'it asks again about any client after this time (default: 10m)',
      duration,
    )
    .option(
      '--drain <duration>',
      'how long answers may take to end at SIGTERM (default: 30s)',
      duration,
    )
    .option(
      '--apt-config <url>',
      "print the settings by which apt's clients of this URL find snapshots, and serve nothing",
      serverUrl,
    )
    .option(
      '--nginx-config',
      'print a configuration for nginx in front of this server, and serve nothing',
    )
    .option('--apache-config', 'the same for Apache')
    .option('--apache-map', 'the program that Apache starts by this configuration')
    .option('--json', 'print one object per line')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch serve /srv/mirror/debian --listen 0.0.0.0:80',
          'mirrorlatch serve /srv/mirror/debian=/ --listen 127.0.0.1:8080 --access-log /var/log/mirrorlatch.log',
          'mirrorlatch serve /srv/mirror/debian /srv/mirror/epel=/fedora/epel/ --listen unix:/run/mirrorlatch.sock',
          'mirrorlatch serve /srv/mirror/debian --listen unix:/run/mirrorlatch.sock --nginx-config',
        ],
        ['USAGE', 'NO_MIRROR', 'UNAVAILABLE', 'IO', 'BUSY', 'PERMISSION', 'CONFIGURATION'],
        MORE_HELP,
      ),
    )
    .action(async (words: string[], flags: Flags) => {
      const { parseServedRoot, refuseRivals } = await import('../../http/server/served-places.ts');
      const { mirrors } = (await context.configuration()).read();
      const roots = words.map((word) => parseServedRoot(withServedPlace(word, mirrors)));
      refuseRivals(roots);
      const { refuseContradictions } = await import('../pin-times.ts');
      const pins = given({
        quietMs: flags.pinQuiet,
        gapMs: flags.pinGap,
        maxAgeMs: flags.pinMaxAge,
        maxPins: flags.maxPins,
      });
      refuseContradictions(pins);
      if (flags.aptConfig !== undefined) {
        const { aptConfig, refuseInPlace } = await import('../../http/server/apt-config.ts');
        refuseInPlace(roots.map(({ root }) => root));
        const { archivesIn } = await import('../../http/server/apt-archives.ts');
        const archives = roots.flatMap(({ root }) => archivesIn(root));
        printCode(aptConfig({ url: flags.aptConfig, mirrors: roots, archives }));
        return;
      }
      const listen = flags.listen ?? [DEFAULT_LISTEN];
      if (flags.nginxConfig || flags.apacheConfig || flags.apacheMap) {
        const { printForWebServer } = await import('../web-server.ts');
        await printForWebServer(flags, roots, listen);
        return;
      }
      const { inheritedEndpoints, parseEndpoint } = await import('../../http/server/listen.ts');
      const inherited = inheritedEndpoints(process.env, process.pid);
      if (inherited.length > 0 && flags.listen !== undefined) {
        throw new MirrorlatchError(
          'USAGE',
          'systemd has opened sockets, so --listen has no place',
          {
            hint: 'Leave one of the two out.',
          },
        );
      }
      const { refuseLostState, stateBase } = await import('../../http/server/state-directory.ts');
      if (flags.state !== undefined) refuseLostState(flags.state);
      const endpoints = listen.map(parseEndpoint);
      const isRoot = process.geteuid?.() === 0;
      const signal = context.signal();
      const { serve } = await import('../../http/server/serve.ts');
      await serve({
        roots,
        endpoints: inherited.length > 0 ? inherited : endpoints,
        trustedProxies: flags.trustProxy,
        user: flags.user ?? (isRoot ? DEFAULT_USER : undefined),
        stateBase: flags.state ?? stateBase(process.env, isRoot),
        accessLog: flags.accessLog === '-' ? 1 : flags.accessLog,
        pins,
        decisions: given({ quietMs: flags.frontQuiet, keepMs: flags.frontKeep }),
        maxAgeMs: flags.maxAge,
        drainMs: flags.drain,
        signal,
        onListening: (addresses, mirrors) => {
          const shown = mirrors.map(({ name, prefix, content, root, kind }) => ({
            name,
            prefix,
            content,
            root,
            kind,
          }));
          if (flags.json) printJson({ event: 'listening', addresses, mirrors: shown });
          // Standard output is the log's, for what reads it line by line.
          else printServed(addresses, shown, flags.accessLog === '-' ? printNote : printLine);
        },
        onWarning: printWarning,
      });
      // Whoever means the log by SIGHUP, as with other servers, finds the server started again by its supervisor.
      if (hasCode(signal.reason, 'SIGHUP')) context.setExitCode(signal.reason.exitCode);
    });
}

/** `debian`, `debian=/PREFIX/` or `debian/current=/PREFIX/`, with the path of that mirror and the place that the configuration has. */
function withServedPlace(word: string, mirrors: Configuration['mirrors']): string {
  const [, name = word, current, place] = /^([^=/]+)(\/current)?(=\/.*)?$/.exec(word) ?? [];
  const mirror = mirrors.get(name);
  if (mirror === undefined) return word;
  const configured = mirror.table['serve-as'] ?? `/${name}/`;
  const [ofCurrent, configuredPlace] = configured.startsWith('current=')
    ? ['/current', configured.slice('current'.length)]
    : ['', `=${configured}`];
  const isPlaced = current !== undefined || place !== undefined;
  return `${mirror.root}${isPlaced ? (current ?? '') : ofCurrent}${place ?? configuredPlace}`;
}

/** No browser asks a unix socket for the status page. */
function printServed(
  addresses: readonly string[],
  mirrors: readonly { name: string; prefix: string; content: string }[],
  print: (line: string) => void,
): void {
  for (const address of addresses) {
    for (const { name, prefix, content } of mirrors) {
      print(`serving ${name} at ${address}${content}`);
      if (!content.startsWith(prefix)) {
        print(`pins and snapshots of ${name} at ${address}${prefix}`);
      }
    }
    if (address.startsWith('http:')) print(`status page at ${address}/-/`);
  }
}

/** Without what was not given, so that it does not hide a default. */
function given<Options extends object>(
  options: {
    [Name in keyof Options]: Options[Name] | undefined;
  },
): Partial<Options> {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as Partial<Options>;
}
