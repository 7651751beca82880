import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { onTestFinished } from 'vitest';
import { runsAsRoot } from '../privilege.ts';
import { apt } from './apt.ts';
import { marksIn } from './generation.ts';

/** Where scripts/test.sh has unpacked it, with the libraries that it needs. */
const ROOT = '/var/cache/mirrorlatch-test/trixie';

/** The end of a test's name if it cannot run; otherwise empty. */
export function whyNoNewerApt(): string {
  if (!runsAsRoot) return ' (skipped: only root can enter another root directory)';
  return existsSync(ROOT) ? '' : ' (skipped: scripts/test.sh has not unpacked the apt of trixie)';
}

/** A source of apt. */
interface Source {
  /** Without a slash at its end. */
  readonly url: string;
  /** More lines of its stanza (sources.list(5)). */
  readonly more?: string;
}

/** How a command of apt ended, and all that it printed. */
interface End {
  readonly exitCode: number | undefined;
  readonly said: string;
}

/**
 * A client with the apt of Debian 13, which knows snapshots, and with a state of its own. It reaches no server but those
 * of the test: where snapshots of Debian are to be had, it knows by itself.
 */
export class NewerApt {
  readonly #state: string;
  readonly #environment: Readonly<Record<string, string>>;

  /** @param settings what an admin puts into apt.conf.d. */
  constructor(sources: readonly Source[], settings = '') {
    this.#state = mkdtempSync(join(ROOT, 'tmp/mirrorlatch-'));
    onTestFinished(() => rmSync(this.#state, { recursive: true }));
    chmodSync(this.#state, 0o755);
    const { APT_CONFIG, ...environment } = apt.configure(this.#state, '');
    const configuration = readFileSync(APT_CONFIG, 'utf8').replaceAll(ROOT, '');
    writeFileSync(APT_CONFIG, `${configuration}${ALONE}`);
    writeFileSync(join(this.#state, 'etc/apt.conf.d/50mirrorlatch'), settings);
    writeFileSync(join(this.#state, 'etc/sources.list'), '');
    sources.forEach(({ url, more = '' }, index) => {
      const stanza = `Types: deb\nURIs: ${url}\nSuites: stable\nComponents: main\nTrusted: yes\n${more}\n`;
      writeFileSync(join(this.#state, `etc/sources.list.d/${index}.sources`), stanza);
    });
    this.#environment = { ...environment, APT_CONFIG: APT_CONFIG.replace(ROOT, '') };
  }

  /** Adds to what the admin has put into apt.conf.d. */
  set(setting: string): void {
    appendFileSync(join(this.#state, 'etc/apt.conf.d/60more'), `${setting}\n`);
  }

  /** Runs `apt-get WORDS`. */
  async run(...words: readonly string[]): Promise<End> {
    return await this.runThrough([], words);
  }

  /** @param through a prefix of the command line. */
  async runThrough(through: readonly string[], words: readonly string[]): Promise<End> {
    const [file = '', ...args] = [...through, 'chroot', ROOT, 'apt-get', ...words];
    const { exitCode, all } = await execa(file, args, {
      all: true,
      stdin: 'ignore',
      reject: false,
      timeout: 60_000,
      env: { LC_ALL: 'C.UTF-8', ...this.#environment },
    });
    return { exitCode, said: `${words.join(' ')}\n${all}` };
  }

  /** The marks of the generations of all packages that were fetched; it forgets them. */
  takePackages(): string[] {
    const archives = join(this.#state, 'cache/archives');
    const files = readdirSync(archives)
      .filter((name) => name.endsWith('.deb'))
      .map((name) => join(archives, name));
    const texts = files.map((file) => readFileSync(file, 'latin1'));
    for (const file of files) rmSync(file);
    return [...new Set(texts.flatMap(marksIn))];
  }
}

/** No user of apt is in that directory, and what lies outside is to fail at once. */
const ALONE = `APT::Sandbox::User "root";
Acquire::Retries "0";
Acquire::https::Proxy "http://127.0.0.1:9";
`;
