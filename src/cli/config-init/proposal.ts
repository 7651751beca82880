import { basename } from 'node:path';
import { quoted, tableOf } from '../../config/in-force.ts';
import type { Settings } from '../../mirror/settings/records.ts';
import { parseSource } from '../../rsync/source.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { AptArchive } from './apt-sources.ts';
import type { RsyncCall } from './rsync-calls.ts';

/** What is there, and may become a table of the configuration. */
export type Found =
  | { kind: 'mirror'; root: string; settings: Settings; path: string }
  | { kind: 'rsync'; call: RsyncCall; file: string }
  | { kind: 'apt'; archive: AptArchive };

/** A table, with comments. */
export interface Proposal {
  /** For people, on one line. */
  readonly title: string;
  readonly lines: readonly string[];
}

/**
 * The tables for what was found. Pure.
 *
 * @param taken names that mirrors have already.
 */
export function propose(found: readonly Found[], taken: Iterable<string>): Proposal[] {
  const names = new Set(taken);
  return found.map((one) => proposalFor(one, names));
}

function proposalFor(one: Found, names: Set<string>): Proposal {
  switch (one.kind) {
    case 'mirror': {
      const { root, settings, path } = one;
      const lines = tableOf(freeName(root, names), root, settings, path);
      return { title: `the mirror ${root}`, lines };
    }
    case 'rsync':
      return forRsync(one.call, one.file, names);
    case 'apt':
      return forApt(one.archive, names);
  }
}

function forRsync(call: RsyncCall, file: string, names: Set<string>): Proposal {
  const { source, destination, options, refused, line } = call;
  const root = adoptedRoot(destination);
  const words = options.length === 0 ? [] : [`rsync-options = [${options.map(quoted).join(', ')}]`];
  return {
    title: `what rsync fills: ${destination} (${file}, line ${line})`,
    lines: [
      `# Of ${file}, line ${line}. To take over what rsync has filled, before the first sync:`,
      `#   mirrorlatch init --adopt ${quoteForSh(destination)}`,
      '# and take that line out: its rsync would write into a published snapshot.',
      ...refused.map((why) => `# Left out: ${why.replaceAll('\n', ' ')}`),
      `[mirrors.${freeName(destination, names)}]`,
      `root = ${quoted(root)}`,
      `source = ${quoted(sourceOf(source))}`,
      ...words,
    ],
  };
}

/** Where `init --adopt` makes the mirror of a directory. */
export function adoptedRoot(directory: string): string {
  return `${directory}.mirror`;
}

/** As it is, if it cannot be made out: `config check` then says what is wrong with it. */
function sourceOf(source: string): string {
  try {
    return parseSource(source).argument;
  } catch {
    return source;
  }
}

function forApt({ url, suites }: AptArchive, names: Set<string>): Proposal {
  const { host, pathname } = new URL(url);
  const name = freeName(pathname === '/' ? host : pathname, names);
  return {
    title: `what apt of this host reads: ${url}`,
    lines: [
      `# apt of this host reads ${url} (${suites.join(', ')}). If that host serves rsync, too; otherwise name another upstream:`,
      `#[mirrors.${name}]`,
      `#root = ${quoted(`/srv/mirror/${name}`)}`,
      `#source = ${quoted(rsyncOf(url))}`,
    ],
  };
}

/** Where the same host may serve the same archive. */
export function rsyncOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `rsync://${host}${pathname.replace(/\/*$/, '/')}`;
}

/** A name after the last part of a path, which it then has. */
function freeName(path: string, names: Set<string>): string {
  const plain =
    basename(path)
      .replaceAll(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[._-]+/, '') || 'mirror';
  let name = plain;
  for (let count = 2; names.has(name); count += 1) name = `${plain}-${count}`;
  names.add(name);
  return name;
}
