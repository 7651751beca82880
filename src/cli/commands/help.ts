import type { Command } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { readTopics, type Topic } from '../manual.ts';

/** Longer lines are hard to read; columns. */
const WIDEST = 100;
const WITHOUT_TERMINAL = 80;

/** Replaces commander's own `help`, which knows commands but no topics. */
export function addHelp(program: Command, _context: CommandContext): void {
  program
    .addHelpText('after', () => listOf(readTopics()))
    .command('help')
    .summary('explain a command or a topic')
    .description(
      'Prints the help of a command, or a topic of the manual. Without a name, lists them all.',
    )
    .usage('[COMMAND | TOPIC]')
    .argument('[NAME...]', 'a command, such as sync or gate open, or a topic, such as in-place')
    .addHelpText(
      'after',
      helpAfter(['mirrorlatch help sync', 'mirrorlatch help in-place'], ['USAGE']),
    )
    .action(async (words: string[]) => {
      const command = commandNamed(program, words);
      if (command !== undefined) command.outputHelp();
      else await printTopic(words.join(' '), program);
    });
}

/** The command that the words name, such as `gate open`; without words, the program itself. */
function commandNamed(program: Command, words: readonly string[]): Command | undefined {
  let command: Command | undefined = program;
  for (const word of words) command = command?.commands.find((each) => each.name() === word);
  return command;
}

async function printTopic(name: string, program: Command): Promise<void> {
  const topics = readTopics();
  const topic = topics.find((each) => each.name === name);
  if (topic === undefined) throw await unknownName(name, topics, program);
  const { renderMarkdown } = await import('../markdown.ts');
  const width = Math.min(process.stdout.columns ?? WITHOUT_TERMINAL, WIDEST);
  process.stdout.write(renderMarkdown(topic.text, { width, showLink }));
}

/** Shows with a link to another topic the command that prints it, because text has no links. */
function showLink(href: string, text: string): string {
  const name = /^([\w-]+)\.md(#.*)?$/.exec(href)?.[1];
  if (name !== undefined) {
    const command = `mirrorlatch help ${name}`;
    return text === name ? command : `${text} (${command})`;
  }
  return href.startsWith('#') || href.startsWith('..') || href === text
    ? text
    : `${text} <${href}>`;
}

async function unknownName(
  name: string,
  topics: readonly Topic[],
  program: Command,
): Promise<MirrorlatchError> {
  const { nearestName } = await import('../../system/nearest.ts');
  const commands = program.createHelp().visibleCommands(program);
  const names = [
    ...topics.map((topic) => topic.name),
    ...commands.map((command) => command.name()),
  ];
  const nearest =
    names.find((whole) => withoutHyphens(whole).startsWith(withoutHyphens(name))) ??
    topicWith(name, topics, (line) => line.startsWith('# ')) ??
    topicWith(name, topics, () => true) ??
    nearestName(name, names);
  const question = nearest === undefined ? '' : `Did you mean ${nearest}? `;
  return new MirrorlatchError('USAGE', `there is no command or topic ${JSON.stringify(name)}`, {
    hint: `${question}See all of them with: mirrorlatch help`,
  });
}

function withoutHyphens(text: string): string {
  return text.replaceAll('-', '');
}

/** The topic that has the word in most of the lines that count. */
function topicWith(
  word: string,
  topics: readonly Topic[],
  counts: (line: string) => boolean,
): string | undefined {
  const wanted = word.toLowerCase();
  const hasWord = (line: string) =>
    line
      .toLowerCase()
      .split(/[^\w-]+-*|^-+/)
      .includes(wanted);
  const linesOf = ({ text }: Topic) =>
    text.split('\n').filter((line) => counts(line) && hasWord(line)).length;
  const [first] = topics
    .map((topic) => ({ name: topic.name, lines: linesOf(topic) }))
    .filter(({ lines }) => lines > 0)
    .sort((a, b) => b.lines - a.lines);
  return first?.name;
}

function listOf(topics: readonly Topic[]): string {
  const widest = Math.max(...topics.map(({ name }) => name.length));
  const lines = topics.map(
    ({ name, title }) =>
      `  ${name.padEnd(widest)}  ${title.charAt(0).toLowerCase()}${title.slice(1)}`,
  );
  return ['', 'Topics of the manual (mirrorlatch help TOPIC):', ...lines].join('\n');
}
