import { isAbsolute } from 'node:path';
import { passedOptions } from '../../rsync/not-passed.ts';
import { shownName, splitOptions, takesNextWord } from '../../rsync/options.ts';

/** A line of a crontab that fills a directory of this host by rsync. */
export interface RsyncCall {
  readonly source: string;
  /** Absolute. */
  readonly destination: string;
  /** Those that a mirror can have. */
  readonly options: readonly string[];
  /** What it cannot: `--inplace: it writes into …`. */
  readonly refused: readonly string[];
  /** From 1. */
  readonly line: number;
}

/** A word of a shell's line, parts of it in quotes; or an operator, with a descriptor before it. */
const TOKEN = /\d*[;&|<>]+|(?:'[^']*'|"[^"]*"|[^\s'";&|<>])+/g;

/** What a shell would expand, outside of single quotes. */
const EXPANDED = /[$`~*?]/;

/** The calls of rsync in a crontab, or in a script. Pure. */
export function rsyncCallsIn(text: string): RsyncCall[] {
  return text.split('\n').flatMap((content, at) => {
    const call = /^\s*#/.test(content) ? undefined : rsyncCall(content);
    return call === undefined ? [] : [{ ...call, line: at + 1 }];
  });
}

function rsyncCall(content: string): Omit<RsyncCall, 'line'> | undefined {
  const start = /(?:^|[\s;&|(])(?:\/\S*\/)?rsync\s/.exec(content);
  if (start === null) return undefined;
  const tokens = content.slice(start.index + start[0].length).match(TOKEN) ?? [];
  const end = tokens.findIndex((token) => /^\d*[;&|<>]/.test(token));
  const raw = end === -1 ? tokens : tokens.slice(0, end);
  if (raw.some((token) => EXPANDED.test(token.replaceAll(/'[^']*'/g, '')))) return undefined;
  const words = raw.map((token) => token.replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2'));
  const options: string[] = [];
  const paths: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (!/^-./.test(word)) {
      paths.push(word);
      continue;
    }
    options.push(word);
    const value = words[at + 1];
    if (!takesNextWord(word) || value === undefined) continue;
    options.push(value);
    at += 1;
  }
  const [source, destination, ...others] = paths;
  if (source === undefined || destination === undefined || others.length > 0) return undefined;
  if (!isAbsolute(destination)) return undefined;
  const split = splitOptions(options);
  const usable = split.filter(({ refusal }) => refusal === undefined);
  return {
    source,
    destination: destination.replace(/(.)\/+$/, '$1'),
    options: passedOptions(usable.flatMap((option) => [...option.words])),
    refused: split.flatMap(({ refusal, words: given }) =>
      refusal === undefined ? [] : [`${shownName(given)}: ${refusal.message}`],
    ),
  };
}
