import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median, table } from './goals.ts';
import { type Measurement, measure } from './measure.ts';
import { say } from './session.ts';
import { startBareNginx } from './web-servers.ts';

/** A repository of apt: how many packages its index lists, and how many of these are there and fetched. */
interface Size {
  readonly name: string;
  readonly listed: number;
  readonly fetched: number;
}

/** As small as a test's, and about that of a suite of Debian with an upgrade of a day. */
const sizes: readonly Size[] = [
  { name: 'tiny', listed: 3, fetched: 3 },
  { name: 'realistic', listed: 60_000, fetched: 200 },
];

const PACKAGE_BYTES = 100_000;

/** Medians of one repository. Times in milliseconds; CPU time without the server's. */
export interface GuardedApt {
  readonly repository: string;
  readonly bareCpuMs: number;
  readonly guardedCpuMs: number;
  readonly bareWallMs: number;
  readonly guardedWallMs: number;
  /** Of the ratios of each round. */
  readonly cpu: number;
  readonly wall: number;
}

/** Lets apt update and download, under `run --http` and without it, in turn. */
export async function measureGuardedApt(
  directory: string,
  program: string,
  rounds: number,
  signal: AbortSignal,
): Promise<GuardedApt[]> {
  const found: GuardedApt[] = [];
  for (const size of sizes) {
    const place = join(directory, `apt-${size.name}`);
    mkdirSync(place);
    const source = join(place, 'source');
    const root = join(place, 'mirror');
    makeRepository(source, size);
    execFileSync(program, ['sync', source, root, '--json'], { stdio: 'pipe' });
    const server = await startBareNginx(place, root);
    try {
      const url = `${server.tree}current/`;
      const command = aptCommand(place, url, size);
      const contestants = {
        bare: { file: 'sh', args: ['-c', command] },
        guarded: { file: program, args: ['run', '--http', url, '--', 'sh', '-c', command] },
      };
      const runs: Record<keyof typeof contestants, Measurement[]> = { bare: [], guarded: [] };
      for (let round = -1; round < rounds; round += 1) {
        for (const name of ['bare', 'guarded'] as const) {
          const measured = await measure(contestants[name], place, signal);
          // The first round fills the page cache.
          if (round >= 0) runs[name].push(measured);
        }
      }
      found.push(summarize(size.name, runs.bare, runs.guarded));
      say(`apt with a ${size.name} repository: ${rounds} rounds`);
    } finally {
      await server.stop();
    }
  }
  return found;
}

export function guardedAptTable(found: readonly GuardedApt[]): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(2);
  return table(
    [
      'apt under run --http',
      'CPU s bare',
      'guarded',
      'ratio',
      'wall s bare',
      'guarded',
      'ratio',
      '',
    ],
    found.map((one) => [
      one.repository,
      ...[seconds(one.bareCpuMs), seconds(one.guardedCpuMs), `${one.cpu.toFixed(2)}x`],
      ...[seconds(one.bareWallMs), seconds(one.guardedWallMs), `${one.wall.toFixed(2)}x`],
      '',
    ]),
  );
}

function summarize(
  repository: string,
  bare: readonly Measurement[],
  guarded: readonly Measurement[],
): GuardedApt {
  const cpuOf = ({ userMs, systemMs }: Measurement) => userMs + systemMs;
  const wallOf = ({ wallMs }: Measurement) => wallMs;
  const ratios = (of: (one: Measurement) => number) =>
    median(guarded.map((one, round) => of(one) / of(bare[round] ?? one)));
  return {
    repository,
    bareCpuMs: median(bare.map(cpuOf)),
    guardedCpuMs: median(guarded.map(cpuOf)),
    bareWallMs: median(bare.map(wallOf)),
    guardedWallMs: median(guarded.map(wallOf)),
    cpu: ratios(cpuOf),
    wall: ratios(wallOf),
  };
}

/** Makes a repository whose index has as much in it that cannot be compressed as Debian's. */
function makeRepository(directory: string, { listed, fetched }: Size): void {
  const index = join(directory, 'dists/stable/main/binary-all');
  mkdirSync(index, { recursive: true });
  mkdirSync(join(directory, 'pool'));
  const entries = Array.from({ length: listed }, (_, count) => {
    const name = nameOf(count);
    const content = randomBytes(count < fetched ? PACKAGE_BYTES : 0);
    if (count < fetched) writeFileSync(join(directory, `pool/${name}_1_all.deb`), content);
    const hash = count < fetched ? hashOf(content) : randomBytes(32).toString('hex');
    return `Package: ${name}
Version: 1
Architecture: all
Maintainer: The Maintainers of ${name} <${name}@lists.example.org>
Installed-Size: ${100 + (count % 1000)}
Depends: ${[1, 2, 3].map((step) => nameOf((count + step * 37) % listed)).join(', ')}
Description: a package to measure with, number ${count}
 ${'It does nothing, and is described by as many words as others are. '.repeat(4)}
Homepage: https://${name}.example.org/
Tag: ${randomBytes(36).toString('hex')}, implemented-in::c, role::program
Section: misc
Priority: optional
Filename: pool/${name}_1_all.deb
Size: ${count < fetched ? content.length : 1000}
SHA256: ${hash}
`;
  });
  const packages = Buffer.from(`${entries.join('\n')}\n`);
  writeFileSync(join(index, 'Packages'), packages);
  const compressed = execFileSync('xz', ['-1', '-c', join(index, 'Packages')], {
    maxBuffer: packages.length,
  });
  writeFileSync(join(index, 'Packages.xz'), compressed);
  const lines = [
    [packages, 'main/binary-all/Packages'],
    [compressed, 'main/binary-all/Packages.xz'],
  ] as const;
  writeFileSync(
    join(directory, 'dists/stable/Release'),
    `Suite: stable
Architectures: all
Components: main
Date: ${new Date().toUTCString()}
SHA256:
${lines.map(([bytes, name]) => ` ${hashOf(bytes)} ${bytes.length} ${name}`).join('\n')}
`,
  );
}

function nameOf(count: number): string {
  return `package-${count}`;
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A shell command that begins with no lists, and fetches them and the packages. */
function aptCommand(directory: string, url: string, { fetched }: Size): string {
  const state = join(directory, 'apt');
  mkdirSync(join(state, 'empty'), { recursive: true });
  mkdirSync(join(state, 'download'));
  writeFileSync(join(state, 'status'), '');
  writeFileSync(join(state, 'sources.list'), `deb [trusted=yes] ${url} stable main\n`);
  const settings = {
    'APT::Architecture': 'all',
    'Dir::Etc': join(state, 'empty'),
    'Dir::Etc::sourcelist': join(state, 'sources.list'),
    'Dir::State': join(state, 'state'),
    'Dir::State::status': join(state, 'status'),
    'Dir::Cache': join(state, 'cache'),
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
  };
  const configuration = join(state, 'apt.conf');
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";\n`);
  writeFileSync(configuration, lines.join(''));
  const names = Array.from({ length: fetched }, (_, count) => nameOf(count)).join(' ');
  rmSync(join(state, 'state'), { recursive: true, force: true });
  return `set -e; cd '${state}'; rm -rf state cache download
    mkdir -p state/lists/partial cache/archives/partial download; cd download
    export APT_CONFIG='${configuration}'
    apt-get -qq update
    apt-get -qq download ${names}
    ls | wc -l | grep -qx ${fetched}`;
}
