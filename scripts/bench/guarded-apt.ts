import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
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

/** What apt does with the packages after an update. */
const ends = ['download', 'install'] as const;
type End = (typeof ends)[number];

/** Medians of one repository. Times in milliseconds; CPU time without the server's. */
export interface GuardedApt {
  readonly repository: string;
  readonly end: End;
  readonly bareCpuMs: number;
  readonly guardedCpuMs: number;
  readonly bareWallMs: number;
  readonly guardedWallMs: number;
  /** Of the ratios of each round. */
  readonly cpu: number;
  readonly wall: number;
}

/** Lets apt update and download, or update and install, under `run --http` and without it, in turn. */
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
      const commands = aptCommands(place, url, size);
      for (const end of ends) {
        const command = commands[end];
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
        found.push({ repository: size.name, end, ...summarize(runs.bare, runs.guarded) });
        say(`apt, update and ${end}, with a ${size.name} repository: ${rounds} rounds`);
      }
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
      'apt update and …, under run --http',
      'CPU s bare',
      'guarded',
      'ratio',
      'wall s bare',
      'guarded',
      'ratio',
      '',
    ],
    found.map((one) => [
      `${one.repository}, ${one.end}`,
      ...[seconds(one.bareCpuMs), seconds(one.guardedCpuMs), `${one.cpu.toFixed(2)}x`],
      ...[seconds(one.bareWallMs), seconds(one.guardedWallMs), `${one.wall.toFixed(2)}x`],
      '',
    ]),
  );
}

function summarize(
  bare: readonly Measurement[],
  guarded: readonly Measurement[],
): Omit<GuardedApt, 'repository' | 'end'> {
  const cpuOf = ({ userMs, systemMs }: Measurement) => userMs + systemMs;
  const wallOf = ({ wallMs }: Measurement) => wallMs;
  const ratios = (of: (one: Measurement) => number) =>
    median(guarded.map((one, round) => of(one) / of(bare[round] ?? one)));
  return {
    bareCpuMs: median(bare.map(cpuOf)),
    guardedCpuMs: median(guarded.map(cpuOf)),
    bareWallMs: median(bare.map(wallOf)),
    guardedWallMs: median(guarded.map(wallOf)),
    cpu: ratios(cpuOf),
    wall: ratios(wallOf),
  };
}

/** Makes a repository whose index has as much in it that cannot be compressed as Debian's. */
function makeRepository(directory: string, size: Size): void {
  const index = join(directory, 'dists/stable/main/binary-all');
  mkdirSync(index, { recursive: true });
  mkdirSync(join(directory, 'pool'));
  const entries = Array.from({ length: size.listed }, (_, count) => {
    const control = controlOf(count);
    const name = `pool/${nameOf(count)}_1_all.deb`;
    if (count < size.fetched) buildPackage(directory, name, control);
    const file = count < size.fetched ? readFileSync(join(directory, name)) : randomBytes(32);
    return `${control}Filename: ${name}\nSize: ${file.length}\nSHA256: ${hashOf(file)}\n`;
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

/** Depends only on packages with lower numbers, so that those that are fetched can be installed. */
function controlOf(count: number): string {
  const name = nameOf(count);
  const needed = [1, 2, 3].map((step) => count - step * 37).filter((other) => other >= 0);
  return `Package: ${name}
Version: 1
Architecture: all
Maintainer: The Maintainers of ${name} <${name}@lists.example.org>
Installed-Size: ${100 + (count % 1000)}
${needed.length === 0 ? '' : `Depends: ${needed.map(nameOf).join(', ')}\n`}Description: a package to measure with, number ${count}
 ${'It does nothing, and is described by as many words as others are. '.repeat(4)}
Homepage: https://${name}.example.org/
Tag: ${randomBytes(36).toString('hex')}, implemented-in::c, role::program
Section: misc
Priority: optional
`;
}

function buildPackage(directory: string, file: string, control: string): void {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  writeFileSync(join(tree, 'DEBIAN/control'), control);
  const content = join(tree, 'usr/share', basename(file, '.deb'));
  mkdirSync(dirname(content), { recursive: true });
  writeFileSync(content, randomBytes(PACKAGE_BYTES));
  const words = ['--root-owner-group', '-Znone', '--build', tree, join(directory, file)];
  execFileSync('dpkg-deb', words, { stdio: 'pipe' });
  rmSync(tree, { recursive: true });
}

function nameOf(count: number): string {
  return `package-${count}`;
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Shell commands that begin with no lists and an empty system, update, and fetch or install the packages. */
function aptCommands(directory: string, url: string, { fetched }: Size): Record<End, string> {
  const state = join(directory, 'apt');
  for (const name of ['apt.conf.d', 'preferences.d']) {
    mkdirSync(join(state, 'etc', name), { recursive: true });
  }
  writeFileSync(join(state, 'sources.list'), `deb [trusted=yes] ${url} stable main\n`);
  const configuration = join(state, 'apt.conf');
  writeFileSync(
    configuration,
    `APT::Architecture "all";
Dir::Etc "${state}/etc";
Dir::Etc::sourcelist "${state}/sources.list";
Dir::State "${state}/state";
Dir::State::status "${state}/system/var/lib/dpkg/status";
Dir::Cache "${state}/cache";
Dir::Log "${state}/log";
DPkg::Options { "--root=${state}/system"; "--log=/dev/null"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
`,
  );
  const names = Array.from({ length: fetched }, (_, count) => nameOf(count)).join(' ');
  const update = `set -e; cd '${state}'; rm -rf state cache download system log
    mkdir -p state/lists/partial cache/archives/partial download log
    mkdir -p system/var/lib/dpkg/updates system/var/lib/dpkg/info; : >system/var/lib/dpkg/status
    export APT_CONFIG='${configuration}' DEBIAN_FRONTEND=noninteractive
    apt-get -qq update; cd download`;
  return {
    download: `${update}; apt-get -qq download ${names}; ls | wc -l | grep -qx ${fetched}`,
    install: `${update}; apt-get -qq install ${names} >/dev/null
      ls ../system/usr/share | wc -l | grep -qx ${fetched}`,
  };
}
