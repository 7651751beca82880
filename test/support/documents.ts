import { readdirSync, readFileSync } from 'node:fs';
import { lexer, type MarkedToken, walkTokens } from 'marked';
import { project } from './project.ts';

/** A document for users: Markdown, by its path in the project. */
export interface Document {
  readonly path: string;
  readonly text: string;
}

export const readme = read('README.md');
export const contributing = read('CONTRIBUTING.md');

/** What `mirrorlatch help` and man show. */
export const topics: readonly Document[] = readdirSync(`${project}src/manual`)
  .sort()
  .map((file) => read(`src/manual/${file}`));

export function nameOfTopic({ path }: Document): string {
  return path.replace(/^.*\/|\.md$/g, '');
}

/** The texts of the code blocks in one of these languages, from top to bottom. */
export function blocks(document: Document, ...languages: string[]): string[] {
  return tokensOf(document).flatMap((token) =>
    token.type === 'code' && languages.includes(token.lang ?? '') ? [token.text] : [],
  );
}

/** Every line of a code block, and every piece of code in a sentence or a table. */
export function codeIn(document: Document): string[] {
  return tokensOf(document).flatMap((token) => {
    if (token.type === 'code') return token.text.split('\n');
    return token.type === 'codespan' ? [token.text] : [];
  });
}

export function linksIn(document: Document): string[] {
  return tokensOf(document).flatMap((token) => (token.type === 'link' ? [token.href] : []));
}

/** The anchors that a forge gives to the headings. */
export function anchorsIn(document: Document): string[] {
  return tokensOf(document).flatMap((token) =>
    token.type === 'heading' ? [anchorOf(token.text)] : [],
  );
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
}

function tokensOf({ text }: Document): MarkedToken[] {
  const found: MarkedToken[] = [];
  void walkTokens(lexer(text), (token) => {
    found.push(token as MarkedToken);
  });
  return found;
}

function read(path: string): Document {
  return { path, text: readFileSync(`${project}${path}`, 'utf8') };
}
