import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { blocks, type Document, topics } from '../support/documents.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';

const whyNot = whyNotInstalled('systemd-analyze');
const documents = topics.filter((topic) => unitsOf(topic).length > 0);

test.skipIf(whyNot !== '').for(documents)(
  `systemd has nothing to say against the units of $path${whyNot}`,
  async (document) => {
    const directory = join(scratchDirectory(), 'units');
    mkdirSync(directory);
    const paths = unitsOf(document).map(({ name, text }) => {
      const path = join(directory, name);
      // The program need not be in a directory where systemd looks for it.
      writeFileSync(
        path,
        text.replace(
          /^ExecStart=(\/usr\/local\/bin\/)?mirrorlatch /m,
          `ExecStart=${project}dist/mirrorlatch `,
        ),
      );
      return path;
    });
    const { all, exitCode } = await execa('systemd-analyze', ['verify', '--man=no', ...paths], {
      all: true,
      reject: false,
    });
    expect([exitCode, all]).toEqual([0, '']);
  },
);

const manager = '/lib/systemd/systemd';

// It reads units without starting any, but not for root.
test.runIf(existsSync(manager) && runsAsRoot)(
  'systemd reads the path of each mirror as it is',
  async () => {
    const home = realpathSync(scratchDirectory());
    const units = join(home, 'units');
    const file = join(home, 'c.toml');
    const roots = {
      back: 'ba\\ck',
      double: 'a"b',
      single: "a'b",
      both: `a'"b\\`,
      percent: '%h $x #;',
    };
    const tables = Object.entries(roots).map(
      ([name, root]) =>
        `[mirrors.${name}]\nroot = ${JSON.stringify(join(home, root))}\nsource = "/etc"\n`,
    );
    writeFileSync(file, tables.join(''));
    mkdirSync(units);
    const words = ['systemd', '--all', '--install', '--directory', units, '--config', file];
    const installed = await runProgram(words);
    expect(installed.exitCode, transcript(installed)).toBe(0);
    execFileSync('chmod', ['-R', 'a+rwX', home]);
    for (const [name, root] of Object.entries(roots)) {
      const { stdout } = await execa(
        'setpriv',
        [
          '--reuid=65534',
          '--clear-groups',
          manager,
          '--user',
          '--test',
          `--unit=mirrorlatch-sync@${name}.service`,
        ],
        {
          env: { HOME: home, XDG_RUNTIME_DIR: home, SYSTEMD_UNIT_PATH: `${units}:` },
          reject: false,
          all: false,
        },
      );
      const lines = stdout.split('\n').map((line) => line.trim());
      expect(lines, name).toContain(`ReadWritePaths: ${join(home, root)}`);
      expect(lines, name).toContain(`RequiresMountsFor: ${join(home, root)} (origin-file)`);
    }
  },
);

test.for(documents)('each unit of $path can be enabled, or another starts it', (document) => {
  const units = unitsOf(document);
  for (const { name, text } of units) {
    const starters = units.filter((other) => other.stem === name.replace(/@?\.\w+$/, ''));
    const isEnabled = starters.some((unit) => unit.text.includes('[Install]\nWantedBy='));
    expect(isEnabled, `${name}: ${text}`).toBe(true);
  }
});

interface Unit {
  readonly name: string;
  /** Without its type: a timer or a socket starts the service of this name. */
  readonly stem: string;
  readonly text: string;
}

/** The units of a document, with the names that the paragraphs before them say. */
function unitsOf(document: Document): Unit[] {
  return blocks(document, 'ini', '')
    .filter(isUnit)
    .map((text, at): Unit => {
      const [, section = ''] = /^\[(Timer|Socket|Service)\]$/m.exec(text) ?? [];
      const type = section.toLowerCase();
      const before = document.text.slice(0, document.text.indexOf(text));
      const [, stem = `unit-${at}`] =
        new RegExp(`([\\w@-]+)\\.${type}`).exec(lastParagraphOf(before)) ?? [];
      return { name: `${stem}.${type}`, stem: stem.replace(/@$/, ''), text: `${text}\n` };
    });
}

function isUnit(text: string): boolean {
  return /^\[(Timer|Socket|Service)\]$/m.test(text);
}

/** What introduces a block that follows. */
function lastParagraphOf(text: string): string {
  return (
    text
      .trimEnd()
      .replace(/\n*```(ini)?$/, '')
      .split('\n\n')
      .at(-1) ?? ''
  );
}
