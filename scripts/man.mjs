/**
 * Makes the man pages, in dist/man or the directory that is named: mirrorlatch-TOPIC.7 of each topic in
 * src/manual, and mirrorlatch.1 of the very commands and options that commander knows.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import remarkGfm from 'remark-gfm';
import remarkMan from 'remark-man';
import remarkParse from 'remark-parse';
import { unified } from 'unified';
import { visit } from 'unist-util-visit';
import { columnWidths } from '../dist/cli/column-widths.js';
import { commands } from '../dist/cli/commands.js';
import { readTopics } from '../dist/cli/manual.js';

/** Columns of text on a terminal of 80, by man(7). */
const LINE = 72;

const {
  name: programName,
  version,
  description,
} = JSON.parse(readFileSync('package.json', 'utf8'));

// A packager's clock (reproducible-builds.org/specs/source-date-epoch), so that a page is the same on any day.
const epoch = process.env.SOURCE_DATE_EPOCH;
const date = epoch === undefined ? new Date() : new Date(Number(epoch) * 1000);

const directory = process.argv[2] ?? 'dist/man';
mkdirSync(directory, { recursive: true });
const topics = readTopics();
for (const { name, title, text } of topics) {
  await writePage({ name: `${programName}-${name}`, section: 7, title, text });
}
await writePage({
  name: programName,
  section: 1,
  title: description,
  text: await textOfProgram(),
});

async function writePage({ name, section, title, text }) {
  const roff = await unified()
    .use(remarkParse)
    .use(remarkGfm)
    .use(() => linkPages)
    .use(remarkMan, { name, section, description: title, version, manual: programName, date })
    .process(text);
  writeFileSync(`${directory}/${name}.${section}`, keepDashes(wrapTables(String(roff))));
}

/** The title stands in NAME, and a link to another topic gets the name of its page. */
function linkPages(tree) {
  tree.children = tree.children.filter(({ type, depth }) => type !== 'heading' || depth > 1);
  visit(tree, 'link', (link, at, parent) => {
    const topic = /^([\w-]+)\.md(#.*)?$/.exec(link.url)?.[1];
    const isOutside = /^\w+:/.test(link.url);
    if (topic === undefined && isOutside) return;
    if (topic === undefined) {
      link.type = 'emphasis';
      return;
    }
    const text = (value) => ({ type: 'text', value });
    const page = { type: 'strong', children: [text(`${programName}-${topic}(7)`)] };
    const isNamed = link.children.length === 1 && link.children[0].value === topic;
    const shown = isNamed ? [page] : [...link.children, text(' ('), page, text(')')];
    parent.children.splice(at, 1, ...shown);
    return at + shown.length;
  });
}

/** tbl(1) wraps the text blocks of a table, `T{` to `T}`, and no other cell. */
function wrapTables(roff) {
  return roff.replace(/^\.TS\n(.*)\n.*\n.* \.\n([\s\S]*?)^\.TE$/gm, (table, options, body) => {
    const rows = body
      .trimEnd()
      .split('\n')
      .map((row) => row.split('@'));
    const widths = columnWidths(
      rows.map((row) => row.map(plain)),
      LINE - 3 * rows[0].length,
    );
    if (widths === undefined) return table;
    const format = widths.map((width) => `lw(${width}n)`).join(' ');
    const lines = rows.map((row) => row.map((cell) => `T{\n.ad l\n${cell}\nT}`).join('@'));
    return ['.TS', options, `${format} .`, ...lines, '.TE'].join('\n');
  });
}

/**
 * groff_char(7): a bare `-` is a hyphen, at which lines break and which no shell takes for a dash. Nor
 * may a line break within the name of an option.
 */
function keepDashes(roff) {
  return roff
    .replace(/^[^.].*$/gm, (line) => line.replaceAll(/(?<!\\)-/g, '\\-'))
    .replace(/^\.TH .*$/m, '$&\n.nh');
}

/** What is left to see of roff on one line. */
function plain(roff) {
  return roff.replaceAll(/\\f[BIR]/g, '').replaceAll(/\\\[..\]/g, '_');
}

async function textOfProgram() {
  const program = new Command(programName);
  for (const load of Object.values(commands)) (await load())(program, {});
  const visible = program.createHelp().visibleCommands(program);
  return [
    '## Synopsis',
    `**${programName}** *COMMAND* [*OPTION*]...`,
    '## Description',
    `${description} Each command is described below, and by \`${programName} COMMAND --help\`.`,
    '## Commands',
    ...visible.flatMap((command) => sectionOf(command, '')),
    '## See also',
    `${topics.map(({ name }) => `**${programName}-${name}**(7)`).join(', ')}, **rsync**(1)`,
  ].join('\n\n');
}

function sectionOf(command, before) {
  const help = command.createHelp();
  const name = `${before}${command.name()}`;
  const inner = command.commands;
  if (inner.length > 0) return inner.flatMap((each) => sectionOf(each, `${name} `));
  const items = [...help.visibleArguments(command), ...help.visibleOptions(command)].map((item) =>
    'flags' in item
      ? `- \`${help.optionTerm(item)}\`: ${text(help.optionDescription(item))}`
      : `- \`${help.argumentTerm(item)}\`: ${text(help.argumentDescription(item))}`,
  );
  return [
    `### ${programName} ${name}`,
    `\`${help.commandUsage(command)}\``,
    text(command.description()),
    items.join('\n'),
    fenced(textAfter(command)),
  ];
}

/** Examples, exit codes, and what else stands behind the options in `--help`. */
function textAfter(command) {
  let all = '';
  command.configureOutput({ writeOut: (part) => (all += part) }).outputHelp();
  return all.slice(command.helpInformation().length).trim();
}

function fenced(code) {
  return `\`\`\`\n${code}\n\`\`\``;
}

/** Words that are not meant as Markdown. */
function text(words) {
  return words.replaceAll(/[\\`*_<[|~]/g, '\\$&');
}
