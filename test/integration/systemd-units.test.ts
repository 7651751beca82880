import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { blocks, type Document, topics } from '../support/documents.ts';
import { whyNotInstalled } from '../support/installed.ts';
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
