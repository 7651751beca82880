import { resolve } from 'node:path';
import type * as z from 'zod/mini';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { ifAllowed, realPathToBe } from '../system/files.ts';
import { nearestName } from '../system/nearest.ts';
import { type ConfigurationFile, type OnUnusable, refuseUnusable } from './files.ts';
import { Defaults, type Key, MirrorTable } from './schema.ts';
import {
  type Place,
  readToml,
  showPlace,
  type TomlEntry,
  TomlTable,
  type TomlValue,
} from './toml.ts';
import { isMirrorName } from './values.ts';

/** What the configuration says of one mirror. */
export interface ConfiguredMirror {
  readonly name: string;
  readonly root: string;
  /** `[defaults]`, overridden by its own table. */
  readonly table: MirrorTable;
  /** Where each of these keys is. */
  readonly places: ReadonlyMap<Key, Place>;
}

export interface Configuration {
  /** Those that were read, in the order in which they override each other. */
  readonly files: readonly string[];
  readonly mirrors: ReadonlyMap<string, ConfiguredMirror>;
}

/** What is wrong with the configuration, and where. */
export interface ConfigurationProblem {
  readonly place: Place;
  readonly message: string;
  readonly hint: string;
}

/**
 * Reads the texts of all files.
 *
 * @param onUnusable is told of a text that is no TOML; by default throws.
 * @returns every problem, too; what has one is left out.
 * @throws MirrorlatchError CONFIGURATION for a text that is no TOML.
 */
export function readConfiguration(
  files: readonly ConfigurationFile[],
  onUnusable = refuseUnusable,
): {
  configuration: Configuration;
  problems: ConfigurationProblem[];
} {
  const problems: ConfigurationProblem[] = [];
  const defaults = new Layers();
  const tables = new Map<string, Layers>();
  for (const { file, text } of files) {
    for (const [name, { place, value }] of entriesOf(text, file, onUnusable)) {
      if (!(value instanceof TomlTable) || !['defaults', 'mirrors'].includes(name)) {
        problems.push(unknownTop(name, place, value));
      } else if (name === 'defaults') {
        defaults.add(value, Defaults, '[defaults]', problems);
      } else {
        for (const [mirror, entry] of value.entries) addMirror(tables, mirror, entry, problems);
      }
    }
  }
  const mirrors = new Map<string, ConfiguredMirror>();
  for (const [name, layers] of tables) {
    const mirror = layers.over(defaults).mirror(name, problems);
    if (mirror !== undefined) mirrors.set(name, mirror);
  }
  problems.push(...sharedRoots(mirrors), ...brokenChains(mirrors), ...filledTwice(mirrors));
  return { configuration: { files: files.map(({ file }) => file), mirrors }, problems };
}

function entriesOf(
  text: string,
  file: string,
  onUnusable: OnUnusable,
): Iterable<[name: string, entry: TomlEntry]> {
  try {
    return readToml(text, file).entries;
  } catch (error) {
    onUnusable(asMirrorlatchError(error));
    return [];
  }
}

function addMirror(
  tables: Map<string, Layers>,
  name: string,
  { place, value }: { place: Place; value: TomlValue },
  problems: ConfigurationProblem[],
): void {
  if (!isMirrorName(name)) {
    problems.push({
      place,
      message: `a mirror cannot be called ${JSON.stringify(name)}`,
      hint: 'Use letters, digits, dots, dashes and underscores: [mirrors.debian-security]',
    });
  } else if (!(value instanceof TomlTable)) {
    problems.push({
      place,
      message: `${name} is not a table`,
      hint: `Begin it with a line of its own: [mirrors.${name}]`,
    });
  } else {
    const layers = tables.get(name) ?? new Layers(place);
    tables.set(name, layers);
    layers.add(value, MirrorTable, `[mirrors.${name}]`, problems);
  }
}

/** The values of one kind of table, in which those of a later file override those of an earlier. */
class Layers {
  readonly #place: Place;
  readonly #values: Partial<Record<Key, unknown>> = {};
  readonly #places = new Map<Key, Place>();

  /** @param place of the first table. */
  constructor(place: Place = { file: '', line: 0 }) {
    this.#place = place;
  }

  add(
    table: TomlTable,
    schema: typeof Defaults | typeof MirrorTable,
    header: string,
    problems: ConfigurationProblem[],
  ): void {
    for (const [name, { place, value }] of table.entries) {
      if (!Object.hasOwn(schema.shape, name)) {
        problems.push(unknownKey(name, place, header, Object.keys(schema.shape)));
        continue;
      }
      const key = name as Key & keyof typeof schema.shape;
      const lost = value instanceof TomlTable ? value.entries.get('__proto__') : undefined;
      if (lost !== undefined) {
        const message = `${name} of ${header} cannot have the key __proto__`;
        problems.push({ place: lost.place, message, hint: 'No program can remember this name.' });
        continue;
      }
      const parsed = (schema.shape[key] as z.ZodMiniType).safeParse(plain(value));
      if (parsed.success) {
        this.#values[key] = parsed.data;
        this.#places.set(key, place);
        continue;
      }
      for (const issue of parsed.error.issues) {
        const at = placeWithin(value, issue.path) ?? place;
        problems.push({ place: at, ...unfitValue(issue, name, header, value) });
      }
    }
  }

  over(defaults: Layers): Layers {
    const both = new Layers(this.#place);
    for (const layer of [defaults, this]) {
      Object.assign(both.#values, layer.#values);
      for (const [key, place] of layer.#places) both.#places.set(key, place);
    }
    return both;
  }

  mirror(name: string, problems: ConfigurationProblem[]): ConfiguredMirror | undefined {
    const table = this.#values as MirrorTable;
    if (table.root !== undefined) return { name, root: table.root, table, places: this.#places };
    const isRefused = problems.some(({ message }) =>
      message.startsWith(`root of [mirrors.${name}]`),
    );
    if (!isRefused)
      problems.push({
        place: this.#place,
        message: `[mirrors.${name}] has no root`,
        hint: `Say where the mirror is: root = "/srv/mirror/${name}"`,
      });
    return undefined;
  }
}

function unknownTop(name: string, place: Place, value: TomlValue): ConfigurationProblem {
  const isTable = value instanceof TomlTable;
  if (name === 'defaults' || name === 'mirrors') {
    const header = name === 'defaults' ? '[defaults]' : '[mirrors.debian]';
    return {
      place,
      message: `${name} is not a table`,
      hint: `Begin it with a line of its own: ${header}`,
    };
  }
  const wanted = nearestName(name, ['defaults', 'mirrors']);
  const others = 'There are the tables [defaults] and [mirrors.NAME].';
  return isTable
    ? {
        place,
        message: `there is no table [${name}]`,
        hint: wanted === undefined ? others : `Did you mean [${wanted}]? ${others}`,
      }
    : {
        place,
        message: `${name} is in no table`,
        hint: `Put it below the line [defaults], or [mirrors.NAME] of one mirror.`,
      };
}

function unknownKey(
  name: string,
  place: Place,
  header: string,
  known: readonly string[],
): ConfigurationProblem {
  const message = `there is no key ${name} in ${header}`;
  if (header === '[defaults]' && Object.hasOwn(MirrorTable.shape, name))
    return { place, message, hint: 'Each mirror has its own: put it below [mirrors.NAME].' };
  const nearest = nearestName(name, known);
  const all = 'All keys: mirrorlatch help configuration';
  return {
    place,
    message,
    hint: nearest === undefined ? all : `Did you mean ${nearest}? ${all}`,
  };
}

/** What is wrong with the value of a key, or with a key or value in it. */
function unfitValue(
  issue: z.core.$ZodIssue,
  name: string,
  header: string,
  value: TomlValue,
): Omit<ConfigurationProblem, 'place'> {
  const { code, path, message: said } = issue;
  if (code === 'invalid_key') {
    const message = `${name} of ${header} cannot have the key ${JSON.stringify(path.at(-1))}`;
    return { message, hint: issue.issues[0]?.message ?? said };
  }
  return {
    message: `${[name, ...path].join('.')} of ${header} cannot be ${shown(valueWithin(value, path))}`,
    hint: said === 'Invalid input' ? 'Give a table, such as { pool = 10 }.' : said,
  };
}

/** Of two tables for one mirror, only the first would count. */
function sharedRoots(mirrors: ReadonlyMap<string, ConfiguredMirror>): ConfigurationProblem[] {
  const names = new Map<string, string>();
  return [...mirrors.values()].flatMap(({ name, root, places }) => {
    const real = ifAllowed(() => realPathToBe(resolve(root))) ?? root;
    const other = names.get(real);
    names.set(real, name);
    const place = places.get('root');
    if (other === undefined || place === undefined) return [];
    const message = `${name} and ${other} have one root, ${root}`;
    return [{ place, message, hint: 'Give each mirror a directory of its own.' }];
  });
}

/** Its syncs and its command would each undo what the other did. */
function filledTwice(mirrors: ReadonlyMap<string, ConfiguredMirror>): ConfigurationProblem[] {
  return [...mirrors.values()].flatMap(({ name, table: { source, fill }, places }) => {
    const place = places.get('fill');
    if (source === undefined || fill === undefined || place === undefined) return [];
    const message = `${name} has a source, and a command that fills it`;
    return [{ place, message, hint: 'Take out source or fill.' }];
  });
}

/** A mirror that comes after itself would never be synced. */
function brokenChains(mirrors: ReadonlyMap<string, ConfiguredMirror>): ConfigurationProblem[] {
  return [...mirrors.values()].flatMap(({ name, table: { after }, places }) => {
    const place = places.get('after');
    if (after === undefined || place === undefined) return [];
    if (!mirrors.has(after)) {
      const nearest = nearestName(after, [...mirrors.keys()]);
      const hint =
        nearest === undefined
          ? 'See all names: mirrorlatch config show'
          : `Did you mean ${nearest}?`;
      return [{ place, message: `${name} comes after ${after}, which is no mirror here`, hint }];
    }
    if (after === name) {
      const hint = 'Name another mirror, or give it a schedule instead.';
      return [{ place, message: `${name} comes after itself`, hint }];
    }
    const chain = [name];
    for (let next: string | undefined = after; next !== undefined && !chain.includes(next); ) {
      chain.push(next);
      next = mirrors.get(next)?.table.after;
      if (next !== name) continue;
      const message = `${[...chain, name].join(' comes after ')}`;
      return [{ place, message, hint: 'Give one of them a schedule instead.' }];
    }
    return [];
  });
}

/** As JSON has it, for the schema. */
function plain(value: TomlValue): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof TomlTable)) return value;
  const pairs = [...value.entries].map(([name, entry]) => [name, plain(entry.value)]);
  return Object.assign(Object.create(null), Object.fromEntries(pairs));
}

function placeWithin(value: TomlValue, path: readonly PropertyKey[]): Place | undefined {
  const [name] = path;
  return value instanceof TomlTable ? value.entries.get(String(name))?.place : undefined;
}

function valueWithin(value: TomlValue, [name]: readonly PropertyKey[]): TomlValue {
  return (value instanceof TomlTable && value.entries.get(String(name))?.value) || value;
}

function shown(value: TomlValue): string {
  return value instanceof TomlTable ? 'a table' : JSON.stringify(plain(value));
}

/**
 * The error for a configuration with problems.
 *
 * @returns undefined if it has none.
 */
export function configurationError(
  problems: readonly ConfigurationProblem[],
): MirrorlatchError | undefined {
  const [first, ...others] = problems;
  if (first === undefined) return undefined;
  const more = others.length === 0 ? '' : ` (and ${others.length} more: mirrorlatch config check)`;
  return new MirrorlatchError(
    'CONFIGURATION',
    `${showPlace(first.place)}: ${first.message}${more}`,
    {
      hint: first.hint,
      details: { path: first.place.file },
    },
  );
}
