import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';
import { MirrorlatchError } from '../errors.ts';

/** A line of a file, for messages. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** A table of a TOML file, of which every key and value knows its place. */
export class TomlTable {
  readonly entries = new Map<string, TomlEntry>();
}

export interface TomlEntry {
  /** Where the key is. */
  readonly place: Place;
  readonly value: TomlValue;
}

export type TomlValue = TomlTable | readonly TomlValue[] | string | number | boolean | Date;

/** `/etc/mirrorlatch/config.toml, line 7`. */
export function showPlace({ file, line }: Place): string {
  return `${file}, line ${line}`;
}

/**
 * Reads a file in TOML 1.0.
 *
 * @throws MirrorlatchError CONFIGURATION that names the line.
 */
export function readToml(text: string, file: string): TomlTable {
  try {
    return tableOf(parse(text, file), file);
  } catch (error) {
    // The parser calls itself for each bracket.
    if (!(error instanceof RangeError)) throw error;
    throw new MirrorlatchError('CONFIGURATION', `${file}: its values are nested too deeply`, {
      hint: 'No key takes more than a list in a table. See: mirrorlatch help configuration',
      cause: error,
    });
  }
}

function tableOf(program: AST.TOMLProgram, file: string): TomlTable {
  const table = new TomlTable();
  for (const node of program.body[0].body) {
    if (node.type === 'TOMLKeyValue') {
      add(table, node, file);
      continue;
    }
    const inner = tableAt(table, node.resolvedKey, placeOf(node, file));
    for (const pair of node.body) add(inner, pair, file);
  }
  return table;
}

function parse(text: string, file: string): AST.TOMLProgram {
  try {
    return parseTOML(text, { tomlVersion: '1.0' });
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    const place = showPlace({ file, line: error.lineNumber });
    throw new MirrorlatchError('CONFIGURATION', `${place}: not valid TOML: ${error.message}`, {
      hint: 'Text needs quotes: root = "/srv/mirror/debian". See: mirrorlatch help configuration',
      cause: error,
    });
  }
}

function add(table: TomlTable, { key, value }: AST.TOMLKeyValue, file: string): void {
  const names = key.keys.map((part) => (part.type === 'TOMLBare' ? part.name : part.value));
  const place = placeOf(key, file);
  const inner = tableAt(table, names.slice(0, -1), place);
  inner.entries.set(names.at(-1) ?? '', { place, value: asValue(value, file) });
}

/**
 * The table at a path of keys, made if it is missing. The parser has refused a key that stands for two
 * things. No key takes a list of tables, which has numbers in its path: what is in it is left out.
 */
function tableAt(table: TomlTable, path: readonly (string | number)[], place: Place): TomlTable {
  let at = table;
  for (const [depth, name] of path.entries()) {
    if (typeof name === 'number') return new TomlTable();
    const found = at.entries.get(name)?.value;
    const inner = found instanceof TomlTable ? found : new TomlTable();
    const isList = typeof path[depth + 1] === 'number';
    if (found === undefined) at.entries.set(name, { place, value: isList ? [] : inner });
    at = inner;
  }
  return at;
}

function asValue(node: AST.TOMLContentNode, file: string): TomlValue {
  switch (node.type) {
    case 'TOMLValue':
      return node.value;
    case 'TOMLArray':
      return node.elements.map((element) => asValue(element, file));
    case 'TOMLInlineTable': {
      const table = new TomlTable();
      for (const pair of node.body) add(table, pair, file);
      return table;
    }
  }
}

function placeOf(node: AST.TOMLNode, file: string): Place {
  return { file, line: node.loc.start.line };
}
