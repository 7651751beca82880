import { stripVTControlCharacters } from 'node:util';
import { lexer, type MarkedToken, type Token, type Tokens } from 'marked';
import wrapAnsi from 'wrap-ansi';
import { columnWidths } from './column-widths.ts';
import { strong } from './output.ts';
import { tableText } from './table.ts';

export interface Page {
  /** The width of the text; columns. Code is not wrapped, so that it can be copied. */
  width: number;
  /** Renders a link. */
  showLink: (href: string, text: string) => string;
}

/** Renders Markdown as text for standard output, with bold on a terminal. */
export function renderMarkdown(text: string, page: Page): string {
  return `${renderBlocks(lexer(text), page).join('\n\n')}\n`;
}

/** The lines of a text that is broken between its words. @param width columns. */
export function wrappedLines(text: string, width: number): string[] {
  return wrapAnsi(text, width).split('\n');
}

function renderBlocks(tokens: readonly Token[], page: Page): string[] {
  return tokens.flatMap((token) => renderBlock(token as MarkedToken, page) ?? []);
}

function renderBlock(token: MarkedToken, page: Page): string | undefined {
  switch (token.type) {
    case 'space':
      return undefined;
    case 'heading':
      return strong(renderInline(token.tokens, page));
    case 'code':
      return indent(token.text, 4);
    case 'list':
      return renderList(token, page);
    case 'table':
      return renderTable(token, page);
    case 'paragraph':
    case 'text':
      return wrapAnsi(renderInline(token.tokens ?? [token], page), page.width);
    default:
      return token.raw.trimEnd();
  }
}

function renderInline(tokens: readonly Token[], page: Page): string {
  return tokens
    .map((each) => {
      const token = each as MarkedToken;
      switch (token.type) {
        case 'strong':
        case 'em':
          return strong(renderInline(token.tokens, page));
        case 'codespan':
          return strong(token.text);
        case 'link':
          return page.showLink(token.href, renderInline(token.tokens, page));
        case 'text':
        case 'escape':
          return token.text.replaceAll('\n', ' ');
        default:
          return token.raw;
      }
    })
    .join('');
}

function renderList({ ordered, start, items, loose }: Tokens.List, page: Page): string {
  const marks = items.map((_, index) => (ordered ? `${Number(start) + index}. ` : '- '));
  const margin = Math.max(...marks.map((mark) => mark.length));
  const inner = { ...page, width: page.width - margin };
  return items
    .map(({ tokens }, index) => {
      const text = indent(renderBlocks(tokens, inner).join('\n\n'), margin);
      return `${marks[index]?.padEnd(margin)}${text.slice(margin)}`;
    })
    .join(loose ? '\n\n' : '\n');
}

const BETWEEN_COLUMNS = 2;

function renderTable({ header, rows }: Tokens.Table, page: Page): string {
  const head = header.map(({ tokens }) => renderInline(tokens, page));
  const body = rows.map((row) => row.map(({ tokens }) => renderInline(tokens, page)));
  const plain = [head, ...body].map((row) => row.map((cell) => stripVTControlCharacters(cell)));
  const widths = columnWidths(plain, page.width - BETWEEN_COLUMNS * (head.length - 1));
  if (widths === undefined) return body.map((row) => renderRecord(head, row, page)).join('\n\n');
  const isWrapped = plain.some((row) => row.some((cell, at) => cell.length > (widths[at] ?? 0)));
  // If rows take several lines, an empty line separates them.
  const spaced = isWrapped ? body.flatMap((row) => [head.map(() => ''), row]) : body;
  return tableText(head, spaced, widths)
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** A row of a table that is too wide: each cell on its own line, after the name of its column. */
function renderRecord(head: readonly string[], row: readonly string[], { width }: Page): string {
  return row
    .map((cell, at) => {
      const name = head[at] ?? '';
      const line = wrapAnsi(name === '' ? cell : `${strong(name)}: ${cell}`, width - 2);
      return at === 0 ? line : indent(line, 2);
    })
    .join('\n');
}

function indent(text: string, columns: number): string {
  return text.replaceAll(/^(?=.)/gm, ' '.repeat(columns));
}
